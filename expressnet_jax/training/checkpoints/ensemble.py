"""Several checkpoints as one whose answer is the mean of theirs."""

from collections.abc import Sequence
from typing import Any

from expressnet_jax.models.ensemble import Ensemble
from expressnet_jax.training.checkpoints.average import check_alike
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
    check_alike(others, first, ("inputs", "outputs"), "give networks that take and give the same")
    classes = tuple(name for name, field in first.outputs.items() if field.kind == "class")
    model = Ensemble(
        first.model.encoders, first.model.heads, members=tuple(c.model for c in checkpoints), classes=classes
    )
    variables: dict[str, dict[str, Any]] = {}
    for i, each in enumerate(checkpoints):
        for kind, tree in each.variables.items():
            variables.setdefault(kind, {})[f"members_{i}"] = tree
    return first._replace(model=model, variables=variables)
