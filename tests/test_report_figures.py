"""The report's figures against scikit-learn, SciPy, fairlearn's definition, or a case whose answer is known."""

import numpy as np
import pytest
from scipy.stats import binomtest

from expressnet_jax.report.calibration import (
    PRECISION,
    area_under_risk,
    brier,
    coverage_curve,
    equal_mass_ece,
    half_of,
    least_score,
    temper,
    threshold,
)
from expressnet_jax.report.comparison import compare_predictions, mcnemar
from expressnet_jax.report.context import rounded
from expressnet_jax.report.pairs import against_votes, confused_pairs, kullback_leibler
from expressnet_jax.report.robustness import mean_corruption_error

CLASSES = ("anger", "fear", "happiness")


@pytest.fixture(scope="module")
def predictions():
    """Probabilities float[N,3] and labels that are drawn from them: calibrated by construction."""
    rng = np.random.default_rng(0)
    rows = rng.dirichlet((0.5, 0.7, 1.0), 6000)
    labels = (rows.cumsum(1) > rng.random((6000, 1))).argmax(1)
    return rows, labels


def test_brier_is_scikit_learns(predictions):
    metrics = pytest.importorskip("sklearn.metrics")
    rows, labels = predictions
    expected = metrics.brier_score_loss(labels, rows, labels=[0, 1, 2], scale_by_half=False)
    assert brier(rows, labels) == pytest.approx(expected, rel=1e-9)


def test_equal_mass_ece_is_scikit_learns_quantile_curve(predictions):
    calibration = pytest.importorskip("sklearn.calibration")
    rows, labels = predictions
    confidence, right = rows.max(1), rows.argmax(1) == labels
    accuracy, mean = calibration.calibration_curve(right, confidence, n_bins=15, strategy="quantile")
    assert equal_mass_ece(confidence, right, 15) == pytest.approx(np.abs(accuracy - mean).mean(), abs=1e-9)
    assert equal_mass_ece(np.full(100, 0.9), np.arange(100) < 70, 15) > 0.2  # off by 0.2 and unevenly
    assert equal_mass_ece(np.full(100, 0.7), np.tile([True] * 7 + [False] * 3, 10), 1) == pytest.approx(0)


def test_area_under_risk_follows_from_its_definition(predictions):
    rows, labels = predictions
    rows, labels = rows[:200], labels[:200]
    confidence, right = rows.max(1), rows.argmax(1) == labels
    risks = []
    for level in np.sort(confidence)[::-1]:
        answered = confidence >= level
        risks.append(1 - right[answered].mean())
    assert area_under_risk(confidence, right) == pytest.approx(np.mean(risks), rel=1e-12)
    curve = {row["coverage"]: row["accuracy"] for row in coverage_curve(confidence, right)}
    assert curve[1.0] == right.mean() and curve[0.5] == right[np.argsort(-confidence)[:100]].mean()


def test_a_temperature_is_found_on_the_half_that_it_is_not_used_on(predictions):
    rows, labels = predictions
    sharpened = rows**2 / (rows**2).sum(1, keepdims=True)
    halves = half_of(len(labels))
    tempered, found = temper(sharpened, labels, halves)
    assert found == pytest.approx([2, 2], rel=0.1)
    np.testing.assert_allclose(tempered, rows, atol=0.05)
    spoilt = labels.copy()
    spoilt[halves] = 0  # what is wrong with one half must not change how that half is tempered
    np.testing.assert_array_equal(temper(sharpened, spoilt, halves)[0][halves], tempered[halves])


def test_a_threshold_keeps_its_precision_on_the_other_half(predictions):
    metrics = pytest.importorskip("sklearn.metrics")
    rows, labels = predictions
    halves, score = half_of(len(labels)), rows[:, 2]
    found = threshold(score, rows.argmax(1) == 2, labels == 2, halves)
    answered = (rows.argmax(1) == 2) & (score >= found["threshold"])
    expected = metrics.precision_score((labels == 2)[~halves], answered[~halves])
    assert found["precision"] == pytest.approx(expected) and expected > 0.85
    assert found["kept"] == pytest.approx(metrics.recall_score((labels == 2)[~halves], answered[~halves]))
    assert found["interval"][0] < expected < found["interval"][1]


def test_the_least_score_is_the_lowest_with_that_precision():
    score = np.linspace(1, 0, 100)
    right = np.arange(100) < 45  # precision of the first k: 45/k from 46 on
    level = least_score(score, right)
    kept = score >= level
    assert right[kept].mean() >= PRECISION and int(kept.sum()) == 50
    assert least_score(np.full(100, 0.5), right) is None  # one threshold for all: 45 % are right
    assert least_score(score[:5], right[:5]) is None  # too few to tell


@pytest.mark.parametrize(("first", "second"), [(3, 9), (0, 6), (25, 25), (0, 0)])
def test_mcnemar_is_the_binomial_test(first, second):
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-12)


def test_two_models_are_compared_image_by_image():
    labels = np.array([0, 0, 1, 1, 2, 2])
    ours, theirs = np.eye(3)[[0, 0, 1, 0, 2, 1]], np.eye(3)[[0, 1, 1, 0, 0, 1]]
    found = compare_predictions(ours, theirs, labels, CLASSES)
    assert (found["both_right"], found["only_this_right"], found["only_other_right"], found["both_wrong"]) == (
        2,
        2,
        0,
        2,
    )
    assert found["difference"] == pytest.approx(2 / 6) and found["interval"][0] < 2 / 6 < found["interval"][1]
    assert found["p_value"] == pytest.approx(0.5)
    assert found["per_class"]["fear"] == {"this": 0.5, "other": 0.5}
    assert {"label": "anger", "this": "anger", "other": "fear", "count": 1} in found["differ_most"]


def test_pairs_are_both_directions_of_the_confusion():
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 1, 0, 2, 2])
    votes = np.eye(3)[labels] * 0.8 + 0.2 / 3
    first, *_ = confused_pairs(predicted, labels, CLASSES, votes)
    assert (first["first"], first["second"], first["errors"]) == ("anger", "fear", 3)
    assert (first["first_as_second"], first["second_as_first"], first["confusion"]) == (0.5, 0.5, 0.5)
    assert first["annotators"] == pytest.approx(0.2 / 3)


def test_a_model_that_answers_as_annotators_vote_doubts_where_they_do(predictions):
    rows, _ = predictions
    votes = rows.copy()
    votes[0] = np.nan  # an image without votes counts nothing
    found = against_votes(rows, votes, votes.argmax(1))
    assert found["spearman"] == pytest.approx(1) and found["kullback_leibler"] == pytest.approx(0, abs=1e-6)
    assert found["count"] == len(rows) - 1 == found["clear"]["count"] + found["unclear"]["count"]
    assert found["clear"]["count"] == int((rows[1:].max(1) >= 0.8).sum())
    assert sum(row["count"] for row in found["by_agreement"]) == found["count"]
    other = against_votes(rows[np.random.default_rng(1).permutation(len(rows))], rows, rows.argmax(1))
    assert abs(other["spearman"]) < 0.05


def test_kullback_leibler_is_scipys(predictions):
    from scipy.stats import entropy

    rows, _ = predictions
    votes = np.roll(rows, 1, axis=0)
    np.testing.assert_allclose(
        kullback_leibler(votes, np.maximum(rows, 1e-7)), entropy(votes, np.maximum(rows, 1e-7), axis=1), atol=1e-4
    )


def test_mce_is_a_ratio_of_sums_of_errors():
    errors, baseline = {"fog": [0.1, 0.3], "snow": [0.4, 0.4]}, {"fog": [0.4, 0.4], "snow": [0.5, 0.5]}
    found = mean_corruption_error(errors, baseline, clean=0.1, baseline_clean=0.3)
    assert found["ce"] == pytest.approx({"fog": 0.5, "snow": 0.8}) and found["mce"] == pytest.approx(0.65)
    assert found["relative_mce"] == pytest.approx((0.2 / 0.2 + 0.6 / 0.4) / 2)
    same = mean_corruption_error(baseline, baseline, 0.3, 0.3)
    assert same["mce"] == same["relative_mce"] == pytest.approx(1)


def test_json_has_six_digits_and_no_nan():
    found = rounded({"a": np.float32(1 / 3), "b": [np.int64(7), np.nan], "c": np.array([True]), 1: "x"})
    assert found == {"a": 0.333333, "b": [7, None], "c": [True], "1": "x"}
