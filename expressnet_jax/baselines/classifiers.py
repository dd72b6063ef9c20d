"""Shallow classifiers of features. Shapes: N training examples, B batch, D features, K classes.

Fitting, (features float32[N,D], labels int[N], K) -> Classify; Classify, float32[B,D] -> probabilities float32[B,K].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from expressnet_jax.errors import UserError

Classify = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LinearSvm:
    """A linear support vector machine for each class against all others, on features of mean 0 and deviation 1.

    scikit-learn's LinearSVC: LIBLINEAR's L2-regularised L2-loss machine in its primal form (Fan et al. 2008), which
    is the quicker one where examples outnumber features. An SVM knows no probabilities: they are the softmax of the K
    distances w x + b, so their order is the machine's own and their sizes are not calibrated.
    """

    cost: float = 1e-5

    def fit(self, features: np.ndarray, labels: np.ndarray, num_classes: int) -> Classify:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import LinearSVC

        machine = make_pipeline(StandardScaler(), LinearSVC(C=self.cost, dual=False, random_state=0))
        machine.fit(features, labels)
        known = machine.classes_  # a class without examples is never the answer

        def classify(features: np.ndarray) -> np.ndarray:
            distances = np.full((len(features), num_classes), -np.inf)
            found = machine.decision_function(features)
            distances[:, known] = np.c_[-found, found] if len(known) == 2 else found
            return softmax(distances, axis=1).astype(np.float32)

        return classify


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
            raise UserError(f"k={self.k}: the training set holds {len(features):,} images; give k from 1 to that")
        search = NearestNeighbors(n_neighbors=self.k, algorithm="brute").fit(features)
        weights = 1 + 0.01 * np.arange(self.k)[::-1] / self.k**2
        votes = np.eye(num_classes)[labels]

        def classify(features: np.ndarray) -> np.ndarray:
            near = search.kneighbors(features, return_distance=False)
            return (np.einsum("k,bkc->bc", weights, votes[near]) / weights.sum()).astype(np.float32)

        return classify
