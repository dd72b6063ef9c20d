"""Criteria without target labels, against SciPy, scikit-learn, and a shift whose answer is known."""

import numpy as np
import scipy.stats
from sklearn.linear_model import LogisticRegression

from expressnet_jax.evaluation.unsupervised_selection import (
    Sample,
    density_ratio,
    mutual_information,
    negative_entropy,
    source_accuracy,
    validate,
    weighted_accuracy,
)

RNG = np.random.default_rng(0)
P = RNG.dirichlet(np.full(4, 0.5), 50)


def test_certainty_and_information_are_entropies_of_scipy():
    each = scipy.stats.entropy(P, axis=1).mean()
    np.testing.assert_allclose(negative_entropy(P), -each)
    np.testing.assert_allclose(mutual_information(P), scipy.stats.entropy(P.mean(0)) - each)
    np.testing.assert_allclose(mutual_information(np.eye(4)), np.log(4))
    assert mutual_information(np.tile([0.0, 1.0], (9, 1))) == 0 == negative_entropy(np.eye(2))


def test_the_density_ratio_is_that_of_scikit_learns_logistic_regression():
    source, target = RNG.normal(size=(200, 3)), RNG.normal((1, 0, -0.5), size=(300, 3))
    both = np.concatenate([source, target])
    x = (both - both.mean(0)) / both.std(0)
    # Their penalty is on the sum of losses and spares the intercept; a column of ones is penalised as ours is.
    theirs = LogisticRegression(C=1 / 1e-2, fit_intercept=False, tol=1e-8, max_iter=1000)
    share = np.r_[np.full(200, 0.5 / 200), np.full(300, 0.5 / 300)]
    theirs.fit(np.c_[x, np.ones(500)], np.r_[np.zeros(200), np.ones(300)], sample_weight=share)
    p = theirs.predict_proba(np.c_[x, np.ones(500)][:200])
    np.testing.assert_allclose(density_ratio(source, target), p[:, 1] / p[:, 0], rtol=1e-3)


def test_weighted_accuracy_foresees_the_target_where_only_the_images_differ():
    """A classifier that is right above zero and wrong below; the target lies above."""
    source, target = RNG.normal(size=(4000, 1)), RNG.normal(size=(4000, 1)) + 1
    labels = np.zeros(4000, int)
    says = lambda x: np.where(x > 0, [[1.0, 0.0]], [[0.0, 1.0]])
    on_source, on_target = Sample(source, says(source)), Sample(target, says(target))
    truth = (target > 0).mean()  # 84 %, where the source says 50 %
    assert abs(source_accuracy(on_source, labels) - 0.5) < 0.03
    assert abs(weighted_accuracy(on_source, labels, on_target) - truth) < 0.04
    assert set(validate(on_source, labels, on_target)) == {
        "source_accuracy",
        "negative_entropy",
        "mutual_information",
        "weighted_accuracy",
    }
