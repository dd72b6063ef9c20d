"""Attention that knows the row and the column.

Shapes: B batch, H height, W width, C channels, R = max(C // reduction, 8).
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef


class CoordinateAttention(nn.Module):
    """Weights each channel in each row and in each column (Hou et al. 2021, Coordinate Attention, eq. 4-8).

    x float[B,H,W,C] -> float[B,H,W,C]. The means of the rows and of the columns (eq. 4, 5), float[B,H+W,1,C] one after
    the other, go through a 1x1 convolution to R channels, `norm` and h-swish (eq. 6). The rows' part and the columns'
    part each get a 1x1 convolution back to C and a sigmoid (eq. 7), and both weigh x (eq. 8). At least 8 channels stay
    between, as in the authors' code. What is sown as `spatial_mask` is the mean of the weights over channels.
    """

    norm: ModuleDef
    reduction: int = 32
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        height, channels = x.shape[1], x.shape[-1]
        conv = lambda filters, name, bias=True: nn.Conv(filters, (1, 1), use_bias=bias, dtype=self.dtype, name=name)
        rows, columns = x.mean(2, keepdims=True), x.mean(1, keepdims=True).swapaxes(1, 2)
        both = conv(max(channels // self.reduction, 8), "squeeze", False)(jnp.concatenate([rows, columns], 1))
        both = nn.hard_swish(self.norm(name="norm")(both))
        by_row = nn.sigmoid(conv(channels, "rows")(both[:, :height]))
        by_column = nn.sigmoid(conv(channels, "columns")(both[:, height:])).swapaxes(1, 2)
        self.sow("intermediates", "spatial_mask", (by_row * by_column).mean(-1))
        return x * by_row * by_column
