"""Networks of face recognition. Shapes: B batch, H height, W width, C channels, F filters, s stride, D features.

Both end in an embedding of faces of 112 pixels, whose last map is 7 x 7. A map of another size is averaged to that grid
first, so that one set of parameters serves images of any size.
"""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import (
    ChannelPReLU,
    Layers,
    average_features,
    average_grid,
    check_choice,
    scale_pixels,
)

_GRID = 7  # of the last map of faces of 112 pixels


class IRBlock(nn.Module):
    """Normalisation, 3x3, PReLU, 3x3 with stride, normalisation, parallel to an identity: float[B,H,W,C] ->
    float[B,H/s,W/s,F].

    Deng et al. 2019 (ArcFace), section 3.1. `form` "insightface" normalises between the convolutions, too, and projects
    where the map shrinks; "evolve", of face.evoLVe, takes every s-th pixel there if the channels stay.
    """

    filters: int
    stride: int
    form: str
    layers: Layers

    @nn.compact
    def __call__(self, x: Array) -> Array:
        conv, norm, stride = self.layers.conv, self.layers.norm, self.stride
        y = conv(self.filters, (3, 3), name="conv_1")(norm(name="norm_1")(x))
        y = norm(name="norm_2")(y) if self.form == "insightface" else y
        y = conv(self.filters, (3, 3), strides=stride, name="conv_2")(ChannelPReLU(name="prelu")(y))
        y = norm(name="norm_3")(y)
        if x.shape[-1] != self.filters or (stride > 1 and self.form == "insightface"):
            projected = conv(self.filters, (1, 1), strides=stride, name="conv_shortcut")(x)
            return y + norm(name="norm_shortcut")(projected)
        return y + x[:, ::stride, ::stride]


class IR(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,D], the embedding (Deng et al. 2019, section 3.1).

    Each of four stages halves the map. With `embedding` 0 the features are the means of the last map, D = 8 x width.
    """

    depths: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    embedding: int = 512
    form: Literal["insightface", "evolve"] = "insightface"
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype, symmetric=True)
        form = check_choice("form", self.form, ("insightface", "evolve"))

        x = scale_pixels(images, self.dtype)
        x = layers.norm(name="stem_norm")(layers.conv(self.width, (3, 3), name="stem")(x))
        x = ChannelPReLU(name="stem_prelu")(x)
        for stage, depth in enumerate(self.depths, start=1):
            for i in range(1, depth + 1):
                block = IRBlock(
                    self.width * 2 ** (stage - 1), 2 if i == 1 else 1, form, layers, name=f"stage{stage}_block{i}"
                )
                x = block(x)
        x = layers.norm(name="last_norm")(x)
        if not self.embedding:
            return average_features(self, x)
        flat = average_grid(x, _GRID).transpose(0, 3, 1, 2).reshape(x.shape[0], -1)  # channels first, as published
        x = nn.Dense(self.embedding, dtype=self.dtype, name="embedding")(flat)
        return layers.norm(name="embedding_norm")(x)


class FaceBottleneck(nn.Module):
    """MobileNetV2's inverted residual with PReLU: float[B,H,W,C] -> float[B,H/s,W/s,F]."""

    filters: int
    inside: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Array) -> Array:
        conv, norm = self.layers.conv, self.layers.norm
        y = norm(name="norm_expand")(conv(self.inside, (1, 1), name="expand")(x))
        y = self.layers.depthwise(stride=self.stride, name="depthwise")(ChannelPReLU(name="prelu_expand")(y))
        y = ChannelPReLU(name="prelu_depthwise")(norm(name="norm_depthwise")(y))
        y = norm(name="norm_project")(conv(self.filters, (1, 1), name="project")(y))
        return x + y if self.stride == 1 else y


class PositionWeights(nn.Module):
    """Sum the positions of each channel by weights `kernel` float32[H,W,1,C]: float[B,H,W,C] -> float[B,C]."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        _, height, width, channels = x.shape
        mean = nn.initializers.constant(1 / (height * width))
        return (x * self.param("kernel", mean, (height, width, 1, channels))[:, :, 0].astype(x.dtype)).sum((1, 2))


# Of each stage: channels, channels inside a block that strides and inside the others, and how many others.
STAGES = ((64, 128, 128, 4), (128, 256, 256, 6), (128, 512, 256, 2))


class MobileFaceNet(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,D], the embedding (Chen et al. 2018, table 1).

    A depthwise convolution as large as the last map weighs its positions in place of their mean (section 3.1). Widths
    are those of the released InsightFace_Pytorch: 512 in the last map, PReLU throughout.
    """

    stages: Sequence[tuple[int, int, int, int]] = STAGES
    width: int = 64
    last: int = 512
    embedding: int = 512
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype, symmetric=True)

        x = scale_pixels(images, self.dtype)
        x = layers.norm(name="stem_norm")(layers.conv(self.width, (3, 3), strides=2, name="stem")(x))
        x = layers.depthwise(name="depthwise")(ChannelPReLU(name="stem_prelu")(x))
        x = ChannelPReLU(name="prelu_depthwise")(layers.norm(name="norm_depthwise")(x))
        for stage, (filters, first, inside, depth) in enumerate(self.stages, start=1):
            x = FaceBottleneck(filters, first, 2, layers, name=f"stage{stage}_block1")(x)
            for i in range(2, depth + 2):
                x = FaceBottleneck(filters, inside, 1, layers, name=f"stage{stage}_block{i}")(x)
        x = layers.norm(name="last_norm")(layers.conv(self.last, (1, 1), name="last")(x))
        x = PositionWeights(name="positions")(average_grid(ChannelPReLU(name="last_prelu")(x), _GRID))
        x = layers.norm(name="positions_norm")(x)
        x = nn.Dense(self.embedding, use_bias=False, dtype=self.dtype, name="embedding")(x)
        return layers.norm(name="embedding_norm")(x)
