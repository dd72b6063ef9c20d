"""What cameras and networks do to an image before a model sees it: defocus, few pixels, sensor noise, compression.

Shapes: B batch, H height, W width, C channels; pixel values float32 in 0..255.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

EACH = 0.5  # chance of each kind in an image that is degraded
BLUR = 0.04  # largest standard deviation, as a share of the image's side
SIDES = (1 / 4, 1 / 3, 1 / 2, 2 / 3)  # sides of an image of fewer pixels, as shares of the full one
NOISE = 0.25  # largest standard deviation, as a share of 255
_QUALITY = (10.0, 80.0)  # of a JPEG
# The luminance table of ITU-T T.81, annex K.1, which libjpeg scales by quality.
_QUANTIZATION = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


def degrade(key: Array, images: Array, strength: float) -> Array:
    """Blur, shrink and enlarge, add noise to and compress a share `strength` of the images, each with a chance of half.

    The order is that of a camera: optics, pixels, their noise, the file. How strong each is, is drawn uniformly up to
    the limits above; noise up to their square, so that weak noise is more frequent.
    """
    key_draws, key_noise = jax.random.split(key)
    chosen, *draws = jax.random.uniform(key_draws, (9, images.shape[0]))
    chances, (sigma, side, noise, quality) = jnp.stack(draws[:4]), draws[4:]
    blurred, shrunk, noisy, compressed = (chosen < strength) & (chances < EACH)

    images = spread(images, jnp.where(blurred, BLUR * sigma, 0.0), jnp.where(shrunk, side, 1.0))
    deviation = jnp.where(noisy, 255 * NOISE * noise**2, 0.0)[:, None, None, None]
    images = jnp.clip(images + deviation * jax.random.normal(key_noise, images.shape), 0.0, 255.0)
    quality = _QUALITY[0] + quality * (_QUALITY[1] - _QUALITY[0])
    return jnp.where(compressed[:, None, None, None], jpeg(images, quality), images)


def spread(images: Array, sigma: Array, side: Array) -> Array:
    """Blur by Gaussians and take fewer pixels, as one product with a matrix along each side.

    sigma float32[B], standard deviations as shares of the side. side float32[B] in 0..1 chooses one of SIDES by equal
    parts; 1 keeps all pixels.
    """
    kind = jnp.floor(side * len(SIDES)).astype(jnp.int32)
    for axis, size in ((1, images.shape[1]), (2, images.shape[2])):
        distance = jnp.arange(size)[:, None] - jnp.arange(size)
        weights = jnp.exp(-0.5 * (distance / jnp.maximum(size * sigma, 1e-3)[:, None, None]) ** 2)
        blur = weights / weights.sum(-1, keepdims=True)
        matrices = jnp.take(_shrinking(size), kind, axis=0) @ blur
        images = jnp.einsum("bij,bj...->bi...", matrices, jnp.moveaxis(images, axis, 1))
        images = jnp.moveaxis(images, 1, axis)
    return images


def _shrinking(size: int) -> Array:
    """float32[S+1,size,size]: shrink a side by averaging and enlarge it by interpolation; the last does nothing."""
    unit = jnp.eye(size)
    resized = lambda x, rows: jax.image.resize(x, (rows, size), "linear")
    small = [resized(resized(unit, max(round(share * size), 1)), size) for share in SIDES]
    return jnp.stack([*small, unit])


def jpeg(images: Array, quality: Array) -> Array:
    """Return the images as a JPEG of quality float32[B] in 1..100 keeps them, each channel as if it were gray.

    Blocks of 8 x 8 pixels by their discrete cosine transform, rounded to multiples of the scaled table (ITU-T T.81,
    A.3.3 and annex K; libjpeg's scale); an image's last row and column are repeated up to whole blocks.
    """
    batch, height, width, channels = images.shape
    scale = jnp.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    table = jnp.clip(jnp.floor((_QUANTIZATION * scale + 50) / 100), 1, 255)[:, None, :, None, :, None]
    padded = jnp.pad(images, ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    blocks = padded.reshape(batch, padded.shape[1] // 8, 8, padded.shape[2] // 8, 8, channels) - 128
    cosines = _cosines()
    coefficients = jnp.einsum("ij,bhjwkc,lk->bhiwlc", cosines, blocks, cosines)
    kept = jnp.round(coefficients / table) * table
    restored = jnp.einsum("ji,bhjwkc,kl->bhiwlc", cosines, kept, cosines).reshape(padded.shape)
    return jnp.clip(jnp.round(restored[:, :height, :width] + 128), 0, 255)


def _cosines() -> np.ndarray:
    """float32[8,8]: the orthonormal discrete cosine transform, a frequency in each row."""
    frequency, place = np.arange(8)[:, None], np.arange(8)
    rows = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


DEGRADATIONS = {"degrade": degrade}
