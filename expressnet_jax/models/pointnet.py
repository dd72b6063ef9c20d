"""PointNet, a network of point sets in any order. Shapes: B batch, P points, D coordinates, C values of a point."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers
from expressnet_jax.models.points import drop_points, normalise_points, point_values
from expressnet_jax.models.vector import dense_layers


class PointNet(nn.Module):
    """Encode a set of points: float[B,P,D], any P -> features float32[B,W], W the last of `hidden`.

    The points are centered and scaled (`normalise_points`); a shared perceptron of `widths` sees every point, the
    maximum over points makes the set's description, and dense layers of `hidden` follow (Qi et al. 2017, PointNet,
    section 4.2, eq. 1; a quarter of its widths). The order of the points changes nothing. float[B,T,P,D] is taken as P
    points of T*D coordinates.

    Attributes:
      transform: turn each set by a D x D matrix first, which a small network of the same form predicts from it (T-Net,
        the paper's input transform; it begins as the identity).
      point_dropout: share of the points that are left out in training.
    """

    widths: Sequence[int] = (32, 64, 256)
    hidden: Sequence[int] = (128,)
    transform: bool = False
    hidden_dropout: float = 0.0
    point_dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    input_kind = "points"

    @nn.compact
    def __call__(self, points: Array, train: bool = False) -> Array:
        x = point_values(normalise_points(points))
        if self.transform:
            x = x @ TNet(dtype=self.dtype, name="t_net")(x, train)
        x = _describe_set(x, self.widths, train, self.dtype, self.point_dropout)
        dropouts = [self.hidden_dropout] * len(self.hidden)
        return dense_layers(x, self.hidden, dropouts, train, self.dtype).astype(jnp.float32)


class TNet(nn.Module):
    """Predict the matrix by which a set of points is turned: float[B,P,C] -> float32[B,C,C]; at first the identity."""

    widths: Sequence[int] = (32, 128)
    hidden: Sequence[int] = (64,)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        size = x.shape[-1]
        dropouts = [0.0] * len(self.hidden)
        found = dense_layers(_describe_set(x, self.widths, train, self.dtype), self.hidden, dropouts, train, self.dtype)
        change = nn.Dense(size * size, kernel_init=nn.initializers.zeros, name="matrix")(found.astype(jnp.float32))
        return jnp.eye(size) + change.reshape(-1, size, size)


def _describe_set(x: Array, widths: Sequence[int], train: bool, dtype: DTypeLike, point_dropout: float = 0.0) -> Array:
    """Return the maximum over points of a shared perceptron: float[B,P,C] -> float[B,W], W the last of `widths`.

    Its layers `point_1`, ... belong to the calling module. A dropped point is zero behind the last ReLU, so it is no
    maximum.
    """
    norm = Layers(train, dtype).norm
    for i, width in enumerate(widths, start=1):
        x = nn.Dense(width, use_bias=False, dtype=dtype, name=f"point_{i}")(x)
        x = nn.relu(norm(name=f"point_norm_{i}")(x))
    return drop_points(x, point_dropout, train).max(1)
