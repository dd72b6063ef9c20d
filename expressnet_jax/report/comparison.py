"""Two models on the same examples: is the difference more than luck, and where do they differ?

Shapes: N examples, S classes.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from expressnet_jax.evaluation.metrics import Z

LISTED = 6  # disagreements that are named


def compare_predictions(
    ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Return the paired comparison of probabilities float[N,S], `ours` against `theirs`.

    `p_value` is of the exact two-sided McNemar test, the binomial test on the examples that one model alone gets right
    (McNemar 1947). `interval` is of the difference of accuracies, 95 %, from the paired proportions (Agresti 2013,
    section 11.1.1).
    """
    a, b = ours.argmax(1) == labels, theirs.argmax(1) == labels
    only_a, only_b, count = int((a & ~b).sum()), int((b & ~a).sum()), len(labels)
    difference = (only_a - only_b) / count
    half = Z * math.sqrt(max((only_a + only_b) / count - difference**2, 0) / count)
    return {
        "accuracy": float(b.mean()),
        "both_right": int((a & b).sum()),
        "only_this_right": only_a,
        "only_other_right": only_b,
        "both_wrong": int((~a & ~b).sum()),
        "difference": difference,
        "interval": [difference - half, difference + half],
        "p_value": mcnemar(only_a, only_b),
        "per_class": {
            name: {"this": float(a[labels == i].mean()), "other": float(b[labels == i].mean())}
            for i, name in enumerate(classes)
            if (labels == i).any()
        },
        "differ_most": _disagreements(ours.argmax(1), theirs.argmax(1), labels, classes),
    }


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p-value of the exact two-sided McNemar test; 1 where the models never differ."""
    total = only_first + only_second
    return float(binomtest(only_first, total, 0.5).pvalue) if total else 1.0


def _disagreements(
    ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the commonest ways in which the two answers differ: label, what each says, how often."""
    different = ours != theirs
    triples, counts = np.unique(np.stack([labels, ours, theirs])[:, different], axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:LISTED]
    names = lambda column: [classes[i] for i in column]
    keys = ("label", "this", "other")
    return [dict(zip(keys, names(triples[:, i]), strict=True)) | {"count": int(counts[i])} for i in order]
