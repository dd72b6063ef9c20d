"""What a training step takes and gives back: arrays only, no functions."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

from expressnet_jax.models.network import Shape, zero_inputs
from expressnet_jax.training.mesh import state_shardings


@flax.struct.dataclass
class TrainState:
    """step int32[], parameters, running batch statistics, optimizer state, and the averaged weights.

    `ema` is {"params": ..., "batch_stats": ...} or, without averaging, empty. `loss_params` are parameters that learn
    with the network and never leave with it (a discriminator, a second head), `loss_state` is what the losses keep from
    step to step without learning it; most tasks have neither.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any
    loss_params: Any = flax.struct.field(default_factory=dict)
    loss_state: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """What is evaluated and exported: the averaged weights where there are any."""
        return self.ema or {"params": self.params, "batch_stats": self.batch_stats}


class InitialVariables(NamedTuple):
    """What a state is born with, as TrainState names it."""

    params: Any
    batch_stats: Any
    loss_params: Any
    loss_state: Any


def make_init_fn(
    model: nn.Module, shape: Shape, loss_state: Callable[[], Any] = dict
) -> Callable[[Array], InitialVariables]:
    """Return key -> the freshly drawn parameters of a network, and nothing else."""

    def create(key: Array) -> InitialVariables:
        variables = model.init(key, zero_inputs(shape))
        return InitialVariables(variables["params"], variables.get("batch_stats", {}), {}, loss_state())

    return create


def init_state(
    init_fn: Callable[[Array], InitialVariables],
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    seed: int = 0,
    ema: bool = False,
    pretrained: Mapping[str, Any] | None = None,
) -> TrainState:
    """Return a new state, born on the mesh with its final sharding: no device ever holds more than its part.

    `pretrained` holds params and batch_stats in place of those that `init_fn` draws.
    """
    create = partial(_create, init_fn, optimizer, ema)
    shardings = state_shardings(jax.eval_shape(create, seed, pretrained), mesh)
    return jax.jit(create, out_shardings=shardings)(seed, pretrained)


def state_shapes(
    init_fn: Callable[[Array], InitialVariables],
    optimizer: optax.GradientTransformation,
    ema: bool = False,
    pretrained: Mapping[str, Any] | None = None,
) -> TrainState:
    """Return the shapes of the state that `init_state` makes; nothing is computed."""
    return jax.eval_shape(partial(_create, init_fn, optimizer, ema), 0, pretrained)


def _create(init_fn, optimizer, ema: bool, seed: Array | int, pretrained: Mapping[str, Any] | None) -> TrainState:
    params, batch_stats, loss_params, loss_state = init_fn(jax.random.key(seed))._replace(**(pretrained or {}))
    average = {"params": params, "batch_stats": batch_stats} if ema else {}
    opt_state = optimizer.init({**params, **loss_params})
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, opt_state, average, loss_params, loss_state)
