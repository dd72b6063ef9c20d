"""AlexNet for small pictures. Shapes: B batch, H height, W width, C channels, n grid."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.convolution import conv_for
from expressnet_jax.models.expressnet import stem_stride


class AlexNet(nn.Module):
    """Five convolutions and two dense layers: float[B,H,W,C] in 0..255 -> features float[B,512].

    Order, ReLU and overlapping pooling (3x3 with stride 2, after layers 1, 2 and 5) are those of Krizhevsky et al.
    2012, section 3, the widths those of its one-tower form (Krizhevsky 2014, as released in cuda-convnet2). Adapted:

    - the first kernel is 5x5 instead of 11x11 and keeps pictures below 96 pixels at their size;
    - batch normalisation instead of local response normalisation, after every convolution (Ioffe & Szegedy 2015);
    - the last map is averaged to 4x4 whatever its size, so that one set of parameters serves pictures of any size;
    - the dense layers have 512 units instead of 4096. Of the dropout after each (section 4.2) the second is that before
      every model's head; the first is left out.
    """

    widths: Sequence[int] = (64, 192, 384, 256, 256)
    grid: int = 4
    features: int = 512
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        conv = partial(conv_for(train), use_bias=False, dtype=self.dtype, kernel_init=nn.initializers.he_normal())
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=self.dtype)

        x = (images / 127.5 - 1).astype(self.dtype)
        for i, width in enumerate(self.widths, start=1):
            kernel, stride = (5, 5) if i <= 2 else (3, 3), stem_stride(images.shape[1]) if i == 1 else 1
            x = nn.relu(norm(name=f"norm_{i}")(conv(width, kernel, strides=stride, name=f"conv_{i}")(x)))
            if i in (1, 2, 5):
                x = nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding="SAME")
        x = average_grid(x, self.grid).reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(self.features, dtype=self.dtype, name="dense_1")(x))
        return nn.relu(nn.Dense(self.features, dtype=self.dtype, name="dense_2")(x))


def average_grid(x: Array, grid: int) -> Array:
    """Means over n x n cells that cover the map: float[B,H,W,C] -> float[B,n,n,C].

    Cell i reaches from floor(i H / n) to ceil((i + 1) H / n), as PyTorch's adaptive average pooling has it: cells
    overlap where n does not divide H.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        ends = [(i * size // grid, -(-(i + 1) * size // grid)) for i in range(grid)]
        x = jnp.stack([x[(slice(None),) * axis + (slice(*cell),)].mean(axis) for cell in ends], axis)
    return x
