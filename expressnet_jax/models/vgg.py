"""VGG networks. Shapes: B batch, H height, W width, C channels, D features."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, average_features, max_pool, scale_pixels

# 3x3 convolutions of each stage (Simonyan & Zisserman 2015, table 1).
VGG11, VGG16, VGG19 = (1, 1, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)


class VGG(nn.Module):
    """3x3 convolutions in five stages: float[B,H,W,C] in 0..255 -> features float[B,D], D = 8 x width.

    Configurations A, D and E of Simonyan & Zisserman 2015, table 1: the width doubles from stage to stage up to eight
    times the first, and a 2x2 max pooling ends each, so images have 32 pixels or more. As in the VGG nets published
    for FER2013, each convolution is batch-normalised, and the average over the last map stands in place of the two
    dense layers of 4096, which hold most of the paper's parameters. `attention` weighs what a stage's last convolution
    gives. Large images come in as they are. `published` is the network that PyTorch weights are published for: it
    scales pixels as ImageNet's.
    """

    depths: Sequence[int]
    width: int = 64
    attention: str = "none"
    published: bool = False
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        conv, norm, attention = layers.conv, layers.norm, layers.attend(self.attention)

        x = scale_pixels(images, self.dtype, "imagenet" if self.published else "centered")
        for stage, depth in enumerate(self.depths, start=1):
            for i in range(1, depth + 1):
                x = conv(self.width * min(2 ** (stage - 1), 8), (3, 3), name=f"stage{stage}_conv{i}")(x)
                x = nn.relu(norm(name=f"stage{stage}_norm{i}")(x))
            if attention is not None:
                x = attention(name=f"stage{stage}_attention")(x)
            x = max_pool(x)
        return average_features(self, x)
