"""What a training step takes and gives back: arrays only, no functions."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

from expressnet_jax.training.mesh import state_shardings


@flax.struct.dataclass
class TrainState:
    """step int32[], parameters, running batch statistics, optimizer state, and the averaged weights.

    `ema` is {"params": ..., "batch_stats": ...} or, without averaging, empty.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What is evaluated and exported: the averaged weights where there are any."""
        return self.ema or {"params": self.params, "batch_stats": self.batch_stats}


def init_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
    mesh: Mesh,
    *,
    seed: int = 0,
    ema: bool = False,
) -> TrainState:
    """A new state, born on the mesh with its final sharding: no device ever holds more than its part."""

    def create(key: Array) -> TrainState:
        variables = model.init(key, jnp.zeros((1, *image_shape)))
        params, batch_stats = variables["params"], variables.get("batch_stats", {})
        average = {"params": params, "batch_stats": batch_stats} if ema else {}
        return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params), average)

    key = jax.random.key(seed)
    shardings = state_shardings(jax.eval_shape(create, key), mesh)
    return jax.jit(create, out_shardings=shardings)(key)
