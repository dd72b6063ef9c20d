"""EfficientNet. Shapes: B batch, H height, W width, C channels in, F filters out, s stride, D features."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.layers import Layers, average_features, scale_pixels, stem_stride

# Expansion, output channels, blocks, stride of the first, kernel (Tan & Le 2019, table 1).
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class SqueezeExcite(nn.Module):
    """Weights each channel by what all hold on average, through `squeezed` units (Hu et al. 2018, eqs. 2 and 3).

    x float[B,H,W,C] -> float[B,H,W,C]. The bottleneck's activation is swish, as everywhere in EfficientNet,
    whose layers have biases here, as its released code has them; MobileNetV3 has another, and another gate.
    """

    squeezed: int
    dtype: DTypeLike = jnp.float32
    activation: Callable[[Array], Array] = nn.swish
    gate: Callable[[Array], Array] = nn.sigmoid

    @nn.compact
    def __call__(self, x: Array) -> Array:
        pooled = self.activation(nn.Dense(self.squeezed, dtype=self.dtype, name="squeeze")(x.mean((1, 2))))
        weight = self.gate(nn.Dense(x.shape[-1], dtype=self.dtype, name="excite")(pooled))
        self.sow("intermediates", "channel_weight", weight)
        return x * weight[:, None, None, :]


class MBConv(nn.Module):
    """MobileNetV2's inverted residual with swish, and squeeze-and-excitation before it narrows.

    x float[B,H,W,C] -> float[B,H/s,W/s,F] (Tan et al. 2019, MnasNet, figure 7). The excitation has a quarter as many
    units as the block has channels in, not as its wide middle has.
    """

    filters: int
    conv: ModuleDef
    norm: ModuleDef
    depthwise: ModuleDef
    attention: ModuleDef
    expansion: int = 6
    kernel: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = x
        if self.expansion > 1:
            y = self.conv(x.shape[-1] * self.expansion, (1, 1), name="expand")(y)
            y = nn.swish(self.norm(name="norm_expand")(y))
        y = self.depthwise(self.kernel, self.stride, name="depthwise")(y)
        y = nn.swish(self.norm(name="norm_depthwise")(y))
        y = self.attention(max(1, x.shape[-1] // 4), name="attention")(y)
        y = self.norm(name="norm_project")(self.conv(self.filters, (1, 1), name="project")(y))
        return x + y if x.shape == y.shape else y


class EfficientNet(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,D], D = 1280 x `width` (Tan & Le 2019, table 1: B0).

    `width` and `depth` multiply channels and blocks of every stage (section 3.3); B2 is 1.1 and 1.2. The paper's B2
    wants larger images as well, which here is the caller's choice. Images below 96 pixels keep their size in the
    stem, where the paper halves 224. Its stochastic depth is left out; its dropout is that before every model's head.
    `published` is the network that PyTorch weights are published for: a stem that halves any size, zeros on both sides
    of a map and ImageNet's pixel values.
    """

    width: float = 1.0
    depth: float = 1.0
    stages: Sequence[tuple[int, int, int, int, int]] = STAGES
    published: bool = False
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype, symmetric=self.published)
        conv, norm = layers.conv, layers.norm
        parts = (conv, norm, layers.depthwise, partial(SqueezeExcite, dtype=self.dtype))
        wide = lambda channels: round_to_8(channels * self.width)

        x = scale_pixels(images, self.dtype, "imagenet" if self.published else "centered")
        stride = 2 if self.published else stem_stride(images.shape[1])
        x = nn.swish(norm(name="stem_norm")(conv(wide(32), (3, 3), strides=stride, name="stem")(x)))
        for stage, (expansion, channels, blocks, stride, kernel) in enumerate(self.stages, start=1):
            for i in range(1, math.ceil(blocks * self.depth) + 1):
                block = partial(MBConv, wide(channels), *parts, expansion, kernel)
                x = block(stride if i == 1 else 1, name=f"stage{stage}_block{i}")(x)
        x = nn.swish(norm(name="last_norm")(conv(wide(1280), (1, 1), name="last")(x)))
        return average_features(self, x)


def round_to_8(channels: float) -> int:
    """Return the nearest multiple of 8, at least 8, and never less than 90 % of what was asked for."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
