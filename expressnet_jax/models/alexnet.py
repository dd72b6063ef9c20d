"""AlexNet for small images. Shapes: B batch, H height, W width, C channels, n grid."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, average_grid, overlapping_max_pool, scale_pixels, stem_stride


class AlexNet(nn.Module):
    """Five convolutions and two dense layers: float[B,H,W,C] in 0..255 -> features float[B,512].

    Order, ReLU and overlapping pooling (3x3 with stride 2, after layers 1, 2 and 5) are those of Krizhevsky et al.
    2012, section 3, the widths those of its one-tower form (Krizhevsky 2014, as released in cuda-convnet2). Adapted:

    - the first kernel is 5x5 instead of 11x11 and keeps images below 96 pixels at their size;
    - batch normalisation instead of local response normalisation, after every convolution (Ioffe & Szegedy 2015);
    - the last map is averaged to 4x4 whatever its size, so that one set of parameters serves images of any size;
    - the dense layers have 512 units instead of 4096. Of the dropout after each (section 4.2) the second is that before
      every model's head; the first is left out.
    """

    widths: Sequence[int] = (64, 192, 384, 256, 256)
    grid: int = 4
    features: int = 512
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)

        x = scale_pixels(images, self.dtype)
        for i, width in enumerate(self.widths, start=1):
            kernel, stride = (5, 5) if i <= 2 else (3, 3), stem_stride(images.shape[1]) if i == 1 else 1
            x = nn.relu(layers.norm(name=f"norm_{i}")(layers.conv(width, kernel, strides=stride, name=f"conv_{i}")(x)))
            if i in (1, 2, 5):
                x = overlapping_max_pool(x)
        x = average_grid(x, self.grid).reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(self.features, dtype=self.dtype, name="dense_1")(x))
        return nn.relu(nn.Dense(self.features, dtype=self.dtype, name="dense_2")(x))
