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
    check_alike(checkpoints[:-1], last, ("layers", "inputs", "outputs"), "average runs of one network")
    mean = lambda *leaves: sum(weight * np.asarray(leaf) for weight, leaf in zip(weights, leaves, strict=True))
    variables = jax.tree.map(mean, *(each.variables for each in checkpoints))
    records = [record for each in reversed(checkpoints) for record in each.metadata.get("trained_on", [])]
    trained_on = [record for i, record in enumerate(records) if record not in records[:i]]
    metadata = last.metadata | {"trained_on": trained_on}
    return last._replace(variables=jax.tree.map(np.float32, variables), metadata=metadata)


def check_alike(checkpoints: Sequence[Checkpoint], other: Checkpoint, parts: Sequence[str], remedy: str) -> None:
    """Raise a UserError for a checkpoint whose `parts`, of layers, inputs and outputs, are not those of `other`."""
    wanted = _form(other)
    for each in checkpoints:
        found = _form(each)
        for part in parts:
            if found[part] != wanted[part]:
                raise UserError(f"{each.path}: has other {part} than {other.path}; {remedy}")


def _form(checkpoint: Checkpoint) -> dict[str, Any]:
    inputs = {name: field._replace(rate=0) for name, field in checkpoint.inputs.items()}  # clips: of other splits
    layers = jax.tree.map(np.shape, checkpoint.variables)
    return {"layers": layers, "inputs": inputs, "outputs": checkpoint.outputs}
