"""Make a clip encoder of any image backbone: encode every frame, then pool over time by a name in POOLS.

Shapes: B batch, T frames, H height, W width, C channels, D features of a frame, N hidden units, k kernel.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.errors import UserError
from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.layers import check_choice

_ABSENT = -1e9  # a score without weight; minus infinity would make NaN of an example without any frame


class PerFrame(nn.Module):
    """Encode each frame by `backbone` and pool over time: [B,T,H,W,C] in 0..255 -> features float32[B,D or N].

    Clips are uint8 or float. The backbone sees the B*T frames as one batch, so its batch statistics are those of all
    frames. Its parameters are under `backbone`, where those of a still-image network fit, and the pool's under `pool`.
    All clips of a batch have one T, which may differ between training and evaluation. `hidden` is the N of "lstm",
    "gru" and "conv"; "mean" and "attention" keep the D features of a frame.

    Raises:
      UserError: an unknown pool, or an input without an axis for frames.
    """

    backbone: nn.Module
    pool: str = "mean"
    hidden: int = 256
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, clips: Array, train: bool = False) -> Array:
        pool = POOLS[check_choice("pool", self.pool, POOLS)](self.hidden, self.dtype)
        if clips.ndim != 5:
            raise UserError(f"a clip network takes clips [B,T,H,W,C], not an array of shape {list(clips.shape)}")
        frames, *image = clips.shape[1:]
        features = self.backbone(clips.reshape(-1, *image), train).astype(jnp.float32)
        features = features.reshape(-1, frames, features.shape[-1])
        return pool(name="pool")(features).astype(jnp.float32)


class MeanPool(nn.Module):
    """Average over frames: float[B,T,D] -> float[B,D]."""

    def __call__(self, x: Array) -> Array:
        return x.mean(1)


class RecurrentPool(nn.Module):
    """Read the frames in order and return the last hidden state: float[B,T,D] -> float[B,N].

    `cell` is nn.OptimizedLSTMCell (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000) or
    nn.GRUCell (Cho et al. 2014, the reset gate after the recurrent product). The loop over T is unrolled, because
    nn.RNN does not pass through jax2onnx; compiling takes longer with T, so this is meant for clips of up to 32 frames.
    """

    cell: Callable[..., nn.RNNCellBase]
    hidden: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return recurrent_states(self.cell(self.hidden, dtype=self.dtype, name="cell"), x)[-1]


def recurrent_states(cell: Any, x: Array) -> list[Array]:
    """Return the T hidden states float[B,N] of an LSTM's or GRU's cell that reads float[B,T,D] in order, from zeros on.

    `cell` has N `features`. The loop is unrolled, see RecurrentPool.
    """
    # Not initialize_carry: it draws random numbers, for which ONNX has no form when B is dynamic.
    state = jnp.zeros((x.shape[0], cell.features), jnp.float32)
    carry = (state, state) if isinstance(cell, nn.OptimizedLSTMCell) else state
    states = []
    for t in range(x.shape[1]):
        carry, state = cell(carry, x[:, t])
        states.append(state)
    return states


class AttentionPool(nn.Module):
    """Average over frames with learned weights: float[B,T,D] -> float[B,D].

    The weights are a softmax over T of each frame's product with one learned query float[D] (Yang et al. 2017, Neural
    Aggregation Network, eq. 1-3). The query starts at zero, so the module starts as the mean. Frames that are not
    `present`, bool[B,T], have no weight.
    """

    @nn.compact
    def __call__(self, x: Array, present: Array | None = None) -> Array:
        query = self.param("query", nn.initializers.zeros, (x.shape[-1],))
        score = (x * query).sum(-1)
        weight = nn.softmax(score if present is None else jnp.where(present, score, _ABSENT), axis=-1)
        self.sow("intermediates", "frame_weight", weight)
        return (x * weight[..., None]).sum(1)


class ConvPool(nn.Module):
    """Convolve over time, rectify and average: float[B,T,D] -> float[B,N]; SAME padding, so any T will do."""

    hidden: int
    kernel: int = 3
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.relu(nn.Conv(self.hidden, (self.kernel,), dtype=self.dtype, name="conv")(x)).mean(1)


# Each factory takes (hidden, dtype) and returns a partial module, to be called as `pool(name=...)(x)`.
POOLS: dict[str, Callable[[int, DTypeLike], ModuleDef]] = {
    "mean": lambda hidden, dtype: MeanPool,
    "lstm": lambda hidden, dtype: partial(RecurrentPool, nn.OptimizedLSTMCell, hidden, dtype),
    "gru": lambda hidden, dtype: partial(RecurrentPool, nn.GRUCell, hidden, dtype),
    "attention": lambda hidden, dtype: AttentionPool,
    "conv": lambda hidden, dtype: partial(ConvPool, hidden, dtype=dtype),
}
