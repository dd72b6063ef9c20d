"""The 15 corruptions of ImageNet-C in 5 levels each. Imports little: processes that share the work start with it.

Hendrycks & Dietterich 2019, Benchmarking neural network robustness to common corruptions and perturbations; the
library is corrupt-tta 0.1.7. Its lengths are in pixels of images 224 pixels wide: a blur of 10 pixels would wipe a face
of 48 out. What has lengths (LENGTHS) therefore happens to the face enlarged to 224 pixels and then shrunk; all else to
the face at its own size. Shapes: N examples, H height, W width, C channels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from expressnet_jax.data.decode import resized

VERSION = "0.1.7"
INSTALL = f"pip install --no-deps corrupt-tta=={VERSION}  (it would bring an OpenCV that replaces the one here)"
CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
LENGTHS = ("defocus_blur", "glass_blur", "motion_blur", "elastic_transform")
LEVELS = (1, 2, 3, 4, 5)
_FULL_SIZE = 224
GREEN = 1
# sigma, reach and rounds of glass blur (corrupt_tta.corruptions.glass_blur)
_GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))


def corrupted(images: np.ndarray, index: Sequence[int] | np.ndarray, name: str, level: int) -> np.ndarray:
    """Return images uint8[N,H,W,C] under a corruption of a level 1..5.

    What is random is drawn from (index, name, level), so an image's corruption does not depend on the others. A gray
    image is corrupted as three equal channels, of which the green one is kept: noise then is as strong as its level.
    """
    pairs = zip(images, index, strict=True)
    return np.stack([_one(image, int(number), name, level) for image, number in pairs])


def all_levels(part: tuple[np.ndarray, np.ndarray, str]) -> np.ndarray:
    """Return images uint8[N,H,W,C] with their index int[N] under a corruption in every level: uint8[5,N,H,W,C]."""
    images, index, name = part
    return np.stack([corrupted(images, index, name, level) for level in LEVELS])


def _one(image: np.ndarray, number: int, name: str, level: int) -> np.ndarray:
    size, channels = image.shape[:2], image.shape[2]
    colour = np.repeat(image, 3, axis=2) if channels == 1 else image
    if name in LENGTHS:
        colour = cv2.resize(colour, (_FULL_SIZE, _FULL_SIZE), interpolation=cv2.INTER_LINEAR)
    found = np.clip(_drawn(colour, number, name, level), 0, 255).astype(np.uint8)
    found = resized(found, size)
    return found[..., GREEN : GREEN + 1] if channels == 1 else found


def _drawn(colour: np.ndarray, number: int, name: str, level: int) -> Any:
    """Return the library's corruption, whose random numbers are NumPy's global ones: set here and put back
    afterwards."""
    from corrupt_tta import corrupt, corruptions
    from skimage.util import random_noise

    seed = [number, CORRUPTIONS.index(name), level]
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    # Scikit-image draws from another generator, which the library leaves unset.
    seeded = partial(random_noise, rng=np.random.default_rng(seed))
    try:
        with patch.object(corruptions, "random_noise", seeded):
            return glass_blur(colour, level) if name == "glass_blur" else corrupt(colour, level, name)
    finally:
        np.random.set_state(before)  # noqa: NPY002


def glass_blur(colour: np.ndarray, level: int) -> np.ndarray:
    """Return the library's glass blur of uint8[H,W,3], the same numbers in a sixth of the time.

    It exchanges pixels of an array one after the other; here their places are exchanged, in a list.
    """
    from skimage.filters import gaussian

    sigma, reach, rounds = _GLASS[level - 1]
    pixels = np.asarray(gaussian(colour / 255.0, sigma=sigma, channel_axis=-1) * 255).astype(np.uint8)
    height, width = colour.shape[:2]
    inner = (slice(reach, height - reach), slice(reach, width - reach))
    own = np.arange(height * width).reshape(height, width)
    place = own.ravel().tolist()
    for _ in range(rounds):
        across = np.random.randint(-reach, reach, size=(height, width))  # noqa: NPY002
        down = np.random.randint(-reach, reach, size=(height, width))  # noqa: NPY002
        other = (own + down * width + across)[inner]
        for a, b in zip(own[inner].ravel().tolist(), other.ravel().tolist(), strict=True):
            place[a], place[b] = place[b], place[a]
    pixels = pixels.reshape(height * width, -1)[place].reshape(colour.shape)
    return np.clip(gaussian(pixels / 255.0, sigma=sigma, channel_axis=-1), 0, 1) * 255
