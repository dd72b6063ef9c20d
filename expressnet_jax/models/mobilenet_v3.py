"""MobileNetV3. Shapes: B batch, H height, W width, C channels in, F filters out, s stride, D features."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.efficientnet import SqueezeExcite, round_to_8
from expressnet_jax.models.layers import Layers, scale_pixels, stem_stride


class Row(NamedTuple):
    """A block as a row of the paper's tables: kernel, channels inside and out, with attention, hard swish, stride."""

    kernel: int
    inside: int
    filters: int
    attends: bool
    swish: bool
    stride: int


# Howard et al. 2019, tables 1 and 2.
_LARGE = tuple(
    Row(*row)
    for row in (
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    )
)
SMALL = tuple(
    Row(*row)
    for row in (
        (3, 16, 16, True, False, 2),
        (3, 72, 24, False, False, 2),
        (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2),
        (5, 240, 40, True, True, 1),
        (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1),
        (5, 144, 48, True, True, 1),
        (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1),
        (5, 576, 96, True, True, 1),
    )
)


class HardBlock(nn.Module):
    """MobileNetV2's inverted residual with ReLU or hard swish, and attention in its wide part (figure 4).

    x float[B,H,W,C] -> float[B,H/s,W/s,F]. Nothing widens where the block is as wide as its input.
    """

    row: Row
    conv: ModuleDef
    norm: ModuleDef
    depthwise: ModuleDef
    attention: ModuleDef

    @nn.compact
    def __call__(self, x: Array) -> Array:
        row, activate = self.row, nn.hard_swish if self.row.swish else nn.relu
        y = x
        if row.inside != x.shape[-1]:
            y = activate(self.norm(name="norm_expand")(self.conv(row.inside, (1, 1), name="expand")(y)))
        y = self.depthwise(row.kernel, row.stride, name="depthwise")(y)
        y = activate(self.norm(name="norm_depthwise")(y))
        if row.attends:
            y = self.attention(round_to_8(row.inside // 4), name="attention")(y)
        y = self.norm(name="norm_project")(self.conv(row.filters, (1, 1), name="project")(y))
        return x + y if x.shape == y.shape else y


class MobileNetV3(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,D], D = 1280 or 1024 (Howard et al. 2019).

    The paper's stem halves 224 pixels; here images below 96 keep their size in it. The dense layer behind the average
    is that of the paper's efficient last stage (section 5.1). `published` is the network that PyTorch weights are
    published for: a stem that halves any size, zeros on both sides of a map and ImageNet's pixel values.
    """

    rows: Sequence[Row] = _LARGE
    features: int = 1280
    published: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype, symmetric=self.published)
        conv, norm = layers.conv, layers.norm
        attention = partial(SqueezeExcite, dtype=self.dtype, activation=nn.relu, gate=nn.hard_sigmoid)

        x = scale_pixels(images, self.dtype, "imagenet" if self.published else "centered")
        stride = 2 if self.published else stem_stride(images.shape[1])
        x = nn.hard_swish(norm(name="stem_norm")(conv(16, (3, 3), strides=stride, name="stem")(x)))
        for i, row in enumerate(self.rows, start=1):
            x = HardBlock(Row(*row), conv, norm, layers.depthwise, attention, name=f"block{i}")(x)
        x = nn.hard_swish(norm(name="last_norm")(conv(6 * x.shape[-1], (1, 1), name="last")(x)))
        return nn.hard_swish(nn.Dense(self.features, dtype=self.dtype, name="dense")(x.mean((1, 2))))
