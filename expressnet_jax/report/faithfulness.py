"""Whether a map says what the answer rests on: deletion and insertion (Petsiuk et al. 2018, RISE, section 3.3).

Shapes: N images, H height, W width, C channels, K classes, S steps.
"""

from collections.abc import Callable

import cv2
import numpy as np

STEPS = 16
BLUR = 1 / 8  # standard deviation, of the image's side: of random maps, and of what insertion begins with

Probabilities = Callable[[np.ndarray], np.ndarray]


def deletion(probabilities: Probabilities, images: np.ndarray, maps: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the mean probability of the target while the highest places get the image's mean colour, float64[N].

    images uint8[N,H,W,C], maps float[N,H,W], targets int[N]. The lower, the sooner the answer is lost.
    """
    empty = images.mean((1, 2), keepdims=True).round().astype(np.uint8)
    return _area(probabilities, images, np.broadcast_to(empty, images.shape), maps, targets)


def insertion(probabilities: Probabilities, images: np.ndarray, maps: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the mean probability of the target while a blurred image becomes sharp, the highest places first."""
    sigma = BLUR * images.shape[1]
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape) for image in images])
    return _area(probabilities, blurred, images, maps, targets)


def _area(
    probabilities: Probabilities, first: np.ndarray, second: np.ndarray, maps: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Return the area under the target's probability over the share of places that are taken from `second`, by
    trapezoids."""
    rank = ranks(maps)
    rows = np.arange(len(targets))
    curve = []
    for share in np.linspace(0, 1, STEPS + 1):
        changed = (rank < round(share * rank[0].size))[..., None]
        curve.append(probabilities(np.where(changed, second, first))[rows, targets].astype(np.float64))
    return np.trapezoid(np.stack(curve), dx=1 / STEPS, axis=0)


def ranks(maps: np.ndarray) -> np.ndarray:
    """Return the place of each value of float[N,H,W] in the descending order of its map, int64[N,H,W]."""
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(-flat, axis=1, kind="stable")
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(flat.shape[1])[None], axis=1)
    return found.reshape(maps.shape)


def random_maps(count: int, size: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return smooth noise float64[N,H,W]: what a map is worth that knows nothing of the image."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, *size))
    return np.stack([cv2.GaussianBlur(each, (0, 0), BLUR * size[0]) for each in noise])
