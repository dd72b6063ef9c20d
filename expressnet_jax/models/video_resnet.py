"""Residual networks of clips: R3D and R(2+1)D (Tran et al. 2018, A closer look at spatiotemporal convolutions).

Shapes: B batch, T frames, H height, W width, C channels in, F filters out, M filters between, s stride, D features.
"""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, check_choice, scale_pixels

KINDS = ("3d", "2+1d")


class SpaceTimeConv(nn.Module):
    """Convolve over 3x3x3 at once, or over 3x3 pixels and then over 3 frames.

    float[B,T,H,W,C] -> float[B,T/s,H/s,W/s,F]. With `between` = M it is factorised: M filters over space, normalised
    and rectified, then F over time (figure 1d).
    """

    filters: int
    layers: Layers
    stride: int = 1
    between: int = 0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        conv, s = self.layers.conv_3d, self.stride
        if not self.between:
            return conv(self.filters, (3, 3, 3), strides=(s, s, s), name="conv")(x)
        x = conv(self.between, (1, 3, 3), strides=(1, s, s), name="space")(x)
        x = nn.relu(self.layers.norm(name="norm_space")(x))
        return conv(self.filters, (3, 1, 1), strides=(s, 1, 1), name="time")(x)


class ClipBlock(nn.Module):
    """Two space-time convolutions parallel to an identity: float[B,T,H,W,C] -> float[B,T/s,H/s,W/s,F].

    Where the shape changes, a strided 1x1x1 convolution projects the identity. A factorised block has as many
    parameters as the other: M = 27 C F / (9 C + 3 F) (section 3.5), with the block's C in both of its convolutions, as
    the published weights have it.
    """

    filters: int
    layers: Layers
    stride: int = 1
    factorise: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        inputs, filters, layers = x.shape[-1], self.filters, self.layers
        between = 27 * inputs * filters // (9 * inputs + 3 * filters) if self.factorise else 0
        y = SpaceTimeConv(filters, layers, self.stride, between, name="conv_1")(x)
        y = nn.relu(layers.norm(name="norm_1")(y))
        y = SpaceTimeConv(filters, layers, 1, between, name="conv_2")(y)
        y = layers.norm(name="norm_2")(y)
        if inputs != filters or self.stride != 1:
            x = layers.conv_3d(filters, (1, 1, 1), strides=(self.stride,) * 3, name="conv_shortcut")(x)
            x = layers.norm(name="norm_shortcut")(x)
        return nn.relu(y + x)


class VideoResNet(nn.Module):
    """Residual network of clips: float[B,T,H,W,C] in 0..255 -> features float32[B,D], D = 8 x width; any T.

    Tran et al. 2018, table 1: a stem that strides over space alone, four stages of blocks, of which all but the first
    halve space and time, and the mean over what is left. `kind` is "3d" (R3D) or "2+1d" (R(2+1)D). With the defaults
    the parameters are those of torchvision's r3d_18 and r2plus1d_18.
    """

    depths: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    kind: Literal["3d", "2+1d"] = "3d"
    dtype: DTypeLike = jnp.float32

    input_kind = "clip"

    @nn.compact
    def __call__(self, clips: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        factorise = check_choice("kind", self.kind, KINDS) == "2+1d"
        x = self._stem(scale_pixels(clips, self.dtype), layers, factorise)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                name = f"stage{stage + 1}_block{i + 1}"
                x = ClipBlock(self.width * 2**stage, layers, stride, factorise, name=name)(x)
        return x.mean((1, 2, 3)).astype(jnp.float32)

    def _stem(self, x: Array, layers: Layers, factorise: bool) -> Array:
        if not factorise:
            x = layers.conv_3d(self.width, (3, 7, 7), strides=(1, 2, 2), name="stem")(x)
            return nn.relu(layers.norm(name="stem_norm")(x))
        between = 45 * self.width // 64  # 45 filters for 64, as the published weights have it
        x = layers.conv_3d(between, (1, 7, 7), strides=(1, 2, 2), name="stem_space")(x)
        x = nn.relu(layers.norm(name="stem_norm_space")(x))
        return nn.relu(layers.norm(name="stem_norm")(layers.conv_3d(self.width, (3, 1, 1), name="stem")(x)))
