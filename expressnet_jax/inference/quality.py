"""What makes an answer about a face doubtful, judged by the face alone."""

import cv2
import numpy as np

from expressnet_jax.data.decode import resized
from expressnet_jax.inference.covered import mouth_covered
from expressnet_jax.inference.detection import Detection

# Round numbers near percentiles of FER2013's 28,709 training crops of 48x48, for each flag to mark the worst 1 in 100
# of them or fewer; SMALL and TURNED from the boxes and landmarks that CenterFace finds in 1,500 of them, enlarged.
# TURNED marks 6 in 100: on PublicTest accuracy falls from 70 % below a turn of 0.1 to 48 % above this one.
SMALL = 25  # pixels a side of the box
DARK, BRIGHT = 55, 200  # mean gray value
BLURRED = 200  # variance of the second derivative, at no more than SIDE pixels
TURNED = 0.35  # how far the nose is from the middle of the eyes, in distances of the eyes
SIDE = 48  # of those crops: what is sharp is sharp at a scale
OUTSIDE = 0.1  # share of the box beyond the image; chosen, not measured


def flags(image: np.ndarray, found: Detection, face: np.ndarray) -> tuple[str, ...]:
    """Return those of small, cut_off, dark, bright, blurred, turned, mouth_covered that hold.

    image uint8[H,W,3] is the image, face uint8[S,S,C] what the network sees of it.
    """
    left, top, width, height = found.box
    inside = max(min(left + width, image.shape[1]) - max(left, 0), 0) * max(
        min(top + height, image.shape[0]) - max(top, 0), 0
    )
    gray = face.mean(axis=2).astype(np.uint8)
    at_scale = resized(gray, SIDE) if len(gray) > SIDE else gray
    checks = {
        "small": min(width, height) < SMALL,
        "cut_off": inside < (1 - OUTSIDE) * width * height,
        "dark": gray.mean() < DARK,
        "bright": gray.mean() > BRIGHT,
        "blurred": cv2.Laplacian(at_scale, cv2.CV_64F).var() < BLURRED,
        "turned": yaw_ratio(found.landmarks) > TURNED,
    }
    # From the side the landmarks of a mouth lie close together, and say nothing of what is over it.
    checks["mouth_covered"] = (
        not checks["turned"] and found.landmarks is not None and mouth_covered(image, found.landmarks)
    )
    return tuple(name for name, holds in checks.items() if holds)


def yaw_ratio(landmarks: np.ndarray | None) -> float:
    """0 for a face from the front, 0.5 where the nose lies over an eye; 0 without landmarks."""
    if landmarks is None:
        return 0.0
    left, right, nose = landmarks[:3]
    across = right - left
    distance = float(np.hypot(*across))
    return abs(float((nose - (left + right) / 2) @ across)) / max(distance, 1e-6) ** 2
