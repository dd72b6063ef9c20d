"""Several checkpoints as one whose answer is the mean of theirs."""

from collections.abc import Sequence

from expressnet_jax.errors import UserError
from expressnet_jax.models.ensemble import Ensemble
from expressnet_jax.training.checkpoints.reading import Checkpoint


def ensemble(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """Return a checkpoint whose probabilities and values are the mean of those of `checkpoints`; one alone is itself.

    The networks may differ; what they take and what they give must not. Path and metadata are those of the first.

    Raises:
      UserError: networks of other inputs or outputs.
    """
    first, *others = checkpoints
    if not others:
        return first
    for each in others:
        for what, found, wanted in (("inputs", each.shape, first.shape), ("outputs", each.outputs, first.outputs)):
            if found != wanted:
                raise UserError(f"{each.path}: has other {what} than {first.path}; only alike outputs can be averaged")
    classes = tuple(name for name, field in first.outputs.items() if field.kind == "class")
    model = Ensemble(
        first.model.encoders, first.model.heads, members=tuple(c.model for c in checkpoints), classes=classes
    )
    kinds = {kind for each in checkpoints for kind in each.variables}
    variables = {
        kind: {f"members_{i}": each.variables[kind] for i, each in enumerate(checkpoints) if kind in each.variables}
        for kind in kinds
    }
    return first._replace(model=model, variables=variables)
