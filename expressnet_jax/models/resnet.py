"""Residual networks. Shapes: B batch, H height, W width, C channels, D features."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ResidualBlock
from expressnet_jax.models.convolution import conv_for
from expressnet_jax.models.expressnet import stem_stride


class ResNet(nn.Module):
    """Basic-block ResNet for small pictures: float[B,H,W,C] in 0..255 -> features float[B,D], D = 8 x width.

    The blocks are those of He et al. 2016, table 1 (18 and 34 layers): two 3x3 convolutions and, where the shape
    changes, a strided 1x1 projection. The stem is the 3x3 convolution of its CIFAR form (section 4.2), without pooling:
    FER2013's best residual nets keep 48 pixels that way. Larger pictures enter through a larger stride.
    """

    depths: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        conv = partial(conv_for(train), use_bias=False, dtype=self.dtype, kernel_init=nn.initializers.he_normal())
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=self.dtype)

        x = (images / 127.5 - 1).astype(self.dtype)
        stride = stem_stride(images.shape[1])
        x = nn.relu(norm(name="stem_norm")(conv(self.width, (3, 3), strides=stride, name="stem")(x)))
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                name = f"stage{stage + 1}_block{i + 1}"
                x = ResidualBlock(self.width * 2**stage, conv, norm, None, stride, average=False, name=name)(x)
        self.sow("intermediates", "activation_map", x)  # what the features are averages of
        return x.mean((1, 2))
