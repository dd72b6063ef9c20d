"""A detected face."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

Box = tuple[float, float, float, float]  # left, top, width, height in pixels


class Detection(NamedTuple):
    """A face in pixels of its image.

    Attributes:
      box: left, top, width, height.
      score: how sure the detector is, 0..1; its own scale.
      landmarks: float32[5,2], x and y of the eyes, the nose and the corners of the mouth, each from left to right as
        seen; or None.
    """

    box: Box
    score: float
    landmarks: np.ndarray | None = None


def as_box(values: Iterable[float], scale: float = 1.0) -> Box:
    """Return four numbers of any kind as a box of Python floats, divided by `scale`."""
    left, top, width, height = (float(value) / scale for value in values)
    return left, top, width, height
