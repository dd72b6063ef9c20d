"""Attention over feature maps, by name in ATTENTIONS.

Shapes: B batch, H height, W width, C channels, R = max(C // reduction, 4), k kernel.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.errors import UserError
from expressnet_jax.models.batch_norm import BatchNorm
from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.coordinate_attention import CoordinateAttention
from expressnet_jax.models.layer_forms import few_kernels
from expressnet_jax.models.mean_max import mean_and_max


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def max_first_argmax(x: Array, axes: tuple[int, ...]) -> Array:
    """Return the maximum over neighbouring axes, whose gradient goes to the first place that has it.

    JAX's own looks for the places equal to the maximum and divides by their number. A compiler may compute x twice,
    rounded in two ways; then no place is equal, and 0 / 0 makes the whole gradient NaN (jax issue 40564 is its sister).
    """
    return x.max(axes)


@max_first_argmax.defjvp
def _max_first_argmax_jvp(axes, primals, tangents):
    (x,), (change,) = primals, tangents
    flat = (*x.shape[: axes[0]], -1, *x.shape[axes[-1] + 1 :])
    place = jnp.argmax(jnp.reshape(x, flat), axes[0], keepdims=True)
    change = change.reshape(flat)
    here = jax.lax.broadcasted_iota(place.dtype, change.shape, axes[0]) == place
    return max_first_argmax(x, axes), jnp.where(here, change, 0).sum(axes[0])


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
        mean, highest = x.mean((1, 2)), max_first_argmax(x, (1, 2))
        if few_kernels():  # one product a layer instead of two: what is linear comes after the sum
            hidden = nn.relu(squeeze(jnp.stack([mean, highest]))).sum(0)
            once = excite(hidden)
            weight = nn.sigmoid(once + excite.variables["params"]["bias"].astype(once.dtype))
        else:
            weight = nn.sigmoid(perceptron(mean) + perceptron(highest))
        self.sow("intermediates", "channel_weight", weight)
        return x * weight[:, None, None, :]


class SqueezeExcitation(nn.Module):
    """Weights each channel by all channels' means (SE).

    x float[B,H,W,C] -> float[B,H,W,C] (Hu et al. 2018, SENet, eq. 2-4). The layers C -> R -> C have no biases: eq. 3
    has none, and eq. 5 counts 2 C^2 / reduction parameters.
    """

    reduction: int = 16
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        dense = partial(nn.Dense, use_bias=False, dtype=self.dtype)
        hidden = nn.relu(dense(max(channels // self.reduction, 4), name="squeeze")(x.mean((1, 2))))
        weight = nn.sigmoid(dense(channels, name="excite")(hidden))
        self.sow("intermediates", "channel_weight", weight)
        return x * weight[:, None, None, :]


class EfficientChannelAttention(nn.Module):
    """Weights each channel by the means of its k neighbours among the channels (ECA).

    x float[B,H,W,C] -> float[B,H,W,C]. One kernel float[k] without bias slides over the C means, padded with zeros, and
    a sigmoid follows (Wang et al. 2020, ECA-Net, eq. 5); k grows with C, see `adaptive_kernel`.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        k = adaptive_kernel(x.shape[-1])
        means = x.mean((1, 2))[..., None]
        weight = nn.sigmoid(nn.Conv(1, (k,), use_bias=False, dtype=self.dtype, name="neighbours")(means).squeeze(-1))
        self.sow("intermediates", "channel_weight", weight)
        return x * weight[:, None, None, :]


def adaptive_kernel(channels: int, gamma: float = 2, b: float = 1) -> int:
    """The odd number nearest to (log2(C) + b) / gamma, of two the larger (Wang et al. 2020, ECA-Net, eq. 12)."""
    return 1 + 2 * int((math.log2(channels) + b) / gamma // 2)


class SpatialAttention(nn.Module):
    """Weights each position by what lies around it.

    x float[B,H,W,C] -> float[B,H,W,C]. The mean and the maximum over channels, float[B,H,W,2], are convolved with one
    7x7 kernel; a sigmoid follows (Woo et al. 2018, CBAM, eq. 3). As in `MultiScaleSpatialAttention`, the convolution is
    normalised and the scale starts at zero, so that never-negative features don't saturate the sigmoid. The mask is
    `gain` times it: two makes the module start as the identity.
    """

    norm: ModuleDef
    kernel: int = 7
    gain: float = 2.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        pooled = jnp.stack([x.mean(-1), max_first_argmax(x, (3,))], axis=-1)
        field = nn.Conv(1, (self.kernel, self.kernel), use_bias=False, dtype=self.dtype, name="field")(pooled)
        mask = self.gain * nn.sigmoid(self.norm(name="norm", scale_init=nn.initializers.zeros)(field))
        self.sow("intermediates", "spatial_mask", mask[..., 0])
        return x * mask


class CBAM(nn.Module):
    """Channels first, then positions: x float[B,H,W,C] -> float[B,H,W,C] (Woo et al. 2018, CBAM, eq. 1)."""

    norm: ModuleDef
    reduction: int = 16
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = ChannelAttention(self.reduction, self.dtype, name="channel")(x)
        return SpatialAttention(self.norm, dtype=self.dtype, name="spatial")(x)


class ParallelChannelSpatialAttention(nn.Module):
    """Channels and positions side by side on the same input (CSAM).

    x float[B,H,W,C] -> float[B,H,W,C]. Channels are weighed by their means alone, positions by a convolution over mean
    and maximum (He et al., section 3.3). The paper leaves the fusion open; here the two weighted maps are added, as in
    scSE (Roy et al. 2018), so that what one branch finds survives where the other closes. Both weights lie in 0..1 and
    start near 1/2, so the sum starts near the identity.
    """

    norm: ModuleDef
    reduction: int = 16
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        by_channel = SqueezeExcitation(self.reduction, self.dtype, name="channel")(x)
        return by_channel + SpatialAttention(self.norm, gain=1.0, dtype=self.dtype, name="spatial")(x)


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
        norm = self.norm(name="norm", scale_init=nn.initializers.zeros)
        if isinstance(norm, BatchNorm):  # a GPU that trains
            pooled = jnp.stack(mean_and_max(x), axis=-1)
            fields = [_FieldKernel(k, name=f"field_{k}")() for k in self.kernels]
            field = _shared_field(pooled, fields, nn.softmax(self._share()))
        else:
            pooled = jnp.stack([x.mean(-1), max_first_argmax(x, (3,))], axis=-1)
            maps = [nn.Conv(1, (k, k), dtype=self.dtype, name=f"field_{k}")(pooled) for k in self.kernels]
            share = nn.softmax(self._share())
            weighted = [share[i].astype(x.dtype) * one for i, one in enumerate(maps)]
            field = sum(weighted[1:], weighted[0])
        mask = 2 * nn.sigmoid(norm(field))
        self.sow("intermediates", "spatial_mask", mask[..., 0])
        return x * mask

    def _share(self) -> Array:
        return self.param("share", nn.initializers.zeros, (len(self.kernels),))


class _FieldKernel(nn.Module):
    """The parameters of nn.Conv(1, (k, k)) over mean and maximum: float32[k,k,2,1] and float32[1]."""

    size: int

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        shape = (self.size, self.size, 2, 1)
        return self.param("kernel", nn.linear.default_kernel_init, shape), self.param("bias", nn.zeros_init(), (1,))


def _shared_field(pooled: Array, fields: Sequence[tuple[Array, Array]], share: Array) -> Array:
    """Return the sum over (kernel, bias) of share times convolution, as one convolution.

    pooled float[B,H,W,2] -> float[B,H,W,1]. Its kernel is the sum of share times kernel, the smaller ones
    in the middle of the largest. Biases have no gradient: normalisation by the batch takes off again what they add.
    """
    kernels, biases = zip(*fields, strict=True)
    size = max(len(kernel) for kernel in kernels)
    before = [(size - 1) // 2 - (len(kernel) - 1) // 2 for kernel in kernels]
    around = [(n, size - len(kernel) - n) for n, kernel in zip(before, kernels, strict=True)]
    padded = [jnp.pad(kernel, (n, n, (0, 0), (0, 0))) for n, kernel in zip(around, kernels, strict=True)]
    shares = jax.lax.split(share, [1] * len(share))  # whose gradient is one array; that of share[i] is a sum of many
    weighted = lambda arrays: reduce(jnp.add, map(jnp.multiply, shares, arrays))
    kernel, bias = weighted(padded), jax.lax.stop_gradient(weighted(biases))
    layout = ("NHWC", "HWIO", "NHWC")
    field = jax.lax.conv_general_dilated(
        pooled, jnp.asarray(kernel, pooled.dtype), (1, 1), "SAME", dimension_numbers=layout
    )
    return field + jnp.asarray(bias, pooled.dtype)


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


# Each factory takes (norm, dtype) and gives what a block calls as `attention(name=...)(x)`.
ATTENTIONS: dict[str, Callable[[ModuleDef, DTypeLike], ModuleDef | None]] = {
    "none": lambda norm, dtype: None,
    "se": lambda norm, dtype: partial(SqueezeExcitation, dtype=dtype),
    "eca": lambda norm, dtype: partial(EfficientChannelAttention, dtype=dtype),
    "cam": lambda norm, dtype: partial(ChannelAttention, dtype=dtype),
    "spatial": lambda norm, dtype: partial(SpatialAttention, norm, dtype=dtype),
    "cbam": lambda norm, dtype: partial(CBAM, norm, dtype=dtype),
    "csam": lambda norm, dtype: partial(ParallelChannelSpatialAttention, norm, dtype=dtype),
    "multi_scale": lambda norm, dtype: partial(MultiScaleSpatialAttention, norm, dtype=dtype),
    "channel_multi_scale": lambda norm, dtype: partial(ChannelSpatialAttention, norm, dtype=dtype),
    "coordinate": lambda norm, dtype: partial(CoordinateAttention, norm, dtype=dtype),
}


def make_attention(name: str, norm: ModuleDef, dtype: DTypeLike) -> ModuleDef | None:
    """An attention by name, float[B,H,W,C] -> float[B,H,W,C], as a block takes it; "none" is None.

    Raises:
      UserError: an unknown name; the message lists the valid ones.
    """
    check_attention(name)
    return ATTENTIONS[name](norm, dtype)


def check_attention(name: str) -> None:
    """Raises UserError for an unknown name, so that it is refused before anything is traced."""
    if name not in ATTENTIONS:
        raise UserError(f"model.options: no attention {name!r}; one of {', '.join(ATTENTIONS)}")
