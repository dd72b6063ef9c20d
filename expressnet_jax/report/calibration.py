"""Section `calibration`: what the probabilities are worth, and how to use them.

Temperatures and thresholds are chosen on one half of the examples and judged on the other, both ways round.
Shapes: N examples, S classes, M bins.
"""

from typing import Any

import numpy as np
from scipy.special import softmax

from expressnet_jax.evaluation.calibration import fit_temperature
from expressnet_jax.evaluation.metrics import wilson_interval
from expressnet_jax.report.context import Context
from expressnet_jax.report.examples import Examples

BINS = 15
_COVERAGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
PRECISION = 0.9
FEWEST = 10  # answers that a threshold is judged by, at least


def calibration_section(context: Context) -> dict[str, Any]:
    """Return the calibration of every data set."""
    return {"data": [one_data_set(context, examples) for examples in context.data]}


def one_data_set(context: Context, examples: Examples) -> dict[str, Any]:
    """Return reliability, calibration error, Brier score, temperature, risk against coverage, and thresholds."""
    rows, labels = context.probabilities(context.subject, examples).astype(np.float64), examples.labels
    confidence, right = rows.max(1), rows.argmax(1) == labels
    halves = half_of(len(labels))
    tempered, temperatures = temper(rows, labels, halves)
    return {
        "name": examples.name,
        "split": examples.split,
        "count": len(labels),
        "reliability": reliability(confidence, right, BINS),
        "ece_equal_mass": equal_mass_ece(confidence, right, BINS),
        "brier": brier(rows, labels),
        "temperature": float(np.mean(temperatures)),
        "ece_equal_mass_tempered": equal_mass_ece(tempered.max(1), tempered.argmax(1) == labels, BINS),
        "coverage": coverage_curve(confidence, right),
        "area_under_risk": area_under_risk(confidence, right),
        "thresholds": {
            name: threshold(rows[:, i], rows.argmax(1) == i, labels == i, halves)
            for i, name in enumerate(examples.classes)
        },
    }


def half_of(count: int) -> np.ndarray:
    """Return bool[N]: a random half of the examples, always the same one."""
    return np.random.default_rng(0).permutation(count) < count // 2


def _equal_mass_bins(confidence: np.ndarray, bins: int) -> list[np.ndarray]:
    """Return the positions of M groups of (nearly) equally many examples by rising confidence float[N]."""
    return [part for part in np.array_split(np.argsort(confidence, kind="stable"), bins) if len(part)]


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int) -> list[dict[str, Any]]:
    """Return for each of M bins of equal mass the mean confidence, the accuracy with its 95 % interval, the count."""
    rows = []
    for part in _equal_mass_bins(confidence, bins):
        hits = int(right[part].sum())
        rows.append(
            {
                "confidence": float(confidence[part].mean()),
                "accuracy": hits / len(part),
                "interval": list(wilson_interval(hits, len(part))),
                "count": len(part),
            }
        )
    return rows


def equal_mass_ece(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Return the mean distance between confidence and accuracy over M bins of equal mass, weighted by their counts.

    confidence float[N], right bool[N] -> 0..1 (Nixon et al. 2019, Measuring calibration in deep learning, section 3.3,
    for the likeliest class). Bins of equal width, as in `evaluation.calibration`, leave nearly empty ones noisy.
    """
    parts = _equal_mass_bins(confidence, bins)
    gaps = [len(part) * abs(right[part].mean() - confidence[part].mean()) for part in parts]
    return float(sum(gaps) / len(confidence))


def brier(rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance from rows float[N,S] to the one-hot labels, 0..2 (Brier 1950, eq. 2)."""
    return float(((rows - np.eye(rows.shape[1])[labels]) ** 2).sum(1).mean())


def temper(rows: np.ndarray, labels: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Return rows float[N,S], each half at the temperature that is fitted to the other, and both temperatures."""
    scores = np.log(np.maximum(rows, np.finfo(np.float32).tiny))
    tempered, found = np.empty_like(rows), []
    for part in (half, ~half):
        found.append(fit_temperature(scores[~part], labels[~part]))
        tempered[part] = softmax(scores[part] / found[-1], axis=1)
    return tempered, found


def coverage_curve(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """Return the accuracy of the most confident share of the examples, at each of _COVERAGES.

    El-Yaniv & Wiener 2010: what is left when the model may refuse to answer. `least_confidence` is the threshold.
    """
    order = np.argsort(-confidence, kind="stable")
    rows = []
    for share in _COVERAGES:
        kept = order[: max(round(share * len(order)), 1)]
        rows.append(
            {
                "coverage": share,
                "accuracy": float(right[kept].mean()),
                "least_confidence": float(confidence[kept[-1]]),
            }
        )
    return rows


def area_under_risk(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the mean, over all coverages 1/N .. 1, of the share of errors among the examples answered (AURC).

    Geifman, Uziel & El-Yaniv 2019, eq. 3. The lower, the better confidence ranks errors last.
    """
    wrong = ~right[np.argsort(-confidence, kind="stable")]
    return float((np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean())


def threshold(score: np.ndarray, predicted: np.ndarray, is_class: np.ndarray, half: np.ndarray) -> dict[str, Any]:
    """Return the least probability from which on an answer of a class is right nine times in ten.

    Chosen on a half float/bool[N], judged on the other: `precision` there with its 95 % interval, `kept` the share of
    the class's examples that are still found. None where no threshold reaches it.
    """
    level = least_score(score[half & predicted], is_class[half & predicted])
    found: dict[str, Any] = {"threshold": level, "precision": None, "interval": None, "kept": None, "answers": 0}
    if level is None:
        return found
    answered = ~half & predicted & (score >= level)
    hits, count, of = int((answered & is_class).sum()), int(answered.sum()), int((~half & is_class).sum())
    if count:
        found |= {"precision": hits / count, "interval": list(wilson_interval(hits, count)), "answers": count}
        found["kept"] = hits / of if of else None
    return found


def least_score(score: np.ndarray, right: np.ndarray) -> float | None:
    """Return the lowest score above which at least PRECISION of at least FEWEST answers are right, or None."""
    order = np.argsort(-score, kind="stable")
    count = np.arange(1, len(order) + 1)
    share = np.cumsum(right[order]) / count
    last_of_equals = np.r_[score[order][1:] < score[order][:-1], True] if len(order) else np.zeros(0, bool)
    good = np.flatnonzero((share >= PRECISION) & (count >= FEWEST) & last_of_equals)
    return float(score[order][good[-1]]) if len(good) else None
