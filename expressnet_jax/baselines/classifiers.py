"""Shallow classifiers of features. Shapes: N training examples, B batch, D features, K classes.

Fitting, (features float32[N,D], labels int[N], K) -> Classify; Classify, float32[B,D] -> probabilities float32[B,K].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from expressnet_jax.errors import UserError

Classify = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LinearSvm:
    """A linear support vector machine for each class against all others, on features of mean 0 and deviation 1.

    Each minimises |w|^2 / 2 + cost * sum(max(0, 1 - t (w x + b))^2), t = 1 for the class and -1 for the others (the
    L2-loss of Fan et al. 2008, LIBLINEAR, with b left free). By L-BFGS for all classes at once: with thousands
    of features the same minimum as scikit-learn's LinearSVC several times as fast.
    An SVM knows no probabilities: they are the softmax of the K distances w x + b, so their order is the machine's own
    and their sizes are not calibrated.
    """

    cost: float = 1e-5

    def fit(self, features: np.ndarray, labels: np.ndarray, num_classes: int) -> Classify:
        mean = features.mean(0)
        # Not beneath a thousandth of the usual: what hardly varies would be blown up in pictures unlike these.
        deviation = features.std(0)
        deviation = np.maximum(deviation, 1e-3 * deviation.mean() + 1e-12)
        standard = lambda x: np.c_[(x - mean) / deviation, np.ones(len(x), np.float32)].astype(np.float32)
        x, sign = standard(features), np.where(labels[:, None] == np.arange(num_classes), 1.0, -1.0)

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            w = flat.reshape(-1, num_classes)
            slack = np.maximum(0, 1 - sign * (x @ w.astype(np.float32)))
            free = w * (np.arange(len(w)) < len(w) - 1)[:, None]
            slope = free - 2 * self.cost * (x.T @ (sign * slack).astype(np.float32))
            return (free**2).sum() / 2 + self.cost * (slack**2).sum(), slope.ravel()

        start = np.zeros(x.shape[1] * num_classes)
        w = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-7}).x
        w = w.reshape(-1, num_classes).astype(np.float32)
        return lambda features: softmax(standard(features) @ w, axis=1)


@dataclass(frozen=True)
class NearestNeighbours:
    """The vote of the `k` training examples nearest by Euclid's distance (Cover & Hart 1967).

    Probabilities are shares of the votes. Of equally many votes the nearer ones win, for each neighbour's counts a
    trifle more than the next one's; all trifles together weigh less than a vote.
    """

    k: int = 1

    def fit(self, features: np.ndarray, labels: np.ndarray, num_classes: int) -> Classify:
        from sklearn.neighbors import NearestNeighbors

        if not 1 <= self.k <= len(features):
            raise UserError(f"k={self.k}: the training set holds {len(features):,} pictures; give k from 1 to that")
        search = NearestNeighbors(n_neighbors=self.k, algorithm="brute").fit(features)
        weights = 1 + 0.01 * np.arange(self.k)[::-1] / self.k**2
        votes = np.eye(num_classes)[labels]

        def classify(features: np.ndarray) -> np.ndarray:
            near = search.kneighbors(features, return_distance=False)
            return (np.einsum("k,bkc->bc", weights, votes[near]) / weights.sum()).astype(np.float32)

        return classify
