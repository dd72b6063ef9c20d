"""Verification of people: pairs with nobody in two folds, thresholds against a search, figures against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.verification import (
    Pairs,
    best_threshold,
    listed_pairs,
    make_pairs,
    similarities,
    verification,
)

RNG = np.random.default_rng(0)


def test_pairs_are_balanced_and_nobody_is_in_two_folds():
    people = RNG.integers(0, 40, 300)
    pairs = make_pairs(people, folds=5, per_fold=30)
    assert (pairs.first != pairs.second).all() and len(np.unique(np.c_[pairs.first, pairs.second], axis=0)) == 300
    np.testing.assert_array_equal(people[pairs.first] == people[pairs.second], pairs.same)
    for fold in range(5):
        here = pairs.fold == fold
        assert here.sum() == 60 and pairs.same[here].sum() == 30
        met = set(people[pairs.first[here]]) | set(people[pairs.second[here]])
        assert met.isdisjoint(set(people[pairs.first[~here]]) | set(people[pairs.second[~here]]))
    again = make_pairs(people, folds=5, per_fold=30)
    np.testing.assert_array_equal(pairs.first, again.first)


def test_few_people_make_fewer_pairs_and_too_few_none():
    pairs = make_pairs(np.repeat(np.arange(8), 2), folds=4)
    assert len(pairs.same) == 4 * 4 and pairs.same.sum() == 8
    with pytest.raises(UserError, match="3 people are too few to verify"):
        make_pairs(np.repeat(np.arange(3), 2))


def test_the_best_threshold_is_that_of_a_search_over_all():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        same = rng.random(30) < 0.5
        scores = np.round(rng.normal(size=30) + same, 1)  # with equal ones
        right = lambda t, scores=scores, same=same: ((scores >= t) == same).mean()
        best = max(right(t) for t in [*scores, scores.max() + 1])
        assert right(best_threshold(scores, same)) == best


def test_figures_by_hand_and_by_scikit_learn():
    same = np.tile([True, False], 2000)
    fold = np.repeat(np.arange(10), 400)
    scores = RNG.normal(size=4000) + 2 * same
    pairs = Pairs(np.arange(4000), np.arange(4000) + 1, same, fold)
    found = verification(scores, pairs)
    expected = []
    for k in range(10):
        t = best_threshold(scores[fold != k], same[fold != k])
        expected.append(((scores[fold == k] >= t) == same[fold == k]).mean())
    np.testing.assert_allclose(found["verification"], np.mean(expected))
    np.testing.assert_allclose(found["standard_error"], np.std(expected, ddof=1) / np.sqrt(10))
    assert abs(found["verification"] - 0.841) < 0.02  # half of the distance of the means: Phi(1)
    false_positive, true_positive, _ = roc_curve(same, scores)
    for rate in (0.01, 0.001):
        theirs = true_positive[false_positive <= rate].max()
        assert abs(found[f"found_at_{100 * rate:g}_percent"] - theirs) < 0.01


def test_similarities_are_cosines():
    features = RNG.normal(size=(5, 3)).astype(np.float32)
    pairs = Pairs(np.array([0, 1]), np.array([2, 1]), np.array([False, True]), np.array([0, 1]))
    a, b = features[0].astype(float), features[2].astype(float)
    expected = a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)
    np.testing.assert_allclose(similarities(7 * features, pairs), [expected, 1], rtol=1e-6)


def test_listed_pairs_are_found_by_name_and_a_missing_one_is_named():
    keys = ["x/Bo_0001.jpg", "x/Bo_0002.jpg", "Cy_0003.jpg"]
    rows = [["Bo", "1", "Bo", "2", "0"], ["Bo", "2", "Cy", "3", "1"]]
    pairs = listed_pairs(rows, keys)
    assert pairs.first.tolist() == [0, 1] and pairs.second.tolist() == [1, 2]
    assert pairs.same.tolist() == [True, False] and pairs.fold.tolist() == [0, 1]
    with pytest.raises(UserError, match="no image Di_0001 among"):
        listed_pairs([["Bo", "1", "Di", "1", "0"]], keys)
