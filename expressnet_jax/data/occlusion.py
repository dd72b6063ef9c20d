"""Random occlusions: part of the face is hidden, so that no single region is relied on.

Each takes float32[B,H,W,C] pixel values in 0..255 and gives the same shape and range.
"""

import jax
import jax.numpy as jnp
from jax import Array

_ERASED_AREA = (0.02, 0.33)  # share of the image; s_l and s_h of Zhong et al. 2020
_ERASED_ASPECT = (0.3, 1 / 0.3)  # height over width; r_1 and r_2


def cutout(key: Array, images: Array, strength: float) -> Array:
    """Cover a square of side `strength` * H, centred on any pixel, with the image's mean colour.

    DeVries & Taylor 2017: the square may reach past the border, so some examples stay nearly whole. Their fill is
    the data set's mean, zero after normalisation; the image's own stands in for it here.
    """
    batch, height, width, _ = images.shape
    side = jnp.round(strength * height)
    places = jax.random.uniform(key, (batch, 2))
    top = jnp.floor(places[:, 0] * height) - side // 2
    left = jnp.floor(places[:, 1] * width) - side // 2
    hidden = box(images.shape, top, left, side, side)
    return jnp.where(hidden, images.mean((1, 2), keepdims=True), images)


def random_erasing(key: Array, images: Array, strength: float) -> Array:
    """Put uniform noise, with probability `strength`, in a rectangle of 2-33 % of the area, aspect 0.3-3.3.

    Random erasing (Zhong et al. 2020, algorithm 1, RE-R). Where the paper draws again until the rectangle fits,
    a side too long is cut to the image's; the aspect is drawn on a log scale so that tall and wide are as frequent.
    """
    batch, height, width, _ = images.shape
    key_box, key_noise = jax.random.split(key)
    chance, area, aspect, down, across = jax.random.uniform(key_box, (batch, 5)).T
    area = (_ERASED_AREA[0] + area * (_ERASED_AREA[1] - _ERASED_AREA[0])) * height * width
    aspect = _ERASED_ASPECT[0] * (_ERASED_ASPECT[1] / _ERASED_ASPECT[0]) ** aspect
    rows = jnp.clip(jnp.round(jnp.sqrt(area * aspect)), 1, height)
    columns = jnp.clip(jnp.round(jnp.sqrt(area / aspect)), 1, width)
    top, left = jnp.floor(down * (height - rows + 1)), jnp.floor(across * (width - columns + 1))
    hidden = box(images.shape, top, left, rows, columns) & (chance < strength)[:, None, None, None]
    noise = jax.random.uniform(key_noise, images.shape, maxval=255.0)
    return jnp.where(hidden, noise, images)


OCCLUSIONS = {"cutout": cutout, "random_erasing": random_erasing}


def box(shape, top: Array, left: Array, rows, columns) -> Array:
    """Return bool[B,H,W,1], True inside the rectangles that start at (top, left)[B] and are rows x columns large."""
    _, height, width, _ = shape
    y, x = jnp.arange(height)[None, :, None], jnp.arange(width)[None, None, :]
    as_column = lambda value: jnp.asarray(value).reshape(-1, 1, 1)
    top, left, rows, columns = map(as_column, (top, left, rows, columns))
    inside = (y >= top) & (y < top + rows) & (x >= left) & (x < left + columns)
    return inside[..., None]
