"""What makes an answer about a face doubtful, told from the face alone."""

import cv2
import numpy as np

from expressnet_jax.deploy.detector import Found

SMALL = 32  # pixels a side: half of what the smallest faces of the training pictures were enlarged from
DARK, BRIGHT = 40, 215  # mean gray value
BLURRED = 20.0  # variance of the second derivative of the network's picture
TURNED = 0.35  # how far the nose is from the middle of the eyes, in distances of the eyes
OUTSIDE = 0.1  # share of the box beyond the picture


def flags(image: np.ndarray, found: Found, face: np.ndarray) -> tuple[str, ...]:
    """Of small, cut_off, dark, bright, blurred, turned those that hold.

    image uint8[H,W,3] is the picture, face uint8[S,S,C] what the network sees of it.
    """
    left, top, width, height = found.box
    inside = max(min(left + width, image.shape[1]) - max(left, 0), 0) * max(
        min(top + height, image.shape[0]) - max(top, 0), 0
    )
    gray = face.mean(axis=2).astype(np.uint8)
    told = {
        "small": min(width, height) < SMALL,
        "cut_off": inside < (1 - OUTSIDE) * width * height,
        "dark": gray.mean() < DARK,
        "bright": gray.mean() > BRIGHT,
        "blurred": cv2.Laplacian(gray, cv2.CV_64F).var() < BLURRED,
        "turned": turn(found.landmarks) > TURNED,
    }
    return tuple(name for name, holds in told.items() if holds)


def turn(landmarks: np.ndarray | None) -> float:
    """0 for a face from the front, about 0.5 where the nose lies over an eye; 0 without landmarks."""
    if landmarks is None:
        return 0.0
    left, right, nose = landmarks[:3]
    across = right - left
    distance = float(np.hypot(*across))
    return abs(float((nose - (left + right) / 2) @ across)) / max(distance, 1e-6) ** 2
