"""The plain CNN of Reddi et al. (the 91 % paper). Shapes: B batch, H height, W width, C channels."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, max_pool


class PlainCNN(nn.Module):
    """Three convolutions and two dense layers: float[B,H,W,C] in 0..255 -> features float[B,64].

    32, 64, 128 filters, ReLU and 2x2 max pooling after each, dense 128 and 64 with ReLU, pixels scaled to [0, 1]
    (Reddi et al., "Model Architecture" and "Data Preprocessing"). The paper leaves open kernel size, padding and
    regularisation: 3x3, SAME and none, as in the tutorials its wording follows.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        conv = partial(Layers(train, self.dtype).conv, use_bias=True, kernel_init=nn.initializers.lecun_normal())
        x = (images / 255).astype(self.dtype)
        for i, filters in enumerate((32, 64, 128), start=1):
            x = nn.relu(conv(filters, (3, 3), name=f"conv_{i}")(x))
            x = max_pool(x)
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(128, dtype=self.dtype, name="dense_1")(x))
        return nn.relu(nn.Dense(64, dtype=self.dtype, name="dense_2")(x))
