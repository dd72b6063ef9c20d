"""A detected face."""

from typing import NamedTuple

import numpy as np


class Detection(NamedTuple):
    """A face in pixels of its image.

    Attributes:
      box: left, top, width, height.
      score: how sure the detector is, 0..1; its own scale.
      landmarks: float32[5,2], x and y of the eyes, the nose and the corners of the mouth, each from left to right as
        seen; or None.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray | None = None
