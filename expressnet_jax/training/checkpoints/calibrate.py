"""What makes the probabilities of a checkpoint's classes mean what they say, and names rare ones more or less often."""

from collections.abc import Mapping

import numpy as np

from expressnet_jax.data.fields import target_column
from expressnet_jax.data.label_matching import labels_in
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.calibration import Calibration, fit_temperature, logit_shift
from expressnet_jax.training.checkpoints.evaluate_checkpoint import evaluate_checkpoint, fields_with_target
from expressnet_jax.training.checkpoints.reading import Checkpoint


def find_calibrations(
    checkpoint: Checkpoint, split: Split, tta: str = "none", shifts: Mapping[str, tuple[float, ...]] | None = None
) -> dict[str, Calibration]:
    """Return the temperature of each class of which the split has labels (Guo et al. 2017): output -> calibration.

    `shifts` float[K] are what is to be added first to the logits of an output.
    """
    found, main = evaluate_checkpoint(checkpoint, split, tta=tta), checkpoint.model.main
    predicted = {main: (found.probabilities, found.labels)}
    for name, output in found.outputs.items():
        labels = found.split.columns.get(name)
        if checkpoint.outputs[name].kind == "class" and labels is not None and labels.ndim == 1:
            predicted[name] = output[labels >= 0], labels[labels >= 0]
    calibrations = {}
    for name, (probabilities, labels) in predicted.items():
        shifted = Calibration(shift=(shifts or {}).get(name, ()))
        scores = shifted.scores(np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)))
        calibrations[name] = shifted._replace(temperature=fit_temperature(scores, labels))
    return calibrations


def find_logit_shifts(
    checkpoint: Checkpoint, prepared: Prepared, taus: Mapping[str, float]
) -> dict[str, tuple[float, ...]]:
    """Return for each output of `taus` what `logit_shift` gives for the labels of the training split.

    Raises:
      UserError: no training split, or an output that is no class with labels there.
    """
    if "train" not in prepared.splits:
        raise UserError(f"{prepared.name}: has no split train, whose frequencies of the classes are wanted")
    split = prepared.split("train")
    labels = {checkpoint.model.main: labels_in(split, checkpoint.classes)}
    for name, field in fields_with_target(checkpoint, split).items():
        if name not in labels and field.kind == "class":
            labels[name] = target_column(name, field, split.columns)
    for name in taus:
        if name not in labels:
            raise UserError(
                f"{name!r} is no class of {checkpoint.path} with labels in {prepared.name}; one of {', '.join(labels)}"
            )
    counts = {
        name: np.bincount(labels[name][labels[name] >= 0], minlength=checkpoint.outputs[name].shape[0]) for name in taus
    }
    return {name: logit_shift(counts[name], tau) for name, tau in taus.items()}
