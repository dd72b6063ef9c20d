import json
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from expressnet_jax.data.labels import BASIC
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.metrics import (
    classification_metrics,
    wilson_interval,
)


def predictions(count=500, num_classes=7, seed=0, absent=()):
    """Probabilities float32[N,K], right about half of the time, and labels int[N] without the absent classes."""
    rng = np.random.default_rng(seed)
    present = [k for k in range(num_classes) if k not in absent]
    labels = rng.choice(present, count)
    scores = rng.normal(size=(count, num_classes)) + 1.5 * np.eye(num_classes)[labels]
    weight = np.exp(scores)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("absent", [(), (1,), (0, 6)])
def test_figures_are_scikit_learns(absent):
    probabilities, labels = predictions(absent=absent)
    predicted = probabilities.argmax(1)
    ours = classification_metrics(probabilities, labels, BASIC)

    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=range(7), zero_division=0
    )
    assert ours["count"] == 500
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    recalls_that_exist = [k for k in range(7) if k not in absent]
    assert ours["balanced_accuracy"] == pytest.approx(recall[recalls_that_exist].mean())
    assert ours["macro_f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro", zero_division=0))
    assert ours["log_loss"] == pytest.approx(sk.log_loss(labels, probabilities, labels=range(7)), rel=1e-5)
    np.testing.assert_array_equal(ours["confusion"], sk.confusion_matrix(labels, predicted, labels=range(7)))
    table = [[row[key] for key in ("precision", "recall", "f1", "support")] for row in ours["per_class"].values()]
    np.testing.assert_allclose(table, np.stack([precision, recall, f1, support], axis=1), rtol=1e-12)
    assert list(ours["per_class"]) == list(BASIC)


def test_balanced_accuracy_is_scikit_learns():
    probabilities, labels = predictions()
    expected = sk.balanced_accuracy_score(labels, probabilities.argmax(1))
    assert classification_metrics(probabilities, labels, BASIC)["balanced_accuracy"] == pytest.approx(expected)


def test_a_class_neither_shown_nor_predicted_is_left_out_of_the_means_and_zero_in_its_row():
    probabilities, labels = predictions(num_classes=7)
    with_eighth = np.pad(probabilities, ((0, 0), (0, 1)))
    seven = classification_metrics(probabilities, labels, BASIC)
    eight = classification_metrics(with_eighth, labels, (*BASIC, "contempt"))
    assert eight["macro_f1"] == pytest.approx(seven["macro_f1"])
    assert eight["balanced_accuracy"] == pytest.approx(seven["balanced_accuracy"])
    assert eight["per_class"]["contempt"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_a_certain_mistake_costs_a_finite_loss_as_in_scikit_learn():
    probabilities = np.array([[1, 0], [0.25, 0.75]], np.float32)
    expected = sk.log_loss([1, 1], probabilities, labels=[0, 1])
    assert classification_metrics(probabilities, [1, 1], "ab")["log_loss"] == pytest.approx(expected, rel=1e-5)


def test_figures_survive_json():
    figures = classification_metrics(*predictions(), BASIC)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_gives_the_published_values(correct, count, low, high):
    assert wilson_interval(correct, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_solves_the_score_equation():
    for bound in wilson_interval(71, 100):
        assert abs(0.71 - bound) / math.sqrt(bound * (1 - bound) / 100) == pytest.approx(1.959963984540054)


def test_wilson_interval_ends_exactly_at_none_and_all():
    assert wilson_interval(0, 7)[0] == 0
    assert wilson_interval(7, 7)[1] == 1


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.zeros((0, 2)), [], "nothing to evaluate"),
        ([[0.5, 0.5]], [2], "example 0 has label 2, but labels go from 0 to 1"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, -1], "example 1 has label -1"),
        ([[0.5, 0.5], [3.0, -1.0]], [0, 1], "prediction of example 1 is no probability"),
        ([[np.nan, 0.5]], [0], "check for NaN"),
        ([[0.2, 0.3, 0.5]], [0], r"shape \(1, 3\).*2 classes \(a, b\)"),
    ],
)
def test_impossible_input_is_named(probabilities, labels, message):
    with pytest.raises(UserError, match=message):
        classification_metrics(probabilities, labels, ("a", "b"))
