"""What a loss is: it names the output and the target that it compares, and may keep a state from step to step.

Shapes: B batch, D features, K classes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from expressnet_jax.data.fields import Field
from expressnet_jax.models.network import Outputs

Batch = Mapping[str, Array]
Metrics = dict[str, Array]
MIRRORED = "mirrored_"  # before the name of a map: that of the mirror images


class LossOutput(NamedTuple):
    """A loss float32[], further metrics float32[] by name, and the state after the batch."""

    value: Array
    metrics: Metrics
    state: Any


class LossContext(NamedTuple):
    """What a loss is built for.

    Attributes:
      output, target: the names in `Outputs.heads` and in the batch; the output "features" is what the heads see.
      field: the target's field, or None for a loss without a target.
      counts: int64[K], the examples of each class; int64[0] where the target is no class.
      features: D.
      partial: whether some examples have no such target.
      constrain: says where arrays [B,K] lie on the mesh; the identity by default.
    """

    output: str
    target: str
    field: Field | None
    counts: np.ndarray
    features: int
    partial: bool = False
    constrain: Callable[[Array], Array] = lambda x: x


class Loss(NamedTuple):
    """One term of the training loss.

    Attributes:
      apply: (outputs, batch, params, state) -> LossOutput. The targets of classes come as float[B,K].
      init: -> the state that a run begins with, a dict of arrays; most losses have none.
      weight: what the term counts in the sum.
      maps: names of what the first encoder sows that `apply` finds in `Outputs.maps`.
      mirrored: whether it also finds the maps of the mirror images there, as mirrored_NAME.
    """

    apply: Callable[[Outputs, Batch, Any, Any], LossOutput]
    init: Callable[[], dict[str, Array]] = dict
    weight: float = 1.0
    maps: tuple[str, ...] = ()
    mirrored: bool = False


def select_output(outputs: Outputs, name: str) -> Array:
    """Return the head's output of that name, or the features."""
    return outputs.features if name == "features" else outputs.heads[name]


def masked_mean(values: Array, present: Array) -> Array:
    """Return the mean of `values` over the entries where `present` bool is True; 0 where there is none."""
    kept = jnp.where(present, values, 0.0)
    return kept.sum() / jnp.maximum(present.sum(), 1)


def total_loss(
    losses: Mapping[str, Loss], outputs: Outputs, batch: Batch, params: Any, state: Mapping[str, Any]
) -> LossOutput:
    """Return the weighted sum of all losses, their metrics, and their states by name.

    The metrics of the first loss keep their names; those of the others are NAME/METRIC. Where there are several, each
    one's value is a metric, too.
    """
    total = jnp.zeros(())
    metrics: Metrics = {}
    states: dict[str, Any] = {}
    for i, (name, loss) in enumerate(losses.items()):
        found = loss.apply(outputs, batch, params, state.get(name, {}))
        term = found.value if loss.weight == 1 else loss.weight * found.value
        total = total + term if i else term
        if found.state:
            states[name] = found.state
        metrics |= {key if i == 0 else f"{name}/{key}": value for key, value in found.metrics.items()}
        if len(losses) > 1:
            metrics[f"{name}/loss"] = found.value
    return LossOutput(total, metrics, states)


def init_losses(losses: Mapping[str, Loss]) -> dict[str, Any]:
    """Return the states that the losses begin with, by name; without those that have none."""
    states = {name: loss.init() for name, loss in losses.items()}
    return {name: state for name, state in states.items() if state}
