"""How good predictions are, in the field's own figures. Shapes: N examples, K classes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.calibration import expected_calibration_error

# The normal quantile that leaves 2.5 % above it.
Z = 1.959963984540054


def classification_metrics(probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> dict[str, Any]:
    """Return every figure a result is published with, as plain Python numbers ready for JSON.

    probabilities float[N,K], labels int[N], classes K names. The predicted class is the most probable one, the first
    of equals. Rows of `confusion` are the truth, columns the prediction.

    Raises:
      UserError: if there is no example, or labels or probabilities can't be what they are said to be.
    """
    probabilities, labels = _checked(probabilities, labels, classes)
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(classes))
    count, correct = len(labels), int(np.trace(confusion))
    precision, recall, f1 = precision_recall_f1(confusion)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    columns = zip(classes, precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True)
    return {
        "classes": list(classes),
        "count": count,
        "accuracy": correct / count,
        "accuracy_interval": list(wilson_interval(correct, count)),
        # A class that no example shows has no recall; one that is neither shown nor predicted has no F1.
        "balanced_accuracy": float(recall[support > 0].mean()),
        "macro_f1": float(f1[support + predicted > 0].mean()),
        "weighted_f1": float((f1 * support).sum() / count),  # by how often each class is shown
        "log_loss": log_loss(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
        "per_class": {name: {"precision": p, "recall": r, "f1": f, "support": s} for name, p, r, f, s in columns},
        "confusion": confusion.tolist(),
    }


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count labels int[N], predicted int[N] in int64[K,K]; entry [i, j] counts examples of class i that were called
    j."""
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def precision_recall_f1(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 of confusion int[K,K], each float64[K]; 0 where the division would be by zero."""
    hits = np.diag(confusion).astype(np.float64)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    share = lambda part, whole: part / np.maximum(whole, 1)
    return share(hits, predicted), share(hits, support), share(2 * hits, support + predicted)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative logarithm of the true class's probability, in nats.

    probabilities float[N,K], labels int[N]. Probabilities are held above float32's epsilon, as in scikit-learn,
    so that one confident mistake costs 16 nats and not infinity.
    """
    truth = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(truth, np.finfo(np.float32).eps)).mean())


def wilson_interval(correct: int, count: int, z: float = Z) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion, right for small counts too (Wilson 1927; Newcombe 1998, method
    3)."""
    share, z2 = correct / count, z * z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = z * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    # At 0 and at N of N the bound is exact, and rounding must not move it.
    return (0.0 if correct == 0 else centre - half, 1.0 if correct == count else centre + half)


def _checked(probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """probabilities as float64[N,K] and labels as int64[N], or a UserError that says which row is wrong."""
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    if labels.size == 0:
        raise UserError("nothing to evaluate: no example; check the split's name and that the data set is not empty")
    if probabilities.shape != (len(labels), len(classes)):
        raise UserError(
            f"predictions have shape {probabilities.shape}, but there are {len(labels)} labels and {len(classes)} "
            f"classes ({', '.join(classes)}); evaluate on a data set with the model's classes"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        row = int(np.argmax((labels < 0) | (labels >= len(classes))))
        raise UserError(
            f"example {row} has label {labels[row]}, but labels go from 0 to {len(classes) - 1}; prepare again"
        )
    # bfloat16 probabilities sum to 1 within half a per cent; logits don't come near. NaN fails the comparison too.
    wrong = ~(np.abs(probabilities.sum(axis=1) - 1) < 0.02) | (probabilities < 0).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"prediction of example {row} is no probability: {probabilities[row]}; softmax it, check for NaN"
        )
    return probabilities, labels
