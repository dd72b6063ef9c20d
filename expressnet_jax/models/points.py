"""What networks of points share. Shapes: B batch, T frames, P points, D = 2 or 3 coordinates, C values of a point."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


def normalise_points(points: Array) -> Array:
    """Move each example's center to the origin and scale its points to a root mean square distance of 1 from it.

    float[B,P,D], or float[B,T,P,D] with one center and one scale for all frames, so that the head's motion stays
    -> float32 of the same shape. A point that has a NaN counts in neither and becomes 0; so an example without any
    point is zero everywhere.
    """
    points = points.astype(jnp.float32)
    known = 1 - jnp.isnan(points).any(-1, keepdims=True).astype(jnp.float32)
    within = tuple(range(1, points.ndim - 1))
    count = jnp.maximum(known.sum(within, keepdims=True), 1.0)
    shown = jnp.where(known > 0, points, jnp.zeros((), jnp.float32))
    centered = known * (shown - shown.sum(within, keepdims=True) / count)
    square = (centered * centered).sum((*within, -1), keepdims=True) / count
    return centered * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


class TurnToMean(nn.Module):
    """Turn each example in the image plane so that it fits the mean shape best: float32[B,P,D] or float32[B,T,P,D].

    The angle is that of Procrustes analysis in the plane, arg of sum over points of x conj(m), where x and m are places
    of the example (the mean over its frames) and of the mean shape as complex numbers. The mean shape is the running
    mean of turned examples, `shape` float32[P,2] in the batch statistics; before the first batch nothing is turned.
    """

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        still = x if x.ndim == 3 else x.mean(1)
        shape = self.variable("batch_stats", "shape", jnp.zeros, (still.shape[1], 2))
        along = (still[..., :2] * shape.value).sum((1, 2))
        across = (still[..., 0] * shape.value[:, 1] - still[..., 1] * shape.value[:, 0]).sum(1)
        square = along * along + across * across
        length = jax.lax.rsqrt(jnp.maximum(square, 1e-12))
        cosine, sine = jnp.where(square > 1e-12, along * length, jnp.ones_like(along)), across * length
        cosine, sine = (value.reshape(-1, *(1,) * (x.ndim - 1)) for value in (cosine, sine))
        horizontal, vertical = x[..., :1], x[..., 1:2]
        turned = [cosine * horizontal - sine * vertical, sine * horizontal + cosine * vertical, x[..., 2:]]
        out = jnp.concatenate(turned, axis=-1)
        if train and not self.is_initializing():
            mean = out[..., :2].mean(tuple(range(out.ndim - 2)))
            shape.value = self.momentum * shape.value + (1 - self.momentum) * mean
        return out


def known_points(points: Array) -> Array:
    """Return which points have no NaN, in no frame: float[B,P,D] or float[B,T,P,D] -> float32[B,P,1] of 0 and 1."""
    return 1 - jnp.isnan(point_values(points)).any(-1, keepdims=True).astype(jnp.float32)


def point_values(points: Array) -> Array:
    """Put the frames of each point next to each other: float[B,T,P,D] -> float[B,P,T*D]; float[B,P,D] stays."""
    if points.ndim == 3:
        return points
    batch, frames, count, size = points.shape
    return points.transpose(0, 2, 1, 3).reshape(batch, count, frames * size)


def drop_points(x: Array, rate: float, train: bool) -> Array:
    """Set all values of a share `rate` of the points to zero in training, the others are not scaled up: float[B,P,C].

    Where zero is the mean of each value, a dropped point is where it is on average.
    """
    kept = nn.Dropout(rate, broadcast_dims=(2,), deterministic=not train, name="drop_points")(x)
    return kept * (1 - rate) if train and rate else kept
