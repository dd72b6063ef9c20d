"""Does a probability of 0.8 mean right four times in five? Measured, and corrected.

Shapes: N examples, K classes, M bins. Everything is computed in float64.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0


class Calibration(NamedTuple):
    """How the logits of a class become probabilities: softmax((logits + shift) / temperature).

    Attributes:
      temperature: what `fit_temperature` finds.
      shift: float[K], -tau log prior (Menon et al. 2021, eq. 9): with tau above 0 a class is named more often the
        rarer it is in training, below 0 less often; empty for none.
    """

    temperature: float = 1.0
    shift: tuple[float, ...] = ()

    def scores(self, logits: Any) -> Any:
        """Return what the softmax is of: logits float[B,K], of NumPy or JAX -> float[B,K]."""
        return (logits + np.array(self.shift, np.float32) if self.shift else logits) / self.temperature


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> float:
    """Return the mean distance between confidence and accuracy over M bins of equal width, weighted by their counts.

    probabilities float[N,K], labels int[N] -> float in 0..1 (Guo et al. 2017, On calibration of modern neural
    networks, eq. 3; bin m holds the confidences in ((m-1)/M, m/M]).
    """
    count, confidence, accuracy = _bin(probabilities, labels, bins)
    return float((count * np.abs(accuracy - confidence)).sum() / count.sum())


def fit_temperature(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature T that makes softmax(scores / T) most likely (Guo et al. 2017, section 4.2).

    scores float[N,K], logits or log-probabilities alike; labels int[N] -> T in 0.05..20. Fit it on a split that is not
    the one reported. The likelihood is convex in 1/T, so it has one minimum in log T and golden section finds it.
    """
    # A probability of 0 has the logarithm -inf, and one such label would outweigh all the others at any temperature.
    centred = np.maximum(_centred(scores), math.log(np.finfo(np.float32).tiny))
    known = np.asarray(labels)
    loss = lambda log_t: _negative_log_likelihood(centred / math.exp(log_t), known)
    return math.exp(_golden_section(loss, math.log(COLDEST), math.log(HOTTEST)))


def _bin(probabilities: ArrayLike, labels: ArrayLike, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean confidence and accuracy of each bin, each float64[M]."""
    probabilities = np.asarray(probabilities, np.float64)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == np.asarray(labels)
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    member = np.searchsorted(inner_edges, confidence, side="left")
    total = lambda weight: np.bincount(member, weight, minlength=bins)
    count = total(np.ones_like(confidence))
    divisor = np.maximum(count, 1)
    return count, total(confidence) / divisor, total(correct) / divisor


def _centred(scores: ArrayLike) -> np.ndarray:
    """Shift each row so that its largest entry is 0, which leaves its softmax as it was."""
    scores = np.asarray(scores, np.float64)
    return scores - scores.max(axis=1, keepdims=True)


def _negative_log_likelihood(scores: np.ndarray, labels: np.ndarray) -> float:
    log_sum = np.log(np.exp(scores).sum(axis=1))
    return float((log_sum - scores[np.arange(len(labels)), labels]).mean())


def _golden_section(function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-7) -> float:
    """Find where a function of one valley is least between `low` and `high` (Kiefer 1953)."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > tolerance:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2
