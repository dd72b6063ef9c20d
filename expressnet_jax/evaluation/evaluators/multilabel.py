"""Metrics of labels that don't exclude one another, such as action units.

Shapes: N examples, U labels; outputs are logits, targets in 0..1, present above one half.
"""

import numpy as np


def _mean_f1(output: np.ndarray, target: np.ndarray) -> float:
    """Return the F1 of each label at a logit of zero, the mean over the labels that occur."""
    return _mean_over_labels(_f1, output, target)


def mean_auc(output: np.ndarray, target: np.ndarray) -> float:
    """Return the area under the ROC curve of each label, the mean over the labels that are at times present and at
    times not (Hanley & McNeil 1982: the share of pairs in the right order, equal ones count half)."""
    return _mean_over_labels(_auc, output, target)


METRICS = {"f1": _mean_f1, "auc": mean_auc}
SELECTING = ("f1", "auc")


def _f1(output: np.ndarray, present: np.ndarray) -> float | None:
    if not present.any():
        return None
    predicted = output > 0
    return 2 * (predicted & present).sum() / (predicted.sum() + present.sum())


def _auc(output: np.ndarray, present: np.ndarray) -> float | None:
    positive, negative = present.sum(), (~present).sum()
    if not positive or not negative:
        return None
    return (_ranks(output)[present].sum() - positive * (positive + 1) / 2) / (positive * negative)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks from 1 of values [N], float64[N]; equal ones share the mean of theirs.

    Like scipy.stats.rankdata, for whose import every process that trains would have to wait.
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _mean_over_labels(metric, output: np.ndarray, target: np.ndarray) -> float:
    found = []
    for o, t in zip(output.T, target.T, strict=True):
        known = np.isfinite(t)
        value = metric(o[known], t[known] > 0.5) if known.any() else None
        if value is not None:
            found.append(value)
    return float(np.mean(found)) if found else float("nan")
