"""CenterFace (Xu et al. 2019): a face is the centre of a heat map, with its size and five landmarks.

Shapes: H, W of the image; h, w a quarter of them; F faces.
"""

from pathlib import Path

import cv2
import numpy as np

from expressnet_jax.inference.detection import Detection, as_box
from expressnet_jax.runtime.ort_session import Session

WEIGHTS = Path(__file__).parent / "weights" / "centerface.onnx"
STRIDE, MULTIPLE = 4, 32
LEAST = 192  # pixels: of 300 bare crops of 48 pixels it finds 258 as they are, 294 enlarged to this
OVERLAP = 0.3  # of two boxes of one face


class CenterFace:
    """Finds faces in an image that is first made at most `size` pixels long: small faces need a larger one, time grows
    with its square. Images smaller than LEAST are enlarged."""

    def __init__(self, size: int = 960, threshold: float = 0.3, threads: int = 0):
        self.size, self.threshold = size, threshold
        self.session = Session(WEIGHTS.read_bytes(), WEIGHTS.name, threads)

    def __call__(self, image: np.ndarray) -> list[Detection]:
        """uint8[H,W,3] -> the faces, the surest first."""
        planes, scale = self._planes(image)
        heat, size, offset, marks = self.session.run(None, {self.session.inputs[0]: planes})
        boxes, scores, landmarks = decode(heat[0, 0], size[0], offset[0], marks[0], self.threshold)
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self.threshold, OVERLAP) if len(boxes) else ()
        return [Detection(as_box(boxes[i] * np.tile(scale, 2)), float(scores[i]), landmarks[i] * scale) for i in kept]

    def _planes(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8[H,W,3] -> what the network sees, float32[1,3,4h,4w], and float32[2]: its pixels' width and height in
        those of the image. Faces keep their shape: the sides are made multiples by black beyond them."""
        height, width = image.shape[:2]
        longest = max(height, width)
        scale = min(self.size, max(longest, LEAST)) / longest
        seen = [max(round(side * scale), 1) for side in (height, width)]
        small = cv2.resize(image, seen[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        planes = np.zeros((1, 3, *(-(-side // MULTIPLE) * MULTIPLE for side in seen)), np.float32)
        planes[0, :, : seen[0], : seen[1]] = small.transpose(2, 0, 1)
        return planes, np.array([width / seen[1], height / seen[0]], np.float32)


def decode(
    heat: np.ndarray, size: np.ndarray, offset: np.ndarray, marks: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode heat float32[h,w], size and offset [2,h,w], marks [10,h,w] -> boxes float32[F,4] (left, top, width,
    height), scores float32[F], landmarks float32[F,5,2] (x, y: the eyes, the nose, the corners of the mouth).

    Section 3.2: size is a logarithm in strides, offset is the centre's within its cell, marks are shares of the box.
    """
    rows, columns = np.nonzero(heat > threshold)
    at = (slice(None), rows, columns)
    sides = np.exp(size[at]) * STRIDE  # height, width
    centre = (np.stack([rows, columns]) + offset[at] + 0.5) * STRIDE
    top, left = centre - sides / 2
    boxes = np.stack([left, top, sides[1], sides[0]], axis=1)
    shares = marks[at].reshape(5, 2, -1).transpose(2, 0, 1)[..., ::-1]  # of y, x
    landmarks = boxes[:, None, :2] + shares * boxes[:, None, 2:]
    return boxes.astype(np.float32), heat[rows, columns], landmarks.astype(np.float32)
