"""The mean of trained networks, weight by weight: a network like each of them, at the cost of one."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.reading import Checkpoint


def average_checkpoints(checkpoints: Sequence[Checkpoint], weights: Sequence[float]) -> Checkpoint:
    """Return the last checkpoint with the weighted mean of all parameters and running statistics; `weights` sum to 1.

    It pays for a run and the run that it began with, or for runs that began alike: what the later one learned of new
    images is kept, and most of what it forgot comes back (Wortsman et al. 2022, Robust fine-tuning of zero-shot models,
    equation 1). Networks that began apart average to nothing.

    Raises:
      UserError: networks of other layers, inputs or outputs.
    """
    last = checkpoints[-1]
    for each in checkpoints[:-1]:
        for what, found, wanted in zip(("layers", "inputs", "outputs"), _form(each), _form(last), strict=True):
            if found != wanted:
                raise UserError(f"{each.path}: has other {what} than {last.path}; average runs of one network")
    mean = lambda *leaves: sum(weight * np.asarray(leaf) for weight, leaf in zip(weights, leaves, strict=True))
    variables = jax.tree.map(mean, *(each.variables for each in checkpoints))
    return last._replace(variables=jax.tree.map(np.float32, variables))


def _form(checkpoint: Checkpoint) -> tuple[Any, Any, Any]:
    shapes = jax.tree.map(np.shape, checkpoint.variables)
    inputs = {name: field._replace(rate=0) for name, field in checkpoint.inputs.items()}  # clips: of other splits
    return shapes, inputs, checkpoint.outputs
