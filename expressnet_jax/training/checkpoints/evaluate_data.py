"""All figures of a checkpoint on a split of a prepared data set, as `expressnet evaluate` prints them."""

from collections.abc import Sequence

import numpy as np

from expressnet_jax.data.audit import leaked_examples
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.data_identity import seen_in_training, was_trained_on
from expressnet_jax.training.checkpoints.ensemble import ensemble
from expressnet_jax.training.checkpoints.evaluate_checkpoint import (
    CheckpointEvaluation,
    evaluate_checkpoint,
    trained_on_figures,
)
from expressnet_jax.training.checkpoints.reading import Checkpoint

SPLITS = ("test", "validation", "all", "train")  # the first that exists is evaluated where none is named


def evaluate_data(
    checkpoint: Checkpoint | Sequence[Checkpoint],
    prepared: Prepared,
    title: str,
    *,
    split: str | None = None,
    tta: str = "none",
) -> CheckpointEvaluation:
    """Evaluate a split, the further outputs as well, and count the examples that the model has learned from.

    Several checkpoints are evaluated as one, by the mean of their answers. `title` is what the figures call the data.

    Raises:
      UserError: no such split, not one class in common, or checkpoints whose outputs differ.
    """
    members = [checkpoint] if isinstance(checkpoint, Checkpoint) else list(checkpoint)
    name = split or next((each for each in SPLITS if each in prepared.splits), None)
    if name is None:
        raise UserError(
            f"{title}: has none of the splits {', '.join(SPLITS)}; give one of {', '.join(prepared.splits)}"
        )
    chosen, size = prepared.split(name), prepared.stored_size(name)
    leaked = leaked_examples(prepared, name) if any(was_trained_on(each, prepared) for each in members) else None
    mean = ensemble(members)
    result = evaluate_checkpoint(mean, chosen, tta=tta, leaked=leaked, size=size)
    seen = _seen_by_any([seen_in_training(each, prepared, name, result.split) for each in members])
    result.figures.update(data=title, split=name, checkpoint=", ".join(str(each.path) for each in members))
    result.figures.update(weights=mean.digest, identity=prepared.identity, trained_on=trained_on_figures(result, seen))
    return result


def _seen_by_any(seen: Sequence[dict[str, np.ndarray] | None]) -> dict[str, np.ndarray] | None:
    """Return which examples one of the members has learned from; None where nothing is known of any."""
    known = [each for each in seen if each is not None]
    return {name: np.any([each[name] for each in known], axis=0) for name in known[0]} if known else None
