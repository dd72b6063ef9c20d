"""Where the parts of a face are: iBUG's 68 points (Sagonas et al. 2013), and masks of the parts.

Shapes: N examples, H height, W width, C channels.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from expressnet_jax.inference.detector import make_detector
from expressnet_jax.report.context import progress
from expressnet_jax.report.examples import Examples

ENLARGED = 192  # pixels of a face that is shown to the detector
MARGIN = 48  # pixels of its edge, repeated around it: the detector expects a face in an image
# The 68 points of a resting face that looks straight ahead, mean of generated people, in half face breadths.
_EYES, _NOSE, _CORNERS = (slice(36, 42), slice(42, 48)), 30, (48, 54)
_PARTS: Mapping[str, Sequence[int]] = {
    "brows": range(17, 27),
    "eyes": range(36, 48),
    "nose": range(27, 36),
    "mouth": range(48, 68),
    "chin": (5, 6, 7, 8, 9, 10, 11, 59, 58, 57, 56, 55),
}
_CHEEKS = ((1, 2, 3, 4, 48, 31, 39, 41, 36), (15, 14, 13, 12, 54, 35, 42, 46, 45))
_SINGLE = {"brows": (range(17, 22), range(22, 27)), "eyes": (range(36, 42), range(42, 48)), "cheeks": _CHEEKS}
_GROWN = {"brows": 0.07, "eyes": 0.06, "nose": 0.04, "mouth": 0.05, "chin": 0.02, "cheeks": 0.0}  # of the image's side
NAMES = ("brows", "eyes", "nose", "mouth", "chin", "cheeks")


def landmarks_of(examples: Examples) -> tuple[np.ndarray, str]:
    """Return float32[N,68,2] in pixels of the images (0,0 the middle of the first one), and where they come from.

    A data set's own landmarks where it has 68; else those of a mean face laid over the five that CenterFace finds, and
    where it finds none, over the median of the others.
    """
    own = examples.columns.get("landmarks")
    if own is not None and own.shape[1:] == (68, 2) and np.isfinite(own).all():
        return np.asarray(own, np.float32), "the data set"
    five = five_points(examples.images)
    found = np.isfinite(five).all((1, 2))
    if not found.any():
        five, found = np.repeat(_usual_five(examples.images.shape[1:3])[None], len(five), 0), ~found
    five = np.where(found[:, None, None], five, np.median(five[found], axis=0))
    mean = mean_face()
    share = f"{100 * found.mean():.0f} % found by CenterFace, a mean face laid over its five points"
    return np.stack([_laid_over(mean, points) for points in five]).astype(np.float32), share


def five_points(images: np.ndarray) -> np.ndarray:
    """Return float32[N,5,2], eyes, nose and corners of the mouth as CenterFace finds them, NaN where it does not."""
    detector = make_detector("centerface")
    height, width = images.shape[1:3]
    scale = ENLARGED / max(height, width)
    found = np.full((len(images), 5, 2), np.nan, np.float32)
    for row, image in zip(found, progress(images, "landmarks"), strict=True):
        colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        large = cv2.resize(colour, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        framed = cv2.copyMakeBorder(large, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
        faces = [face for face in detector.find(framed) if face.landmarks is not None]
        if faces:
            row[:] = (np.asarray(faces[0].landmarks) - MARGIN + 0.5) / scale - 0.5
    return found


def mean_face() -> np.ndarray:
    """Return float64[68,2], the 68 points of the generated faces' template at rest, seen from the front."""
    from expressnet_jax.data.synthetic.geometry import LANDMARK_INDEX, TEMPLATE

    return np.asarray(TEMPLATE[LANDMARK_INDEX, :2], np.float64)


def five_of(points: np.ndarray) -> np.ndarray:
    """Return eyes, nose and corners of the mouth float[5,2] of 68 points float[68,2]."""
    eyes = [points[part].mean(0) for part in _EYES]
    return np.stack([*eyes, points[_NOSE], *points[list(_CORNERS)]])


def _laid_over(mean: np.ndarray, five: np.ndarray) -> np.ndarray:
    """Return the mean face, turned, scaled and shifted until its five points are nearest (Umeyama 1991),
    float[68,2]."""
    own, target = five_of(mean) @ (1, 1j), five.astype(np.float64) @ (1, 1j)
    centred, wanted = own - own.mean(), target - target.mean()
    turn = (centred.conj() @ wanted) / (centred.conj() @ centred).real
    moved = (mean @ (1, 1j) - own.mean()) * turn + target.mean()
    return np.stack([moved.real, moved.imag], axis=-1)


def _usual_five(size: Sequence[int]) -> np.ndarray:
    """Return where the five points of an upright, centred face are."""
    from expressnet_jax.inference.covered import PLACES, SIDE

    return np.stack([PLACES.real * size[1] / SIDE, PLACES.imag * size[0] / SIDE], axis=-1)


def part_mask(points: np.ndarray, size: Sequence[int], name: str) -> np.ndarray:
    """Return bool[H,W], the convex hull of a part's points float[68,2], grown by _GROWN of the image's side."""
    mask = np.zeros(tuple(size), np.uint8)
    for indices in _SINGLE.get(name, (_PARTS.get(name, ()),)):
        hull = cv2.convexHull(np.round(points[list(indices)]).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1)
    reach = round(_GROWN[name] * size[0])
    if reach:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        mask = np.asarray(cv2.dilate(mask, kernel), np.uint8)
    return mask.astype(bool)
