"""Residual networks. Shapes: B batch, H height, W width, C channels in, F filters out, s stride, D features."""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef, ResidualBlock
from expressnet_jax.models.layers import (
    Layers,
    average_features,
    check_choice,
    overlapping_max_pool,
    scale_pixels,
    stem_stride,
)


class BottleneckBlock(ResidualBlock):
    """Narrow to a quarter, 3x3, widen again, parallel to an identity (He et al. 2016, figure 5 right).

    x float[B,H,W,C] -> float[B,H/s,W/s,F]. The 3x3 convolution strides, as Goyal et al. 2017 (section 5.1) and the
    published weights have it, and sees every pixel; the paper strides in the 1x1 before it.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        inner, stride = self.filters // 4, (self.stride, self.stride)
        y = nn.relu(self.norm(name="norm_1")(self.conv(inner, (1, 1), name="conv_1")(x)))
        y = nn.relu(self.norm(name="norm_2")(self.conv(inner, (3, 3), strides=stride, name="conv_2")(y)))
        y = self.norm(name="norm_3")(self.conv(self.filters, (1, 1), name="conv_3")(y))
        if self.attention is not None:
            y = self.attention(name="attention")(y)
        return nn.relu(y + self._shortcut(x))


# Kind of block -> the block, its filters as a multiple of the stage's width (He et al. 2016, table 1).
BLOCKS = {"basic": (ResidualBlock, 1), "bottleneck": (BottleneckBlock, 4)}


class ResNet(nn.Module):
    """Residual network: float[B,H,W,C] in 0..255 -> features float[B,D], D = 8 x width, of bottlenecks 32 x width.

    The blocks are those of He et al. 2016, table 1: two 3x3 convolutions (18 and 34 layers) or bottlenecks (50 and
    more) and, where the shape changes, a strided 1x1 projection. The stem is the 3x3 convolution of its CIFAR form
    (section 4.2), without pooling: FER2013's best residual nets keep 48 pixels that way. Larger images enter through
    a larger stride. The stem "imagenet" is table 1's, whatever the size: 7x7 and 3x3 max pooling, each with stride 2,
    which leaves a sixteenth of the arithmetic of 48 pixels.
    `published` is the network that PyTorch weights are published for: that stem, zeros on both sides of a map and
    ImageNet's pixel values.
    `attention`, a name in ATTENTIONS, is in every block, on the way back to the identity.
    """

    depths: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    block: Literal["basic", "bottleneck"] = "basic"
    stem: Literal["small", "imagenet"] = "small"
    attention: str = "none"
    published: bool = False
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype, symmetric=self.published)
        conv, norm, attention = layers.conv, layers.norm, layers.attend(self.attention)

        x = scale_pixels(images, self.dtype, "imagenet" if self.published else "centered")
        x = self._stem(x, conv, norm)
        block, expansion = BLOCKS[check_choice("block", self.block, BLOCKS)]
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                name = f"stage{stage + 1}_block{i + 1}"
                x = block(expansion * self.width * 2**stage, conv, norm, attention, stride, average=False, name=name)(x)
        return average_features(self, x)

    def _stem(self, x: Array, conv: ModuleDef, norm: ModuleDef) -> Array:
        small = check_choice("stem", self.stem, ("small", "imagenet")) == "small" and not self.published
        kernel, stride = ((3, 3), stem_stride(x.shape[1])) if small else ((7, 7), 2)
        x = nn.relu(norm(name="stem_norm")(conv(self.width, kernel, strides=stride, name="stem")(x)))
        return x if small else overlapping_max_pool(x, self.published)
