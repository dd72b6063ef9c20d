import numpy as np
import pytest

from expressnet_jax.evaluation.calibration import (
    Calibration,
    expected_calibration_error,
    fit_temperature,
)
from expressnet_jax.training.losses.classification import log_prior


def softmax(scores):
    weight = np.exp(scores - scores.max(1, keepdims=True))
    return weight / weight.sum(1, keepdims=True)


def predictions(count=800, num_classes=5, sharpness=3.0, seed=0):
    """Logits float[N,K] that are too sure of themselves by `sharpness`, and labels drawn from the honest ones."""
    rng = np.random.default_rng(seed)
    honest = 1.5 * rng.normal(size=(count, num_classes))
    labels = (rng.random((count, 1)) > softmax(honest).cumsum(1)).sum(1)
    return sharpness * honest, labels


def naive_calibration_error(probabilities, labels, bins):
    total = 0
    for m in range(1, bins + 1):
        members = [
            (max(p), int(np.argmax(p) == y))
            for p, y in zip(probabilities, labels, strict=True)
            if (m - 1) / bins < max(p) <= m / bins
        ]
        if members:
            confidence, correct = np.mean(members, axis=0)
            total += len(members) / len(labels) * abs(correct - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_is_equation_3_of_guo(bins):
    logits, labels = predictions()
    probabilities = softmax(logits)
    expected = naive_calibration_error(probabilities, labels, bins)
    assert expected_calibration_error(probabilities, labels, bins) == pytest.approx(expected, rel=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])
    # Each is alone in its bin of four, at distances 0.5, 0.25 and 1; in one bin 0.75 and 1 would cancel to 0.75.
    assert expected_calibration_error(probabilities, [0, 0, 1], bins=4) == pytest.approx((0.5 + 0.25 + 1) / 3)


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not():
    sure = np.eye(3)[[0, 1, 2]]
    assert expected_calibration_error(sure, [0, 1, 2]) == 0
    assert expected_calibration_error(sure, [1, 2, 0]) == 1


def test_temperature_is_the_best_of_a_fine_grid():
    logits, labels = predictions(sharpness=3.0)
    loss = lambda t: -np.log(softmax(logits / t)[np.arange(len(labels)), labels]).mean()
    grid = np.arange(1, 6, 0.002)
    best = grid[np.argmin([loss(t) for t in grid])]
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(best, abs=2e-3)
    assert temperature == pytest.approx(3.0, rel=0.15)


def test_temperature_is_the_same_from_logits_and_log_probabilities():
    logits, labels = predictions()
    assert fit_temperature(np.log(softmax(logits)), labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-5)


def test_temperature_mends_the_calibration_and_keeps_every_decision():
    logits, labels = predictions(sharpness=3.0)
    before = softmax(logits)
    after = softmax(logits / fit_temperature(logits, labels))
    assert expected_calibration_error(after, labels) < 0.3 * expected_calibration_error(before, labels)
    np.testing.assert_array_equal(after.argmax(1), before.argmax(1))
    np.testing.assert_allclose(after.sum(1), 1, rtol=1e-6)


def test_a_probability_of_zero_does_not_break_the_fit():
    probabilities = np.array([[1.0, 0.0], [0.8, 0.2], [0.3, 0.7]], np.float32)
    with np.errstate(divide="ignore"):
        temperature = fit_temperature(np.log(probabilities), [1, 0, 1])
    assert np.isfinite(temperature) and temperature > 0


@pytest.mark.parametrize("tau", [0.5, 1.0, -0.5])
def test_a_shift_divides_the_probabilities_by_a_power_of_the_prior(tau):
    """Menon et al. 2021, eq. 9: with tau 1 the classes are compared as if all were equally frequent."""
    counts, (logits, _) = np.array([50, 30, 15, 5, 0]), predictions()
    prior = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    expected = softmax(logits) / prior**tau
    found = softmax(Calibration(shift=tuple(-tau * log_prior(counts))).scores(logits))
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-5)
    named = np.bincount(found.argmax(1), minlength=5) - np.bincount(logits.argmax(1), minlength=5)
    assert np.sign(named[0]) == -np.sign(tau) and np.sign(named[4]) == np.sign(tau)


def test_without_a_shift_scores_are_logits_at_the_temperature():
    logits, _ = predictions()
    np.testing.assert_array_equal(Calibration(2.0).scores(logits), logits / 2)
