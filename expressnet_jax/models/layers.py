"""Provide the layers of every backbone: the one module that knows how the platform computes them.

Shapes: B batch, T frames, H height, W width, C channels, D features, k kernel, s stride.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.errors import UserError
from expressnet_jax.models.attention import make_attention
from expressnet_jax.models.batch_norm import BatchNorm
from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.cpu.convolution import direct_conv, matmul_conv
from expressnet_jax.models.cpu.depthwise import shifted_conv
from expressnet_jax.models.cpu.volume import direct_volume_conv, matmul_volume_conv
from expressnet_jax.models.layer_forms import few_kernels, use_matmul_conv


@dataclass(frozen=True)
class Layers:
    """Make the layers of a backbone, for training or not, with arithmetic in `dtype`; parameters stay float32.

    `conv`, `norm`, `depthwise` and what `attend` returns are partial modules, to be called as
    `conv(filters, (k, k), strides=s, name=...)(x)`; a block takes them as they are. With `symmetric`, as many zeros are
    put before a map as behind it, as PyTorch does: SAME puts fewer before an even one that is strided over.
    """

    train: bool
    dtype: DTypeLike = jnp.float32
    symmetric: bool = False

    @property
    def conv(self) -> ModuleDef:
        """nn.Conv without bias, He's initialisation (He et al. 2015).

        On a CPU it trains through matrix products. Evaluation always takes XLA's primitive: what is measured and
        exported is the plain sum.
        """
        return self._conv(matmul_conv, direct_conv)

    @property
    def conv_3d(self) -> ModuleDef:
        """`conv` over the frames and pixels of float[B,T,H,W,C], with kernels (k, k, k)."""
        return self._conv(matmul_volume_conv, direct_volume_conv)

    def _conv(self, in_training: Callable[..., Array], otherwise: Callable[..., Array]) -> ModuleDef:
        function = (in_training if self.train else otherwise) if use_matmul_conv() else None
        initial = nn.initializers.he_normal()
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype, kernel_init=initial, conv_general_dilated=function)
        return partial(_symmetric_conv, conv) if self.symmetric else conv

    @property
    def norm(self) -> ModuleDef:
        """Batch normalisation, by the batch in training and by the running averages otherwise.

        A GPU trains by a module with fewer kernels, and the same variables.
        """
        if self.train and few_kernels():
            return partial(BatchNorm, momentum=0.9, dtype=self.dtype)
        return partial(nn.BatchNorm, use_running_average=not self.train, momentum=0.9, dtype=self.dtype)

    @property
    def layer_norm(self) -> ModuleDef:
        """Normalisation over the channels of each position (Ba et al. 2016)."""
        return partial(nn.LayerNorm, epsilon=1e-6, dtype=self.dtype, use_fast_variance=False)

    @property
    def depthwise(self) -> ModuleDef:
        return partial(DepthwiseConv, dtype=self.dtype, symmetric=self.symmetric)

    def attend(self, name: str) -> ModuleDef | None:
        """Return the attention of that name in ATTENTIONS; "none" is None.

        Raises:
          UserError: an unknown name; the message lists the valid ones.
        """
        return make_attention(name, self.norm, self.dtype)


def _symmetric_conv(conv: ModuleDef, filters: int, kernel: tuple[int, int], **options) -> nn.Module:
    return conv(filters, kernel, padding=[(k // 2, k // 2) for k in kernel], **options)


class ChannelPReLU(nn.Module):
    """max(x, 0) + slope min(x, 0) with a learned `slope` float32[C] (He et al. 2015, eq. 1), of float[...,C]."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        slope = self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],))
        return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)


class DepthwiseConv(nn.Module):
    """Convolve each channel with a separate k x k kernel, padded as SAME: float[B,H,W,C] -> float[B,H/s,W/s,C].

    `symmetric` is that of `Layers`. The parameter is `kernel` float32[k,k,1,C], as nn.Conv(feature_group_count=C) would
    have it. It is one grouped convolution on accelerators, and a sum of shifted products on a CPU.
    """

    kernel: int = 3
    stride: int = 1
    dtype: DTypeLike = jnp.float32
    symmetric: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.kernel, self.kernel, 1, x.shape[-1])
        kernel = self.param("kernel", nn.initializers.he_normal(in_axis=(0, 1), out_axis=(), batch_axis=(2, 3)), shape)
        convolve = shifted_conv if use_matmul_conv() else grouped_conv
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if not (self.symmetric and self.stride == 2):
            return convolve(x, kernel, self.stride)
        height, width = x.shape[1:3]
        x = jnp.pad(
            x, ((0, 0), *((1 - n % 2,) * 2 for n in (height, width)), (0, 0))
        )  # SAME then begins a pixel earlier
        return convolve(x, kernel, 2)[:, : -(-height // 2), : -(-width // 2)]


def grouped_conv(x: Array, kernel: Array, stride: int) -> Array:
    """Convolve each channel by XLA's primitive with C groups: float[B,H,W,C] by float[k,k,1,C]."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=layout, feature_group_count=x.shape[-1]
    )


@jax.custom_jvp
def max_pool(x: Array) -> Array:
    """Return the maximum of every 2x2 pixels: float[B,H,W,C] -> float[B,H/2,W/2,C]; an odd last row or column is cut.

    Of equal maxima each takes its share of the gradient. XLA's own gradient searches every window once more, value by
    value, which costs a small network on a CPU a third of its speed.
    """
    return nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))


@max_pool.defjvp
def _max_pool_jvp(primals, tangents):
    (x,), (change,) = primals, tangents
    batch, height, width, channels = x.shape
    height, width = height // 2, width // 2
    windows = lambda v: v[:, : 2 * height, : 2 * width].reshape(batch, height, 2, width, 2, channels)
    top = windows(x).max((2, 4), keepdims=True)
    here = (windows(x) == top).astype(x.dtype)
    share = here / jnp.maximum(here.sum((2, 4), keepdims=True), 1)
    return top[:, :, 0, :, 0], (share * windows(change)).sum((2, 4))


def max_pool_frames(x: Array) -> Array:
    """Return the maximum of every two frames: [B,T,...] -> [B,T/2,...]; an odd last one is cut, a single one stays."""
    last = x.shape[1] // 2 * 2
    return jnp.maximum(x[:, :last:2], x[:, 1:last:2]) if last else x


def overlapping_max_pool(x: Array, symmetric: bool = False) -> Array:
    """Return the maximum of 3x3 pixels at every second one: float[B,H,W,C] -> float[B,H/2,W/2,C], padded as SAME.

    `symmetric` is that of `Layers`.
    """
    if not symmetric:
        return nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding="SAME")
    lowest = float(jnp.finfo(x.dtype).min)
    around = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=lowest)  # the ONNX file would get it wrong
    return nn.max_pool(around, window_shape=(3, 3), strides=(2, 2), padding="VALID")


def average_features(backbone: nn.Module, x: Array) -> Array:
    """Average the last map over its positions: float[B,H,W,C] -> features float[B,C].

    The map is sown as `activation_map`: behind a linear head, a logit is the mean of its class activation map. A
    backbone whose `tokens` is true gives `map_tokens` instead, for a fusion that joins tokens.
    """
    if getattr(backbone, "tokens", False):
        return map_tokens(x)
    backbone.sow("intermediates", "activation_map", x)
    return x.mean((1, 2))


def map_tokens(x: Array) -> Array:
    """Return the positions of a map as tokens: float[B,H,W,C] -> float[B,H*W,C+2].

    The last two values are where the position's middle lies in the image, x right and y down from -1 to 1.
    """
    batch, height, width, channels = x.shape
    down, right = ((2 * jnp.arange(size) + 1) / size - 1 for size in (height, width))
    place = jnp.stack(jnp.broadcast_arrays(right[None], down[:, None]), axis=-1).astype(x.dtype)
    placed = jnp.concatenate([x, jnp.broadcast_to(place, (batch, height, width, 2))], axis=-1)
    return placed.reshape(batch, height * width, channels + 2)


def average_grid(x: Array, grid: int) -> Array:
    """Return the means over n x n cells that cover the map: float[B,H,W,C] -> float[B,n,n,C].

    Cell i reaches from floor(i H / n) to ceil((i + 1) H / n), as PyTorch's adaptive average pooling has it: cells
    overlap where n does not divide H.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        if size == grid:
            continue
        ends = [(i * size // grid, -(-(i + 1) * size // grid)) for i in range(grid)]
        x = jnp.stack([x[(slice(None),) * axis + (slice(*cell),)].mean(axis) for cell in ends], axis)
    return x


# Mean and standard deviation of ImageNet's pixels in 0..255, as PyTorch's published networks are trained with.
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def scale_pixels(images: Array, dtype: DTypeLike = jnp.float32, pixels: str = "centered") -> Array:
    """Scale pixel values 0..255, uint8 or float, to -1..1 in `dtype`; with `pixels` "imagenet" by mean and deviation.

    The latter differ between colours, so there a gray image float[B,H,W,1] becomes float[B,H,W,3]: a network that was
    trained on colours sees it as it would see it stored in colours.

    Raises:
      UserError: another `pixels`.
    """
    if check_choice("pixels", pixels, ("centered", "imagenet")) == "centered":
        return (images / 127.5 - 1).astype(dtype)
    return ((images - jnp.array(IMAGENET_MEAN)) / jnp.array(IMAGENET_STD)).astype(dtype)


def stem_stride(height: int) -> int:
    """Return the stride by which an image enters: 1 below 96 pixels, 2 below 192, 4 from there on."""
    return 1 if height < 96 else 2 if height < 192 else 4


def check_choice(option: str, name: str, names: Collection[str]) -> str:
    """Return `name`, if it is one of `names`.

    Raises:
      UserError: it isn't; the message lists the valid ones.
    """
    if name not in names:
        raise UserError(f"model.options.{option}: no {option} {name!r}; one of {', '.join(names)}")
    return name
