"""What a training step takes and gives back: arrays only, no functions."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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

    `ema` is {"params": ..., "batch_stats": ...} or, without averaging, empty. `auxiliary` are parameters that learn
    beside the network and never leave with it (a discriminator, a second head), `memory` is what a task remembers from
    step to step without learning it; most tasks have neither.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any
    auxiliary: Any = flax.struct.field(default_factory=dict)
    memory: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """What is evaluated and exported: the averaged weights where there are any."""
        return self.ema or {"params": self.params, "batch_stats": self.batch_stats}


class Beginning(NamedTuple):
    """What a state is born with, as TrainState names it."""

    params: Any
    batch_stats: Any
    auxiliary: Any
    memory: Any


def begin(model: nn.Module, image_shape: tuple[int, int, int]) -> Callable[[Array], Beginning]:
    """key -> the freshly drawn parameters of a network, and nothing beside them."""

    def create(key: Array) -> Beginning:
        variables = model.init(key, jnp.zeros((1, *image_shape)))
        return Beginning(variables["params"], variables.get("batch_stats", {}), {}, {})

    return create


def init_state(
    beginning: Callable[[Array], Beginning],
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    seed: int = 0,
    ema: bool = False,
    warm: Mapping[str, Any] | None = None,
) -> TrainState:
    """A new state, born on the mesh with its final sharding: no device ever holds more than its part.

    `warm` holds params and batch_stats in place of those that `beginning` draws.
    """

    def create(seed: Array | int, warm: Mapping[str, Any] | None) -> TrainState:
        params, batch_stats, auxiliary, memory = beginning(jax.random.key(seed))._replace(**(warm or {}))
        average = {"params": params, "batch_stats": batch_stats} if ema else {}
        opt_state = optimizer.init({**params, **auxiliary})
        return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, opt_state, average, auxiliary, memory)

    shardings = state_shardings(jax.eval_shape(create, seed, warm), mesh)
    return jax.jit(create, out_shardings=shardings)(seed, warm)
