"""Ghost modules. Shapes: B batch, H height, W width, C channels in, F filters out, E expanded channels, s stride.

Blocks get `conv`, `norm` and `depthwise` (a DepthwiseConv) ready-made, as those of blocks.py do.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.blocks import ModuleDef


class GhostModule(nn.Module):
    """Half of the maps by a dense convolution, the other half as cheap linear maps of those.

    x float[B,H,W,C] -> float[B,H,W,F] (Han et al. 2020, eq. 2 and 3, with their choice of s = 2 and d = 3): a 1x1
    convolution gives the intrinsic maps, a 3x3 filter of each its ghost, and the output is all intrinsic maps, then all
    ghosts. Each half is normalised, and rectified where `rectify` is set, as in the code that the authors published; an
    odd F has one ghost fewer.
    """

    filters: int
    conv: ModuleDef
    norm: ModuleDef
    depthwise: ModuleDef
    rectify: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        activation = nn.relu if self.rectify else lambda y: y
        ghosts = self.filters // 2
        y = self.conv(self.filters - ghosts, (1, 1), name="intrinsic")(x)
        y = activation(self.norm(name="norm_intrinsic")(y))
        cheap = self.norm(name="norm_ghost")(self.depthwise(name="ghost")(y[..., :ghosts]))
        return jnp.concatenate([y, activation(cheap)], axis=-1)


class GhostBottleneck(nn.Module):
    """Two Ghost modules parallel to an identity: the first widens, the second narrows without an activation.

    x float[B,H,W,C] -> float[B,H/s,W/s,F] (Han et al. 2020, fig. 3). A stride is a depthwise convolution between the
    two, and `attention` (the paper's is squeeze-and-excitation) weighs the E = expansion x C maps there. Where the
    shape changes, the identity passes a depthwise and a 1x1 convolution, as in the authors' code.
    """

    filters: int
    conv: ModuleDef
    norm: ModuleDef
    depthwise: ModuleDef
    attention: ModuleDef | None = None
    expansion: int = 2
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = GhostModule(x.shape[-1] * self.expansion, self.conv, self.norm, self.depthwise, name="expand")(x)
        if self.stride > 1:
            y = self.norm(name="norm_stride")(self.depthwise(stride=self.stride, name="stride_conv")(y))
        if self.attention is not None:
            y = self.attention(name="attention")(y)
        y = GhostModule(self.filters, self.conv, self.norm, self.depthwise, rectify=False, name="project")(y)
        return y + self._shortcut(x)

    def _shortcut(self, x: Array) -> Array:
        if self.stride == 1 and x.shape[-1] == self.filters:
            return x
        x = self.depthwise(stride=self.stride, name="depthwise_shortcut")(x)
        x = self.norm(name="norm_depthwise_shortcut")(x)
        return self.norm(name="norm_shortcut")(self.conv(self.filters, (1, 1), name="conv_shortcut")(x))
