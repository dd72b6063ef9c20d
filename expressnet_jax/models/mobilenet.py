"""MobileNetV2. Shapes: B batch, H height, W width, C channels, D features."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.layers import Layers, average_features, scale_pixels, stem_stride

# Expansion, output channels, blocks, stride of the first (Sandler et al. 2018, table 2).
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow again without an activation; an identity where the shape stays.

    x float[B,H,W,C] -> float[B,H/s,W/s,F] (Sandler et al. 2018, table 1 and figure 4d), ReLU6 inside. An
    attention weighs what the filters give, in the wide part (Howard et al. 2019, MobileNetV3, figure 4).
    """

    filters: int
    conv: ModuleDef
    norm: ModuleDef
    depthwise: ModuleDef
    attention: ModuleDef | None = None
    expansion: int = 6
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = x
        if self.expansion > 1:
            y = nn.relu6(
                self.norm(name="norm_expand")(self.conv(x.shape[-1] * self.expansion, (1, 1), name="expand")(y))
            )
        y = self.depthwise(stride=self.stride, name="depthwise")(y)
        y = nn.relu6(self.norm(name="norm_depthwise")(y))
        if self.attention is not None:
            y = self.attention(name="attention")(y)
        y = self.norm(name="norm_project")(self.conv(self.filters, (1, 1), name="project")(y))
        return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,D], D = 1280 (Sandler et al. 2018, table 2).

    The paper's stem halves 224 pixels; here images below 96 keep their size in it, as networks for small images do.
    `attention`, a name in ATTENTIONS, is in every block. `published` is the network that PyTorch weights are published
    for: a stem that halves any size, zeros on both sides of a map and ImageNet's pixel values.
    """

    width: float = 1.0
    features: int = 1280
    stages: Sequence[tuple[int, int, int, int]] = STAGES
    attention: str = "none"
    published: bool = False
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype, symmetric=self.published)
        conv, norm, depthwise, attention = layers.conv, layers.norm, layers.depthwise, layers.attend(self.attention)
        wide = lambda channels: max(8, int(channels * self.width + 4) // 8 * 8)

        x = scale_pixels(images, self.dtype, "imagenet" if self.published else "centered")
        stride = 2 if self.published else stem_stride(images.shape[1])
        x = nn.relu6(norm(name="stem_norm")(conv(wide(32), (3, 3), strides=stride, name="stem")(x)))
        for stage, (expansion, channels, depth, stride) in enumerate(self.stages, start=1):
            for i in range(1, depth + 1):
                block = partial(InvertedResidual, wide(channels), conv, norm, depthwise, attention, expansion)
                x = block(stride if i == 1 else 1, name=f"stage{stage}_block{i}")(x)
        x = nn.relu6(norm(name="last_norm")(conv(self.features, (1, 1), name="last")(x)))
        return average_features(self, x)
