"""ConvNeXt. Shapes: B batch, H height, W width, C channels, p patch, D features."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, scale_pixels


class ConvNeXtBlock(nn.Module):
    """A depthwise 7x7 convolution and a perceptron over channels, parallel to an identity: float[B,H,W,C] -> the same.

    Liu et al. 2022, figure 4: normalisation over channels, four times as many units inside, GELU, and a learned scale
    of each channel that begins at 1e-6 (appendix A.1). Stochastic depth is left out.
    """

    layers: Layers

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels, dtype = x.shape[-1], self.layers.dtype
        bias = self.param("depthwise_bias", nn.initializers.zeros, (channels,))
        y = self.layers.depthwise(7, name="depthwise")(x) + bias.astype(dtype)
        y = self.layers.layer_norm(name="norm")(y)
        y = nn.gelu(nn.Dense(4 * channels, dtype=dtype, name="expand")(y), approximate=False)
        y = nn.Dense(channels, dtype=dtype, name="project")(y)
        return x + self.param("layer_scale", nn.initializers.constant(1e-6), (channels,)).astype(dtype) * y


class ConvNeXt(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,D], D the last width (Liu et al. 2022, section 2.7).

    Images enter as patches of p x p pixels, and each further stage halves the map; what a map has more than a multiple
    of its step is cut. With p = 4 images of 48 pixels end as a single position; p = 2 leaves them 3 x 3. `published`
    scales pixels as ImageNet's, as PyTorch's published weights want them.
    """

    depths: Sequence[int] = (3, 3, 9, 3)
    widths: Sequence[int] = (96, 192, 384, 768)
    patch: int = 4
    published: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)

        x = scale_pixels(images, self.dtype, "imagenet" if self.published else "centered")
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True), start=1):
            step = 2 if stage > 1 else self.patch
            x = layers.layer_norm(name=f"stage{stage}_norm")(x) if stage > 1 else x
            patches = partial(layers.conv, use_bias=True, padding="VALID" if min(x.shape[1:3]) >= step else "SAME")
            x = patches(width, (step, step), strides=step, name=f"stage{stage}_patches")(x)
            x = x if stage > 1 else layers.layer_norm(name="stage1_norm")(x)
            for i in range(1, depth + 1):
                x = ConvNeXtBlock(layers, name=f"stage{stage}_block{i}")(x)
        return layers.layer_norm(name="last_norm")(x.mean((1, 2)))
