"""The arithmetic of a training step as its network is written, from the shapes of its arguments alone.

Shapes: S steps of a call, B batch.
"""

from typing import Any, NamedTuple

import jax

from expressnet_jax.training.step import TrainStep, gather_inputs


class StepShapes(NamedTuple):
    """A step and the shapes of its arguments; `table` is that of the data set on the device, or None."""

    step: TrainStep
    state: Any
    table: Any
    batches: Any


def written_flops(shapes: StepShapes) -> float:
    """Return the FLOP of one step as the network is written, whatever a compiler makes of it."""
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), shapes.batches)
    step = lambda state, table, batch: shapes.step(state, gather_inputs(table, batch), 0)
    costs: Any = jax.jit(step).lower(shapes.state, shapes.table, one).cost_analysis()
    return costs["flops"]


def shape_of(tree: Any) -> Any:
    """Return the shapes of a pytree of arrays, without where they lie."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
