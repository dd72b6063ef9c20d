"""Networks of landmarks, whose order is always the same.

Shapes: B batch, T frames, P points, D = 2 or 3 coordinates, C values of a point.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers
from expressnet_jax.models.points import TurnToMean, drop_points, known_points, normalise_points, point_values
from expressnet_jax.models.vector import dense_layers


class LandmarkMLP(nn.Module):
    """Encode landmarks: float[B,P,D] or float[B,T,P,D] -> features float32[B,W], W the last of `widths`.

    The points are centered, scaled and turned (`normalise_points`, `TurnToMean`), each coordinate is normalised over
    the batch, a share `point_dropout` of the points is put at its mean in training; then dense layers, with
    `hidden_dropout` between them.
    """

    widths: Sequence[int] = (256, 256)
    hidden_dropout: float = 0.0
    point_dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    input_kind = "points"

    @nn.compact
    def __call__(self, points: Array, train: bool = False) -> Array:
        places = point_values(TurnToMean(name="turn")(normalise_points(points), train))
        x = drop_points(_norm_values(places, known_points(points), train), self.point_dropout, train)
        dropouts = [self.hidden_dropout * (i > 0) for i in range(len(self.widths))]
        x = dense_layers(x.reshape(x.shape[0], -1), self.widths, dropouts, train, self.dtype)
        return x.astype(jnp.float32)


class LandmarkGCN(nn.Module):
    """Encode landmarks by graph convolutions: float[B,P,D] or float[B,T,P,D] -> features float32[B,F].

    The graph is made of each example's own points: every point is joined to its k = `neighbours` nearest ones
    (`nearest_neighbours`; of frames, by the mean place). A node begins with its coordinates, as they are and normalised
    over the batch, and a learned vector that says which point it is. Each layer is
    ReLU(norm(W x + V A x)), A the mean over the neighbours (after Kipf & Welling 2017, eq. 2, with a separate kernel
    for the node itself, as Hamilton et al. 2017, GraphSAGE, have it), added to x where the widths are equal. At the end
    R = `readout` values of every node are put side by side, and a dense layer gives the F features. With `tokens` the
    nodes themselves are the result, float[B,P,W+2], each with its place in the image behind it (0 of a missing one).
    """

    widths: Sequence[int] = (32, 32, 32)
    neighbours: int = 8
    readout: int = 8
    features: int = 128
    hidden_dropout: float = 0.0
    point_dropout: float = 0.0
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    input_kind = "points"

    @nn.compact
    def __call__(self, points: Array, train: bool = False) -> Array:
        norm = Layers(train, self.dtype).norm
        places = point_values(TurnToMean(name="turn")(normalise_points(points), train))
        values = drop_points(_norm_values(places, known_points(points), train), self.point_dropout, train)
        graph = nearest_neighbours(_mean_places(places, points.shape[-1]), self.neighbours).astype(self.dtype)
        count = places.shape[1]
        which = nn.Embed(count, 8, embedding_init=nn.initializers.normal(0.5), name="which")(jnp.arange(count))
        which = jnp.broadcast_to(which, (places.shape[0], *which.shape))
        x = jnp.concatenate([values, places, which], axis=-1).astype(self.dtype)
        for i, width in enumerate(self.widths, start=1):
            own = nn.Dense(width, use_bias=False, dtype=self.dtype, name=f"own_{i}")(x)
            near = nn.Dense(width, use_bias=False, dtype=self.dtype, name=f"near_{i}")(graph @ x)
            out = nn.relu(norm(name=f"norm_{i}")(own + near))
            x = x + out if x.shape == out.shape else out
        if self.tokens:
            place = _mean_places(point_values(points), points.shape[-1])[..., :2]
            return jnp.concatenate([x, jnp.nan_to_num(place).astype(x.dtype)], axis=-1)
        x = nn.Dense(self.readout, dtype=self.dtype, name="readout")(x)
        x = dense_layers(
            x.reshape(x.shape[0], -1), (self.features,), (self.hidden_dropout,), train, self.dtype, "features"
        )
        return x.astype(jnp.float32)


def _norm_values(x: Array, known: Array, train: bool) -> Array:
    """Normalise each value of each point over the examples that have it: float32[B,P,C] -> the same, 0 where missing.

    known float32[B,P,1] is 1 where a point is there. The parameters are `norm_points` of the calling module. Missing
    points have no part in the statistics: as zeros, which are far from where any point lies, they would inflate them.
    """
    flat = x.reshape(x.shape[0], -1)
    if train:
        there = jnp.broadcast_to(known, x.shape).reshape(flat.shape) > 0
        found = _NormOfKnown(name="norm_points")(flat, there)
    else:
        found = Layers(train).norm(name="norm_points")(flat)
    return found.reshape(x.shape) * known


class _NormOfKnown(nn.Module):
    """Normalise by what a batch has of each value, with Flax's variables: float32[B,C], bool[B,C] -> float32[B,C].

    A value that no example of the batch has keeps its running statistics, by which the examples are normalised then.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, there: Array) -> Array:
        shape = x.shape[1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        count = there.sum(0)
        average = lambda values: jnp.where(there, values, 0).sum(0) / jnp.maximum(count, 1)
        center = jnp.where(count > 0, average(x), mean.value)
        spread = jnp.where(count > 0, average(jnp.square(x - center)), var.value)
        if not self.is_initializing():
            mean.value = self.momentum * mean.value + (1 - self.momentum) * center
            var.value = self.momentum * var.value + (1 - self.momentum) * spread
        return (x - center) * (jax.lax.rsqrt(spread + self.epsilon) * scale) + bias


def nearest_neighbours(places: Array, neighbours: int) -> Array:
    """Return the mean over each point's k nearest others and itself as a matrix: float32[B,P,D] -> float32[B,P,P].

    Rows add up to 1. Points as far away as the k-th, to a hundred-thousandth, are neighbours as well, so that rounding
    does not choose among equals. No gradient passes through the choice.
    """
    places = jax.lax.stop_gradient(places)
    square = ((places[:, :, None] - places[:, None]) ** 2).sum(-1)
    last = jnp.sort(square, axis=-1)[..., min(neighbours, places.shape[1] - 1)]
    near = (square <= last[..., None] * (1 + 1e-5)).astype(jnp.float32)
    return near / near.sum(-1, keepdims=True)


def _mean_places(values: Array, size: int) -> Array:
    """Return the mean over frames: float[B,P,T*D] -> float[B,P,D]."""
    return values.reshape(*values.shape[:2], -1, size).mean(2)
