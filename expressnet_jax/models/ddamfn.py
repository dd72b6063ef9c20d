"""DDAMFN: mixed depthwise kernels, and attention along rows and columns.

Shapes: B batch, H height, W width, C channels in, F filters out, s stride, k kernel, n side of the last map's grid,
A attention heads, D features.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.face_recognition import PositionWeights
from expressnet_jax.models.layers import ChannelPReLU, Layers, average_grid, scale_pixels, stem_stride

_GRID = 7  # of the last map of faces of 112 pixels
_Kernels = Sequence[tuple[int, int]]  # k, and the channels that it filters


class Stage(NamedTuple):
    """Blocks on maps of one size: filters, the kernels of the block that strides, of the others, how many others."""

    filters: int
    first: _Kernels
    kernels: _Kernels
    depth: int


# As in the code that the authors released.
_STAGES = (
    Stage(64, ((3, 64), (5, 32), (7, 32)), ((3, 96), (5, 32)), 9),
    Stage(128, ((3, 128), (5, 64), (7, 64)), ((3, 192), (5, 64)), 16),
    Stage(256, ((3, 256), (5, 256), (7, 256), (9, 256)), ((3, 172), (5, 170), (7, 170)), 6),
)


class MixedDepthwise(nn.Module):
    """Convolve each channel, groups of channels with kernels of different sizes: float[B,H,W,C] -> float[B,H/s,W/s,C].

    Tan & Le 2019, MixConv, section 3.1. C is the sum of the channels in `kernels`.
    """

    kernels: _Kernels
    stride: int
    depthwise: ModuleDef

    @nn.compact
    def __call__(self, x: Array) -> Array:
        sizes, channels = zip(*self.kernels, strict=True)
        parts = jnp.split(x, list(accumulate(channels))[:-1], axis=-1)
        found = [self.depthwise(k, self.stride, name=f"kernel_{k}")(part) for k, part in zip(sizes, parts, strict=True)]
        return jnp.concatenate(found, axis=-1)


class MixedBottleneck(nn.Module):
    """MobileFaceNet's inverted residual with mixed kernels and attention: float[B,H,W,C] -> float[B,H/s,W/s,F].

    Nothing is normalised or rectified between the filters and the attention, as in the released code, whose layers for
    that are never called.
    """

    filters: int
    kernels: _Kernels
    stride: int
    layers: Layers
    attention: ModuleDef | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        conv, norm = self.layers.conv, self.layers.norm
        inside = sum(channels for _, channels in self.kernels)
        y = ChannelPReLU(name="prelu")(norm(name="norm_expand")(conv(inside, (1, 1), name="expand")(x)))
        y = MixedDepthwise(self.kernels, self.stride, self.layers.depthwise, name="depthwise")(y)
        y = y if self.attention is None else self.attention(name="attention")(y)
        y = norm(name="norm_project")(conv(self.filters, (1, 1), name="project")(y))
        return x + y if self.stride == 1 else y


class DualDirectionAttention(nn.Module):
    """Say how much each channel counts at each position: float[B,n,n,C] -> float[B,n,n,C] in 0..1.

    A position's weight is the product of what its row and its column say, as in coordinate attention (Hou et al. 2021,
    eq. 6 to 8), whose means along rows and columns are learned weighted sums here (`rows_kernel` and `columns_kernel`
    float32[n,C]), each normalised: Zhang et al. 2023 call it the dual-direction attention head.
    """

    layers: Layers
    reduction: int = 32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        dtype, norm = self.layers.dtype, self.layers.norm
        side, channels = x.shape[1], x.shape[-1]
        weights = lambda name: self.param(name, nn.initializers.constant(1 / side), (side, channels)).astype(x.dtype)
        rows = norm(name="norm_rows")((x * weights("rows_kernel")).sum(2))
        columns = norm(name="norm_columns")((x * weights("columns_kernel")[:, None]).sum(1))
        squeeze = nn.Dense(max(channels // self.reduction, 8), use_bias=False, dtype=dtype, name="squeeze")
        both = nn.hard_swish(norm(name="norm")(squeeze(jnp.concatenate([rows, columns], axis=1))))
        by_row = nn.sigmoid(nn.Dense(channels, dtype=dtype, name="rows")(both[:, :side]))
        by_column = nn.sigmoid(nn.Dense(channels, dtype=dtype, name="columns")(both[:, side:]))
        return by_row[:, :, None] * by_column[:, None]


class DDAMFN(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,D], D = 512 (Zhang et al. 2023, DDAMFN).

    A MobileFaceNet with mixed kernels and coordinate attention in every block; then each position of the last map is
    weighed by the strongest of A heads of `DualDirectionAttention`, and a depthwise convolution as large as the map
    sums it. Images of 112 pixels have the paper's maps; below 96 pixels they keep their size in the stem, and a last
    map of another size than 7 x 7 is averaged to that grid. What the heads say is sown as `head_attention`
    float[B,A,n,n,C], for the loss `attention_diversity`.
    """

    stages: Sequence[Stage] = _STAGES
    width: int = 64
    last: int = 512
    heads: int = 2
    attention: str = "coordinate"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype, symmetric=True)
        conv, norm, attention = layers.conv, layers.norm, layers.attend(self.attention)

        x, stride = scale_pixels(images, self.dtype), stem_stride(images.shape[1])
        x = norm(name="stem_norm")(conv(self.width, (3, 3), strides=stride, name="stem")(x))
        x = layers.depthwise(name="depthwise")(ChannelPReLU(name="stem_prelu")(x))
        x = ChannelPReLU(name="prelu_depthwise")(norm(name="norm_depthwise")(x))
        for stage, (filters, first, kernels, depth) in enumerate(self.stages, start=1):
            x = MixedBottleneck(filters, first, 2, layers, attention, name=f"stage{stage}_block1")(x)
            for i in range(2, depth + 2):
                x = MixedBottleneck(filters, kernels, 1, layers, attention, name=f"stage{stage}_block{i}")(x)
        x = norm(name="last_norm")(conv(self.last, (1, 1), name="last")(x))
        x = average_grid(ChannelPReLU(name="last_prelu")(x), _GRID)
        masks = [DualDirectionAttention(layers, name=f"head{i}")(x) for i in range(1, self.heads + 1)]
        self.sow("intermediates", "head_attention", jnp.stack(masks, axis=1))
        strongest = reduce(jnp.maximum, masks)
        self.sow("intermediates", "spatial_mask", strongest.mean(-1))
        return norm(name="positions_norm")(PositionWeights(name="positions")(x * strongest))
