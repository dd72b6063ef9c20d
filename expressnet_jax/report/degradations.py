"""What an image loses between a face and a model: pixels, bits, light. Shapes: H height, W width, C channels."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from expressnet_jax.data.decode import resized


class Sweep(NamedTuple):
    """One way to degrade an image: `apply` (uint8[H,W,C], value) -> uint8[H,W,C] over `values`, the mildest first."""

    title: str
    unit: str
    values: tuple[float, ...]
    apply: Callable[[np.ndarray, float], np.ndarray]


def _fewer_pixels(image: np.ndarray, side: float) -> np.ndarray:
    """Shrink to `side` pixels by averaging and enlarge again, as a detector enlarges a distant face."""
    small = cv2.resize(image, (round(side), round(side)), interpolation=cv2.INTER_AREA)
    return resized(small, image.shape[:2]).reshape(image.shape)


def jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    """Compress as JPEG of a quality 1..100."""
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    flag = cv2.IMREAD_GRAYSCALE if image.shape[2] == 1 else cv2.IMREAD_COLOR
    return np.asarray(cv2.imdecode(encoded, flag)).reshape(image.shape)[..., ::-1]


def gamma(image: np.ndarray, exponent: float) -> np.ndarray:
    """Raise brightness 0..1 to a power: below 1 overexposed, above 1 too dark."""
    table = np.clip(255 * (np.arange(256) / 255) ** exponent + 0.5, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table).reshape(image.shape)


def _light_from_left(image: np.ndarray, strength: float) -> np.ndarray:
    """Brighten the left and darken the right: a factor that falls evenly from 1 + strength to 1 - strength."""
    factor = np.linspace(1 + strength, 1 - strength, image.shape[1])[None, :, None]
    return np.clip(image * factor + 0.5, 0, 255).astype(np.uint8)


SWEEPS = {
    "resolution": Sweep("Resolution", "pixels a side", (40, 32, 24, 16, 12, 8), _fewer_pixels),
    "jpeg": Sweep("JPEG compression", "quality", (75, 50, 30, 20, 10, 5), jpeg),
    "gamma": Sweep("Exposure", "gamma", (0.25, 0.4, 0.63, 1.6, 2.5, 4.0), gamma),
    "light": Sweep("Light from one side", "strength", (0.2, 0.4, 0.6, 0.8, 0.95), _light_from_left),
}


def degraded(images: np.ndarray, sweep: str, value: float) -> np.ndarray:
    """Return images uint8[N,H,W,C] at one value of a sweep."""
    apply = SWEEPS[sweep].apply
    return np.stack([apply(image, value) for image in images])
