"""STSTNet, a shallow network of optical flow for micro-expressions (Liong et al. 2019).

Shapes: B batch, H height, W width, C channels, P places of a map, D features.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, scale_pixels


class STSTNet(nn.Module):
    """Encode flow and strain: float[B,H,W,3] in 0..255 -> features float32[B,D], D = P x the sum of `widths`.

    Shallow triple stream three-dimensional CNN (section III): three streams see u, v and strain together, each by one
    3x3 convolution of a few filters, batch normalisation and ReLU, and a 3x3 maximum with stride 3; their maps side by
    side are averaged over 2x2, which leaves 5x5 places of 28 pixels.
    """

    widths: Sequence[int] = (3, 5, 8)
    dtype: DTypeLike = jnp.float32

    input_kind = "flow"

    @nn.compact
    def __call__(self, flow: Array, train: bool = False) -> Array:
        layers, x = Layers(train, self.dtype), scale_pixels(flow, self.dtype)
        streams = []
        for i, width in enumerate(self.widths, start=1):
            y = layers.conv(width, (3, 3), padding=2, name=f"conv_{i}")(x)
            y = nn.relu(layers.norm(name=f"norm_{i}")(y))
            y = jnp.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))  # behind ReLU a zero changes no maximum
            streams.append(nn.max_pool(y, window_shape=(3, 3), strides=(3, 3)))
        pooled = nn.avg_pool(jnp.concatenate(streams, axis=-1), window_shape=(2, 2), strides=(2, 2))
        return pooled.reshape(pooled.shape[0], -1).astype(jnp.float32)
