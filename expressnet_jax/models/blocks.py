"""Residual blocks. A block gets its `conv` and `norm` ready-made (partials), so it never reads a config or a dtype.

Shapes: B batch, H height, W width, C channels in, F filters out, s stride.
"""

from collections.abc import Callable

import flax.linen as nn
from jax import Array

ModuleDef = Callable[..., nn.Module]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and attention, parallel to an identity (He et al. 2016; Hu et al. 2018, SE-residual).

    x float[B,H,W,C] -> float[B,H/s,W/s,F]. Where the shape changes, the identity is averaged over s x s and projected
    (ResNet-D, He et al. 2019, fig. 2c), so no pixel is skipped; without `average` the projection itself strides, as
    in the first paper. All scales start at one: starting the last at zero (Goyal et al. 2017) costs these shallow
    networks their first epochs.
    """

    filters: int
    conv: ModuleDef
    norm: ModuleDef
    attention: ModuleDef | None = None
    stride: int = 1
    average: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.conv(self.filters, (3, 3), strides=(self.stride, self.stride), name="conv_1")(x)
        y = nn.relu(self.norm(name="norm_1")(y))
        y = self.conv(self.filters, (3, 3), name="conv_2")(y)
        y = self.norm(name="norm_2")(y)
        if self.attention is not None:
            y = self.attention(name="attention")(y)
        return nn.relu(y + self._shortcut(x))

    def _shortcut(self, x: Array) -> Array:
        stride = (self.stride, self.stride)
        if self.average and self.stride > 1:
            x = nn.avg_pool(x, window_shape=stride, strides=stride, padding="SAME", count_include_pad=False)
            stride = (1, 1)
        if x.shape[-1] != self.filters or stride != (1, 1):
            x = self.norm(name="norm_shortcut")(
                self.conv(self.filters, (1, 1), strides=stride, name="conv_shortcut")(x)
            )
        return x


class DepthwiseSeparable(nn.Module):
    """Filters each channel by itself, then mixes them: x float[B,H,W,C] -> float[B,H/s,W/s,F].

    A depthwise 3x3 and a dense 1x1 convolution, each normalised and rectified (Howard et al. 2017, fig. 3 right): 9 C +
    C F weights for the 9 C F of a dense 3x3. `depthwise` is a DepthwiseConv.
    """

    filters: int
    conv: ModuleDef
    norm: ModuleDef
    depthwise: ModuleDef
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.relu(self.norm(name="norm_depthwise")(self.depthwise(stride=self.stride, name="depthwise")(x)))
        return nn.relu(self.norm(name="norm_pointwise")(self.conv(self.filters, (1, 1), name="pointwise")(x)))
