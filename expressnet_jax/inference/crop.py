"""From a found face to the image that a network was trained on: upright, square, gray or colour.

Shapes: H, W of the image; S pixels a side of the result; C channels.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from expressnet_jax.data.decode import resized
from expressnet_jax.inference.detection import Detection

FINEST = 8  # a face is first cut at up to so many times the final side, then averaged over areas
LONGEST = 32_766  # pixels of an image's side that OpenCV's warps take


class Place(NamedTuple):
    """The part of an image that a network is shown, in pixels measured from the image's corner.

    Attributes:
      centre: x and y.
      size: width and height.
      angle: by how many degrees it is turned clockwise, as seen.
    """

    centre: tuple[float, float]
    size: tuple[float, float]
    angle: float

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Return points float[...,2], x and y from -1 to 1 over the part, in pixels of the image."""
        x, y = np.moveaxis(np.asarray(points, np.float64) * self.size / 2, -1, 0)
        turn = math.radians(self.angle)
        along = math.cos(turn) * x - math.sin(turn) * y, math.sin(turn) * x + math.cos(turn) * y
        return (np.stack(along, axis=-1) + self.centre).astype(np.float32)


def find_place(shape: tuple[int, ...], found: Detection, margin: float | None, *, align: bool) -> Place:
    """Return the square around a face in an image of `shape` (H, W, 3); with `margin` None, the whole image.

    `align` turns it until the eyes are level, where there are landmarks.
    """
    if margin is None:
        return Place((shape[1] / 2, shape[0] / 2), (shape[1], shape[0]), 0.0)
    left, top, width, height = found.box
    side = margin * math.sqrt(max(width * height, 1.0))
    angle = roll_degrees(found.landmarks) if align else 0.0
    return Place((left + width / 2, top + height / 2), (side, side), angle)


def cut_face(
    image: np.ndarray, found: Detection, margin: float | None, size: int, channels: int, *, align: bool, equalize: bool
) -> np.ndarray:
    """Cut uint8[H,W,3] to uint8[S,S,C], the square around a face; with `margin` None, the whole image.

    `align` turns it until the eyes are level, where there are landmarks. `equalize` spreads the histogram of gray
    images. What lies beyond the image repeats its edge.
    """
    if margin is None:
        face = resized(image, size)
    else:
        place = find_place(image.shape, found, margin, align=align)
        face = square(image, place.centre, place.size[0], place.angle, size)
    if channels == 1:
        face = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
        face = cv2.equalizeHist(face) if equalize else face
    return face.reshape(size, size, channels)


def roll_degrees(landmarks: np.ndarray | None) -> float:
    """Return by how many degrees the line through the eyes falls to the right, as seen; 0 without landmarks."""
    if landmarks is None:
        return 0.0
    x, y = landmarks[1] - landmarks[0]
    return math.degrees(math.atan2(y, x))


def square(image: np.ndarray, centre: tuple[float, float], side: float, angle: float, size: int) -> np.ndarray:
    """Cut at about the image's own scale, then shrunk by averaging: a warp alone would skip pixels of large faces."""
    first = int(np.clip(round(side), size, FINEST * size))
    times = max(round(side / first), 1)
    if times > 1 or max(image.shape) > LONGEST:
        image, centre, side = _nearby(image, centre, side, times)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, angle, first / side), np.float64)
    # Pixels are squares, their centres half a pixel from their corners, which boxes are measured by.
    matrix[:, 2] += first / 2 - np.array(centre) + matrix[:, :2] @ (0.5, 0.5) - 0.5
    cut = cv2.warpAffine(image, matrix, (first, first), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return resized(cut, size)


def _nearby(
    image: np.ndarray, centre: tuple[float, float], side: float, times: int
) -> tuple[np.ndarray, tuple[float, float], float]:
    """Return what a turned square needs of an image, made `times` smaller by averaging; its centre and side there."""
    reach = side / math.sqrt(2) + 2 * times
    limits = np.array(image.shape[1::-1])
    first = np.clip(np.floor(np.array(centre) - reach), 0, limits - 1).astype(int)
    last = np.clip(np.ceil(np.array(centre) + reach), first + 1, limits).astype(int)
    times = min(times, *(last - first))
    small = (last - first) // times
    (left, top), (right, bottom) = first, first + small * times
    part = cv2.resize(image[top:bottom, left:right], small.tolist(), interpolation=cv2.INTER_AREA)
    x, y = (np.array(centre) - first) / times
    return part, (float(x), float(y)), side / times
