"""The small network of separable convolutions. Shapes: B batch, H height, W width, C channels in, F filters out."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.layers import Layers, average_features, overlapping_max_pool, scale_pixels, stem_stride


class SeparableResidual(nn.Module):
    """Two depthwise separable convolutions and a 3x3 pooling parallel to a strided projection.

    x float[B,H,W,C] -> float[B,H/2,W/2,F] (Arriaga et al. 2017, section III): a 3x3 kernel per channel, then 1x1 across
    channels with nothing in between (Chollet 2017, Xception), batch normalisation, and ReLU after the first.
    """

    filters: int
    conv: ModuleDef
    norm: ModuleDef
    depthwise: ModuleDef

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = nn.relu(self._separable(x, 1))
        y = self._separable(y, 2)
        y = overlapping_max_pool(y)
        x = self.conv(self.filters, (1, 1), strides=(2, 2), name="conv_shortcut")(x)
        return y + self.norm(name="norm_shortcut")(x)

    def _separable(self, x: Array, i: int) -> Array:
        x = self.depthwise(name=f"depthwise_{i}")(x)
        return self.norm(name=f"norm_{i}")(self.conv(self.filters, (1, 1), name=f"pointwise_{i}")(x))


class MiniXception(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,128], "mini-Xception" (Arriaga et al. 2017, section III).

    Two unpadded 3x3 convolutions of 8 filters and four separable residual modules. The released network ends in a 3x3
    convolution to the classes, averaged over positions; here the average comes first and a dense head after it, so that
    there are features: for 7 classes 903 parameters instead of 8,071. All before is the released network's, 50,352
    values for gray images, those of the normalisations' statistics included as Keras counts them.
    """

    stem_width: int = 8
    widths: Sequence[int] = (16, 32, 64, 128)
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        conv, norm, depthwise = layers.conv, layers.norm, layers.depthwise

        x = scale_pixels(images, self.dtype)
        for i, stride in enumerate((stem_stride(images.shape[1]), 1), start=1):
            x = conv(self.stem_width, (3, 3), strides=stride, padding="VALID", name=f"stem_{i}")(x)
            x = nn.relu(norm(name=f"stem_norm_{i}")(x))
        for i, width in enumerate(self.widths, start=1):
            x = SeparableResidual(width, conv, norm, depthwise, name=f"block{i}")(x)
        return average_features(self, x)
