"""Attention over feature maps. Shapes: B batch, H height, W width, C channels, R = max(C // reduction, 4)."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def largest(x: Array, axes: tuple[int, ...]) -> Array:
    """The maximum over neighbouring axes, whose gradient goes to the first place that has it.

    JAX's own looks for the places equal to the maximum and divides by their number. A compiler may compute x twice,
    rounded in two ways; then no place is equal, and 0 / 0 makes the whole gradient NaN (jax issue 40564 is its sister).
    """
    return x.max(axes)


@largest.defjvp
def _largest_jvp(axes, primals, tangents):
    (x,), (change,) = primals, tangents
    flat = (*x.shape[: axes[0]], -1, *x.shape[axes[-1] + 1 :])
    place = jnp.argmax(jnp.reshape(x, flat), axes[0], keepdims=True)
    change = change.reshape(flat)
    here = jax.lax.broadcasted_iota(place.dtype, change.shape, axes[0]) == place
    return largest(x, axes), jnp.where(here, change, 0).sum(axes[0])


class ChannelAttention(nn.Module):
    """Weights each channel by what it holds on average and at most (CAM).

    x float[B,H,W,C] -> float[B,H,W,C]. One two-layer perceptron C -> R -> C serves both the mean and the maximum over
    positions; their sum goes through a sigmoid (Woo et al. 2018, CBAM, eq. 2; He et al., section 4.2).
    """

    reduction: int = 8
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        squeeze = nn.Dense(max(channels // self.reduction, 4), dtype=self.dtype, name="squeeze")
        excite = nn.Dense(channels, dtype=self.dtype, name="excite")
        perceptron = lambda pooled: excite(nn.relu(squeeze(pooled)))
        weight = nn.sigmoid(perceptron(x.mean((1, 2))) + perceptron(largest(x, (1, 2))))
        self.sow("intermediates", "channel_weight", weight)
        return x * weight[:, None, None, :]


class MultiScaleSpatialAttention(nn.Module):
    """Weights each position by what its neighbourhoods of several sizes hold.

    x float[B,H,W,C] -> float[B,H,W,C]. The mean and the maximum over channels, float[B,H,W,2], are convolved with one
    kernel per receptive field and the fields are summed with learned shares (a softmax, so that they compete). The sum
    is normalised before the sigmoid, as in the code that Woo et al. published with CBAM (eq. 3 is `kernels=(7,)`).
    Several kernels follow He et al., section 4.3, which leaves sizes and fusion open: 3 covers a mouth corner, 7 a
    whole eye or mouth of a 24-pixel map.

    The mask is twice the sigmoid and the normalisation's scale starts at zero, so the module starts as the identity.
    Means and maxima of rectified features are never negative: without normalisation they push the sigmoid to one of
    its ends from the first step on, and training hardly begins.
    """

    norm: Callable[..., nn.Module]
    kernels: Sequence[int] = (3, 7)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        pooled = jnp.stack([x.mean(-1), largest(x, (3,))], axis=-1)
        fields = [nn.Conv(1, (k, k), dtype=self.dtype, name=f"field_{k}")(pooled) for k in self.kernels]
        share = nn.softmax(self.param("share", nn.initializers.zeros, (len(self.kernels),)))
        field = sum(share[i].astype(x.dtype) * field for i, field in enumerate(fields))
        mask = 2 * nn.sigmoid(self.norm(name="norm", scale_init=nn.initializers.zeros)(field))
        self.sow("intermediates", "spatial_mask", mask[..., 0])
        return x * mask


class ChannelSpatialAttention(nn.Module):
    """Channels first, then positions (Woo et al. 2018, CBAM, section 3): x float[B,H,W,C] -> float[B,H,W,C]."""

    norm: Callable[..., nn.Module]
    reduction: int = 8
    kernels: Sequence[int] = (3, 7)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = ChannelAttention(self.reduction, self.dtype, name="channel")(x)
        return MultiScaleSpatialAttention(self.norm, self.kernels, self.dtype, name="spatial")(x)
