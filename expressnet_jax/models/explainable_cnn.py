"""A plain CNN whose answers can be read off its last map. Shapes: B batch, H height, W width, C channels."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import max_pool
from expressnet_jax.models.convolution import conv_for
from expressnet_jax.models.expressnet import stem_stride


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
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        conv = partial(conv_for(train), use_bias=False, dtype=self.dtype, kernel_init=nn.initializers.he_normal())
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=self.dtype)
        layer = lambda x, width, name, stride=1: nn.relu(
            norm(name=f"{name}_norm")(conv(width, (3, 3), strides=stride, name=name)(x))
        )

        x = (images / 127.5 - 1).astype(self.dtype)
        stride = stem_stride(images.shape[1])
        for stage, width in enumerate(self.widths, start=1):
            x = layer(x if stage == 1 else max_pool(x), width, f"stage{stage}_conv1", stride if stage == 1 else 1)
            x = layer(x, width, f"stage{stage}_conv2")
        x = layer(x, self.features, "last")
        self.sow("intermediates", "activation_map", x)  # what the features are averages of
        return x.mean((1, 2))
