"""A plain CNN whose answers can be read off its last map. Shapes: B batch, H height, W width, C channels."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, average_features, max_pool, scale_pixels, stem_stride


class ExplainableCNN(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,256], the means of a last map over its positions.

    Behind a linear head each logit then is the mean of its class activation map, exactly and not by a gradient's
    approximation (Zhou et al. 2016, section 2). The body is as plain as can be: per stage two 3x3 convolutions with
    batch normalisation and ReLU, 2x2 max pooling between stages, and one more 3x3 convolution before the mean, as the
    paper adds it (section 3). Like there the last poolings are left out, for a finer map: 12x12 of 48 pixels.

    Stands for the "Explainable CNN" (Liu et al. 2023) in the survey of the second paper, which tells no layers.
    """

    widths: Sequence[int] = (32, 64, 128)
    features: int = 256
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        conv, norm = layers.conv, layers.norm
        layer = lambda x, width, name, stride=1: nn.relu(
            norm(name=f"{name}_norm")(conv(width, (3, 3), strides=stride, name=name)(x))
        )

        x = scale_pixels(images, self.dtype)
        stride = stem_stride(images.shape[1])
        for stage, width in enumerate(self.widths, start=1):
            x = layer(x if stage == 1 else max_pool(x), width, f"stage{stage}_conv1", stride if stage == 1 else 1)
            x = layer(x, width, f"stage{stage}_conv2")
        x = layer(x, self.features, "last")
        return average_features(self, x)
