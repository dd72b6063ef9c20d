"""How good an adapted network may be on the target, said without one target label. The higher, the better.

Shapes: S source validation examples, T target examples, D features, K classes.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import entr, expit


class Sample(NamedTuple):
    """What a network makes of some images: features float[N,D], probabilities float[N,K]."""

    features: np.ndarray
    probabilities: np.ndarray


def negative_entropy(probabilities: np.ndarray) -> float:
    """Return minus the mean entropy of predictions float[T,K], in nats: 0 at most. A network that says one class of
    everything is certain too (Morerio et al. 2018 select by it)."""
    return -float(entr(probabilities).sum(1).mean())


def mutual_information(probabilities: np.ndarray) -> float:
    """Return the mutual information of image and prediction float[T,K]: entropy of the mean less mean entropy, 0 to log
    K nats.

    It wants certain predictions of all classes, so it misjudges targets in which classes are rare (Musgrave et al. 2022
    compare it with others).
    """
    return float(entr(probabilities.mean(0)).sum()) + negative_entropy(probabilities)


def source_accuracy(source: Sample, labels: np.ndarray) -> float:
    """Return the share of the source's validation images that are right: what adaptation may have cost."""
    return float((source.probabilities.argmax(1) == labels).mean())


def weighted_accuracy(source: Sample, labels: np.ndarray, target: Sample) -> float:
    """Return the source accuracy, each image weighted by how much it looks like the target (Sugiyama et al. 2007, eq.
    8).

    The density ratio is that of a logistic regression on standardised features, source against target (Bickel et al.
    2009, section 5); the weights are divided by their sum. It presumes that only images differ, not what they mean.
    """
    weights = density_ratio(source.features, target.features)
    right = source.probabilities.argmax(1) == labels
    return float((weights * right).sum() / weights.sum())


def density_ratio(source: np.ndarray, target: np.ndarray, penalty: float = 1e-2) -> np.ndarray:
    """Return p_target / p_source at the features float[S,D] of the source, float64[S], up to a constant factor."""
    both = np.concatenate([source, target]).astype(np.float64)
    x = (both - both.mean(0)) / (both.std(0) + 1e-6)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    is_target = np.r_[np.zeros(len(source)), np.ones(len(target))]
    share = np.where(is_target > 0, 0.5 / len(target), 0.5 / len(source))  # either domain counts half

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        value = (share * (np.logaddexp(0, z) - is_target * z)).sum() + penalty / 2 * (w @ w)
        return value, x.T @ (share * (expit(z) - is_target)) + penalty * w

    w = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return np.exp(x[: len(source)] @ w)


def validate(source: Sample, labels: np.ndarray, target: Sample) -> dict[str, float]:
    """Return all criteria, by the names that `eval.metric` takes in a run of adaptation."""
    return {
        "source_accuracy": source_accuracy(source, labels),
        "negative_entropy": negative_entropy(target.probabilities),
        "mutual_information": mutual_information(target.probabilities),
        "weighted_accuracy": weighted_accuracy(source, labels, target),
    }
