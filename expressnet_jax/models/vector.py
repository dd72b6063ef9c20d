"""A network of measured values, such as action units. Shapes: B batch, D values of an example, W width."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers


class VectorMLP(nn.Module):
    """Encode values: float[B,...] -> features float32[B,W], W the last of `widths`.

    Each value is normalised over the batch; then for each width dropout, a dense layer, batch normalisation and ReLU.
    Without widths the normalised values are the features, and behind a linear head that is logistic regression.
    """

    widths: Sequence[int] = (64,)
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    input_kind = "vector"

    @nn.compact
    def __call__(self, values: Array, train: bool = False) -> Array:
        norm = Layers(train, self.dtype).norm
        x = norm(name="norm_0")(values.reshape(values.shape[0], -1).astype(jnp.float32))
        dropouts = [self.dropout] * len(self.widths)
        return dense_layers(x, self.widths, dropouts, train, self.dtype).astype(jnp.float32)


def dense_layers(
    x: Array, widths: Sequence[int], dropouts: Sequence[float], train: bool, dtype: DTypeLike, name: str = ""
) -> Array:
    """Apply for each width its dropout, a dense layer, batch normalisation and ReLU: float[B,D] -> float[B,W].

    They belong to the calling module, as `dense_1`, `norm_1`, ..., with `name` and an underscore before these.
    """
    norm, prefix = Layers(train, dtype).norm, f"{name}_" if name else ""
    for i, (width, dropout) in enumerate(zip(widths, dropouts, strict=True), start=1):
        x = nn.Dropout(dropout, deterministic=not train)(x)
        x = nn.relu(norm(name=f"{prefix}norm_{i}")(nn.Dense(width, dtype=dtype, name=f"{prefix}dense_{i}")(x)))
    return x
