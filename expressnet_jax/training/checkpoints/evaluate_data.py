"""Everything that can be said of a checkpoint on a split of a prepared data set, as `expressnet evaluate` says it."""

from expressnet_jax.data.prepared import Prepared
from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.data_identity import seen_in_training, was_trained_on
from expressnet_jax.training.checkpoints.evaluate_checkpoint import (
    CheckpointEvaluation,
    evaluate_checkpoint,
    evaluate_outputs,
    leaked_examples,
    trained_on_figures,
)
from expressnet_jax.training.checkpoints.reading import Checkpoint

SPLITS = ("test", "validation", "all", "train")  # the first that exists is evaluated where none is named


def evaluate_data(
    checkpoint: Checkpoint, prepared: Prepared, title: str, *, split: str | None = None, tta: str = "none"
) -> CheckpointEvaluation:
    """Evaluate a split, the further outputs as well, and count the examples that the model has learned from.

    `title` is what the figures call the data.

    Raises:
      UserError: no such split, or not one class in common.
    """
    name = split or next((each for each in SPLITS if each in prepared.splits), None)
    if name is None:
        raise UserError(
            f"{title}: has none of the splits {', '.join(SPLITS)}; give one of {', '.join(prepared.splits)}"
        )
    chosen, size = prepared.split(name), prepared.stored_size(name)
    leaked = leaked_examples(prepared, name) if was_trained_on(checkpoint, prepared) else None
    result = evaluate_checkpoint(checkpoint, chosen, tta=tta, leaked=leaked, size=size)
    seen = seen_in_training(checkpoint, prepared, name, result.split)
    result.figures.update(data=title, split=name, checkpoint=str(checkpoint.path))
    result.figures.update(identity=prepared.identity, trained_on=trained_on_figures(result, seen))
    if outputs := evaluate_outputs(checkpoint, result.split, size, tta=tta):
        result.figures["outputs"] = outputs
    return result
