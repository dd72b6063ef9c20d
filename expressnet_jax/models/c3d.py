"""C3D, a plain network of 3D convolutions. Shapes: B batch, T frames, H height, W width, C channels, D features."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, max_pool, max_pool_frames, scale_pixels


class C3D(nn.Module):
    """Encode clips: float[B,T,H,W,C] in 0..255 -> features float32[B,D], D the last of `widths`; any T.

    The five-layer network that Tran et al. 2015 (section 3.1) explore kernels with: 3x3x3 convolutions, each followed
    by a 2x2x2 maximum, of which the first leaves time alone. Two things differ: batch normalisation, and the mean over
    what is left in place of two dense layers of 2,048 units, which would be nine tenths of all parameters. Widths are
    half of the paper's.
    """

    widths: Sequence[int] = (32, 64, 128, 128, 128)
    dtype: DTypeLike = jnp.float32

    input_kind = "clip"

    @nn.compact
    def __call__(self, clips: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        x = scale_pixels(clips, self.dtype)
        for i, width in enumerate(self.widths, start=1):
            x = layers.conv_3d(width, (3, 3, 3), name=f"conv_{i}")(x)
            x = nn.relu(layers.norm(name=f"norm_{i}")(x))
            if i < len(self.widths):
                x = _pool(x) if i == 1 else max_pool_frames(_pool(x))
        return x.mean((1, 2, 3)).astype(jnp.float32)


def _pool(x: Array) -> Array:
    """Return the maximum of every 2x2 pixels of each frame."""
    pooled = max_pool(x.reshape(-1, *x.shape[2:]))
    return pooled.reshape(*x.shape[:2], *pooled.shape[1:])
