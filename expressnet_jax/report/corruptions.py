"""The 15 corruptions of ImageNet-C in 5 levels each, made of faces once and kept as uint8.

Hendrycks & Dietterich 2019, Benchmarking neural network robustness to common corruptions and perturbations; the
library is corrupt-tta 0.1.7. Its lengths are in pixels of images 224 pixels wide: a blur of 10 pixels would wipe a face
of 48 out. What has lengths (LENGTHS) therefore happens to the face enlarged to 224 pixels and then shrunk; all else to
the face at its own size. Shapes: N examples, H height, W width, C channels.
"""

import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from expressnet_jax.data.decode import resized
from expressnet_jax.environment import available_cores
from expressnet_jax.io import write_bytes
from expressnet_jax.report.context import progress

VERSION = "0.1.7"
INSTALL = f"pip install --no-deps corrupt-tta=={VERSION}  (it would bring an OpenCV that replaces the one here)"
CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
LENGTHS = ("defocus_blur", "glass_blur", "motion_blur", "elastic_transform")
LEVELS = (1, 2, 3, 4, 5)
FULL_SIZE = 224
GREEN = 1
FEW = 16  # images that are not worth starting processes
# sigma, reach and rounds of glass blur (corrupt_tta.corruptions.glass_blur)
GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))


def corrupted(images: np.ndarray, index: Sequence[int] | np.ndarray, name: str, level: int) -> np.ndarray:
    """Return images uint8[N,H,W,C] under a corruption of a level 1..5.

    What is random is drawn from (index, name, level), so an image's corruption does not depend on the others. A gray
    image is corrupted as three equal channels, of which the green one is kept: noise then is as strong as its level.
    """
    pairs = zip(images, index, strict=True)
    return np.stack([_one(image, int(number), name, level) for image, number in pairs])


def corrupted_set(images: np.ndarray, index: np.ndarray, cache: Path, key: str) -> dict[str, np.ndarray]:
    """Return every corruption of images uint8[N,H,W,C]: name -> uint8[5,N,H,W,C], from the cache where they are there.

    `key` says which images they are. Each corruption is one file, so that an interrupted run resumes behind the last.
    """
    found = {}
    for name in progress(CORRUPTIONS, "corrupting"):
        path = cache / f"corrupted-{key}-{name}.npy"
        if not path.is_file():
            content = io.BytesIO()
            np.save(content, _all_levels(images, index, name), allow_pickle=False)
            write_bytes(path, content.getvalue())
        found[name] = np.load(path, allow_pickle=False, mmap_mode="r")
    return found


def _all_levels(images: np.ndarray, index: np.ndarray, name: str) -> np.ndarray:
    """uint8[5,N,H,W,C], on all cores; each works on a part of the images."""
    cores = available_cores() if len(images) > FEW else 1
    if cores == 1:
        return _levels((images, index, name))
    parts = [(part, numbers, name) for part, numbers in zip(*_split(images, index, 2 * cores), strict=True)]
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        return np.concatenate(list(pool.map(_levels, parts)), axis=1)


def _split(images: np.ndarray, index: np.ndarray, parts: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return np.array_split(images, parts), np.array_split(np.asarray(index), parts)


def _levels(part: tuple[np.ndarray, np.ndarray, str]) -> np.ndarray:
    images, index, name = part
    return np.stack([corrupted(images, index, name, level) for level in LEVELS])


def _one(image: np.ndarray, number: int, name: str, level: int) -> np.ndarray:
    size, channels = image.shape[:2], image.shape[2]
    colour = np.repeat(image, 3, axis=2) if channels == 1 else image
    if name in LENGTHS:
        colour = cv2.resize(colour, (FULL_SIZE, FULL_SIZE), interpolation=cv2.INTER_LINEAR)
    found = np.clip(_drawn(colour, number, name, level), 0, 255).astype(np.uint8)
    found = resized(found, size)
    return found[..., GREEN : GREEN + 1] if channels == 1 else found


def _drawn(colour: np.ndarray, number: int, name: str, level: int) -> Any:
    """The library's corruption, whose random numbers are NumPy's global ones: set here and put back afterwards."""
    from corrupt_tta import corrupt, corruptions
    from skimage.util import random_noise

    seed = [number, CORRUPTIONS.index(name), level]
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    # Scikit-image has a generator of its own, which the library leaves unset.
    seeded = lambda *args, **options: random_noise(*args, **options, rng=np.random.default_rng(seed))
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

    sigma, reach, rounds = GLASS[level - 1]
    pixels = np.uint8(gaussian(colour / 255.0, sigma=sigma, channel_axis=-1) * 255)
    height, width = pixels.shape[:2]
    inner = (slice(reach, height - reach), slice(reach, width - reach))
    own = np.arange(height * width).reshape(height, width)
    place = own.ravel().tolist()
    for _ in range(rounds):
        across = np.random.randint(-reach, reach, size=(height, width))  # noqa: NPY002
        down = np.random.randint(-reach, reach, size=(height, width))  # noqa: NPY002
        other = (own + down * width + across)[inner]
        for a, b in zip(own[inner].ravel().tolist(), other.ravel().tolist(), strict=True):
            place[a], place[b] = place[b], place[a]
    pixels = pixels.reshape(height * width, -1)[place].reshape(pixels.shape)
    return np.clip(gaussian(pixels / 255.0, sigma=sigma, channel_axis=-1), 0, 1) * 255
