"""What may cover a face, placed by its landmarks: a mask, sunglasses, a hand, hair; and each part of it cut out.

Shapes: H height, W width, C channels; points are float[68,2], iBUG's.
"""

from collections.abc import Callable

import cv2
import numpy as np

from expressnet_jax.report.landmarks import NAMES, part_mask

MASK_GRAY, LENS_GRAY, HAIR_GRAY = 205, 30, 45
Cover = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _surgical_mask(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Draw a light cloth from the nose's bridge to below the chin, between the jaw's sides."""
    rim = [*points[2:15], points[28]]
    return _filled(image, [np.array(rim)], MASK_GRAY)


def sunglasses(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Draw two dark lenses over the eyes and the bridge between them."""
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    apart = right - left
    half, tilt = float(np.linalg.norm(apart)) * 0.42, float(np.degrees(np.arctan2(apart[1], apart[0])))
    covered = image.copy()
    colour = [LENS_GRAY] * image.shape[2]
    for eye in (left, right):
        axes = (max(round(half), 1), max(round(0.75 * half), 1))
        cv2.ellipse(covered, _pixel(eye), axes, tilt, 0, 360, colour, -1)
    cv2.line(covered, _pixel(left), _pixel(right), colour, max(round(0.3 * half), 1))
    return covered.reshape(image.shape)


def hand(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Draw four fingers and a palm over the mouth's right half and the cheek, in the skin's own mean colour."""
    colour = image[part_mask(points, image.shape[:2], "nose")].mean(0) * 0.95
    breadth = np.linalg.norm(points[54] - points[48])
    centre = (points[54] + points[57]) / 2
    covered = image.copy()
    for finger in range(4):
        start = centre + breadth * np.array([0.55, -0.45 + 0.3 * finger])
        end = centre + breadth * np.array([-0.6, -0.6 + 0.3 * finger])
        cv2.line(covered, _pixel(start), _pixel(end), (0.85 * colour).tolist(), max(round(0.3 * breadth), 2))
        cv2.line(covered, _pixel(start), _pixel(end), colour.tolist(), max(round(0.22 * breadth), 1))
    palm = (max(round(0.5 * breadth), 1), max(round(0.75 * breadth), 1))
    cv2.ellipse(covered, _pixel(centre + breadth * np.array([0.95, 0.1])), palm, 0, 0, 360, colour.tolist(), -1)
    return covered.reshape(image.shape)


def fringe(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Draw dark hair from above over the forehead, both brows and the outer half of the right eye."""
    top = [(0.0, -1.0), (image.shape[1], -1.0)]
    edge = [(image.shape[1], points[16, 1]), *points[[45, 43, 42, 22, 21, 18]], (0.0, points[0, 1])]
    return _filled(image, [np.array([*top, *edge])], HAIR_GRAY)


COVERS: dict[str, Cover] = {"mask": _surgical_mask, "sunglasses": sunglasses, "hand": hand, "fringe": fringe}


def _without_part(name: str) -> Cover:
    """Return the cover that gives a part of the face the mean colour of the whole image."""

    def cut(image: np.ndarray, points: np.ndarray) -> np.ndarray:
        hidden = part_mask(points, image.shape[:2], name)
        return np.where(hidden[..., None], image.mean((0, 1)).round().astype(np.uint8), image)

    return cut


CUTS: dict[str, Cover] = {name: _without_part(name) for name in NAMES}


def covered(images: np.ndarray, points: np.ndarray, cover: Cover) -> np.ndarray:
    """Return images uint8[N,H,W,C] with a cover at their points float[N,68,2]."""
    return np.stack([cover(image, marks) for image, marks in zip(images, points, strict=True)])


def _filled(image: np.ndarray, polygons: list[np.ndarray], gray: int) -> np.ndarray:
    covered = image.copy()
    cv2.fillPoly(covered, [np.round(each).astype(np.int32) for each in polygons], [gray] * image.shape[2])
    return covered.reshape(image.shape)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
