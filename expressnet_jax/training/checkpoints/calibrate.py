"""What makes the probabilities of a checkpoint's classes mean what they say, and names rare ones more or less often."""

from collections.abc import Mapping

import numpy as np

from expressnet_jax.data.fields import target_column
from expressnet_jax.data.label_matching import labels_in
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.calibration import Calibration, fit_temperature
from expressnet_jax.training.checkpoints.evaluate_checkpoint import evaluate_checkpoint, fields_with_target
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.losses.classification import log_prior


def find_calibrations(
    checkpoint: Checkpoint, split: Split, tta: str = "none", shifts: Mapping[str, tuple[float, ...]] | None = None
) -> dict[str, Calibration]:
    """Return the temperature of each class of which the split has labels (Guo et al. 2017): output -> calibration.

    `shifts` float[K] are what is to be added first to the logits of an output.
    """
    found = evaluate_checkpoint(checkpoint, split, tta=tta)
    predicted = {checkpoint.model.main: found.probabilities, **found.outputs}
    calibrations = {}
    for name, labels in _labels_by_class(checkpoint, found.split).items():
        shifted, known = Calibration(shift=(shifts or {}).get(name, ())), labels >= 0
        scores = shifted.scores(np.log(np.maximum(predicted[name][known], np.finfo(np.float32).tiny)))
        calibrations[name] = shifted._replace(temperature=fit_temperature(scores, labels[known]))
    return calibrations


def find_logit_shifts(
    checkpoint: Checkpoint, prepared: Prepared, taus: Mapping[str, float]
) -> dict[str, tuple[float, ...]]:
    """Return -tau log prior for each output of `taus`, the prior being that of the training split's labels.

    Raises:
      UserError: no training split, or an output that is no class with labels there.
    """
    if "train" not in prepared.splits:
        raise UserError(f"{prepared.name}: has no split train, whose frequencies of the classes are wanted")
    labels = _labels_by_class(checkpoint, prepared.split("train"))
    for name in taus:
        if name not in labels:
            raise UserError(
                f"{name!r} is no class of {checkpoint.path} with labels in {prepared.name}; one of {', '.join(labels)}"
            )
    classes = {name: checkpoint.outputs[name].shape[0] for name in taus}
    counts = {name: np.bincount(labels[name][labels[name] >= 0], minlength=classes[name]) for name in taus}
    return {name: tuple((-tau * log_prior(counts[name])).tolist()) for name, tau in taus.items()}


def _labels_by_class(checkpoint: Checkpoint, split: Split) -> dict[str, np.ndarray]:
    """Return the labels int[N] of every output that is a class and has them in the split, -1 where there is none."""
    labels = {checkpoint.model.main: labels_in(split, checkpoint.classes)}
    for name, field in fields_with_target(checkpoint, split).items():
        if name not in labels and field.kind == "class" and split.columns[name].ndim == 1:
            labels[name] = target_column(name, field, split.columns)
    return labels
