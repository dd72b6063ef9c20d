"""Random changes of light. Each takes float32[B,H,W,C] pixel values in 0..255 and gives the same shape and range."""

import jax
import jax.numpy as jnp
from jax import Array

_SHADOW_EDGE = (0.05, 0.3)  # softness of a shadow's edge, as a share of half the image's longer side


def brightness(key: Array, images: Array, strength: float) -> Array:
    """Add a shift drawn from +-strength, as a share of 255, to every pixel."""
    shift = _per_example(key, images, -strength, strength)
    return _clip(images + 255.0 * shift)


def contrast(key: Array, images: Array, strength: float) -> Array:
    """Scale the distance from the image's mean by a factor in [1 - strength, 1 + strength]."""
    factor = _per_example(key, images, 1.0 - strength, 1.0 + strength)
    mean = images.mean((1, 2, 3), keepdims=True)
    return _clip(mean + factor * (images - mean))


def gamma(key: Array, images: Array, strength: float) -> Array:
    """Raise pixel values, as a share of 255, to exp(u), u in +-strength: middle tones move, black and white stay."""
    exponent = jnp.exp(_per_example(key, images, -strength, strength))
    return _clip(255.0 * (images / 255.0) ** exponent)


def shadow(key: Array, images: Array, strength: float) -> Array:
    """Darken a soft-edged half-plane or ellipse by up to the share `strength`: light from one side, a hat's brim.

    Half of the shadows are half-planes whose edge passes within 0.8 of the centre; the others are ellipses with
    half-axes of 0.3 to 0.9, all in units of half the image's longer side.
    """
    batch, height, width, _ = images.shape
    key_shape, key_depth = jax.random.split(key)
    unit = lambda size: (jnp.arange(size) - (size - 1) / 2) / (max(height, width) / 2)
    x, y = unit(width)[None, None, :], unit(height)[None, :, None]
    kind, angle, place, first, second, soft = jax.random.uniform(key_shape, (batch, 6)).T[:, :, None, None]

    direction_x, direction_y = jnp.cos(2 * jnp.pi * angle), jnp.sin(2 * jnp.pi * angle)
    beyond_line = x * direction_x + y * direction_y - 0.8 * (2 * place - 1)
    centre_x, centre_y = place * direction_x, place * direction_y
    half_x, half_y = 0.3 + 0.6 * first, 0.3 + 0.6 * second
    radius = jnp.sqrt(((x - centre_x) / half_x) ** 2 + ((y - centre_y) / half_y) ** 2)
    outside_ellipse = (radius - 1) * jnp.minimum(half_x, half_y)

    softness = _SHADOW_EDGE[0] + soft * (_SHADOW_EDGE[1] - _SHADOW_EDGE[0])
    cover = jax.nn.sigmoid(-4 * jnp.where(kind < 0.5, beyond_line, outside_ellipse) / softness)[..., None]
    depth = _per_example(key_depth, images, 0.0, strength)
    return _clip(images * (1 - depth * cover))


PHOTOMETRICS = {"brightness": brightness, "contrast": contrast, "gamma": gamma, "shadow": shadow}


def _per_example(key: Array, images: Array, low: float, high: float) -> Array:
    """Return one uniform draw an example, float32[B,1,1,1]."""
    return jax.random.uniform(key, (images.shape[0], 1, 1, 1), minval=low, maxval=high)


def _clip(images: Array) -> Array:
    return jnp.clip(images, 0.0, 255.0)
