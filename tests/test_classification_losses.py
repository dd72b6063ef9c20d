"""Losses against NumPy, scikit-learn and the papers' formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from expressnet_jax.errors import UserError
from expressnet_jax.training.losses import check_loss_name
from expressnet_jax.training.losses.classification import (
    arcface,
    cross_entropy,
    effective_number_weights,
    focal,
    inverse_weights,
    log_prior,
    make_loss_fn,
    smooth_labels,
    weight_classes,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (50, 7)).astype(np.float32)
LABELS = RNG.integers(0, 7, 50)
HARD = np.eye(7, dtype=np.float32)[LABELS]
SOFT = RNG.dirichlet(np.ones(7), 50).astype(np.float32)
COUNTS = np.array([3995, 436, 4097, 7215, 4830, 3171, 4965])
NONE = weight_classes("none", COUNTS)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_cross_entropy_is_the_log_loss_of_scikit_learn():
    ours = make_loss_fn(weighting=NONE)(LOGITS, HARD)
    np.testing.assert_allclose(ours, log_loss(LABELS, softmax(LOGITS.astype(np.float64)), labels=range(7)), rtol=1e-5)


def test_cross_entropy_of_votes_is_least_at_the_votes():
    np.testing.assert_allclose(cross_entropy(LOGITS, SOFT), -(SOFT * np.log(softmax(LOGITS))).sum(-1), rtol=1e-4)
    gradient = jax.grad(lambda logits: cross_entropy(logits, SOFT).sum())(np.log(SOFT))
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("targets", [HARD, SOFT])
def test_focal_loss_is_equation_4_of_lin(gamma, targets):
    p = softmax(LOGITS.astype(np.float64))
    expected = -(targets * (1 - p) ** gamma * np.log(p)).sum(-1)
    np.testing.assert_allclose(focal(LOGITS, targets, gamma), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_losses_of_certain_predictions_have_finite_gradients(gamma):
    logits = np.array([[200.0, 0.0, -200.0], [0.0, 200.0, 0.0]], np.float32)
    targets = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    for loss in (cross_entropy, lambda x, t: focal(x, t, gamma)):
        value, gradient = jax.value_and_grad(lambda x, loss=loss: loss(x, targets).sum())(logits)
        np.testing.assert_allclose(value, 200, rtol=1e-5)
        np.testing.assert_allclose(gradient[1], [-1, 1, 0], atol=1e-5)
        np.testing.assert_allclose(gradient[0], 0, atol=1e-5)


def test_label_smoothing_mixes_in_the_uniform_distribution():
    p = softmax(LOGITS.astype(np.float64))
    expected = np.mean(0.9 * -np.log(p[np.arange(50), LABELS]) + 0.1 * -np.log(p).mean(-1))
    np.testing.assert_allclose(make_loss_fn(label_smoothing=0.1, weighting=NONE)(LOGITS, HARD), expected, rtol=1e-5)
    np.testing.assert_allclose(smooth_labels(SOFT, 0.3, SOFT[0]).sum(-1), 1, rtol=1e-6)


def test_inverse_weights_give_every_class_the_same_sum():
    weights = inverse_weights(COUNTS)
    np.testing.assert_allclose(weights * COUNTS, COUNTS.sum() / 7, rtol=1e-5)
    assert weights.dtype == np.float32


@pytest.mark.parametrize("beta", [0.9, 0.999, 0.9999])
def test_effective_number_weights_are_equation_4_of_cui(beta):
    weights = effective_number_weights(COUNTS, beta)
    formula = np.array([(1 - beta) / (1 - beta ** int(n)) for n in COUNTS])
    np.testing.assert_allclose(weights / weights[0], formula / formula[0], rtol=1e-5)
    np.testing.assert_allclose((weights * COUNTS).sum(), COUNTS.sum(), rtol=1e-5)


def test_effective_numbers_go_from_no_weights_to_inverse_ones():
    np.testing.assert_allclose(effective_number_weights(COUNTS, 0.0), 1, rtol=1e-6)
    np.testing.assert_allclose(effective_number_weights(COUNTS, 1 - 1e-10), inverse_weights(COUNTS), rtol=1e-4)


def test_a_class_without_examples_weighs_nothing():
    counts = np.array([10, 0, 30])
    np.testing.assert_allclose(inverse_weights(counts), [2, 0, 2 / 3], rtol=1e-6)
    assert effective_number_weights(counts)[1] == 0 and np.isfinite(effective_number_weights(counts)).all()
    assert np.isfinite(log_prior(counts)).all()


@pytest.mark.parametrize("name", ["inverse", "effective_number"])
def test_weights_multiply_each_example_by_those_of_its_class(name):
    balance = weight_classes(name, COUNTS)
    each = -np.log(softmax(LOGITS.astype(np.float64))[np.arange(50), LABELS])
    expected = np.mean(balance.weights[LABELS] * each)
    np.testing.assert_allclose(make_loss_fn(weighting=balance)(LOGITS, HARD), expected, rtol=1e-5)


def test_the_weight_of_a_soft_target_is_its_expectation():
    balance = weight_classes("inverse", COUNTS)
    each = -(SOFT * np.log(softmax(LOGITS.astype(np.float64)))).sum(-1)
    expected = np.mean(SOFT @ balance.weights * each)
    np.testing.assert_allclose(make_loss_fn(weighting=balance)(LOGITS, SOFT), expected, rtol=1e-5)


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_logit_adjustment_is_equation_10_of_menon(tau):
    """log[1 + sum_{y' != y} (pi_y' / pi_y)^tau exp(f_y' - f_y)]."""
    prior = COUNTS / COUNTS.sum()
    expected = []
    for f, y in zip(LOGITS.astype(np.float64), LABELS, strict=True):
        others = [(prior[k] / prior[y]) ** tau * np.exp(f[k] - f[y]) for k in range(7) if k != y]
        expected.append(np.log1p(sum(others)))
    loss_fn = make_loss_fn(weighting=weight_classes("logit_adjustment", COUNTS, tau=tau))
    np.testing.assert_allclose(loss_fn(LOGITS, HARD), np.mean(expected), rtol=1e-5)


@pytest.mark.parametrize("tau", [1.0, 0.5])
@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5])
def test_smoothed_targets_leave_logit_adjustment_the_class_that_menon_asks_for(amount, tau):
    """The logits that are largest where p / prior^tau is have the least expected loss: its gradient is zero there."""
    prior = COUNTS / COUNTS.sum()
    p = np.random.default_rng(1).dirichlet(prior, 40)
    best = np.log((1 - amount) * p / prior**tau + amount / (prior**tau).sum())
    assert (best.argmax(1) == (p / prior**tau).argmax(1)).all()
    loss_fn = make_loss_fn(label_smoothing=amount, weighting=weight_classes("logit_adjustment", COUNTS, tau=tau))

    def expected(logits, p):
        losses = jax.vmap(lambda target: loss_fn(logits[None], target[None]))(jnp.eye(7))
        return p @ losses

    gradient = jax.jit(jax.vmap(jax.grad(expected)))(best.astype(np.float32), p.astype(np.float32))
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_loss_fns_compile_and_stay_in_float32():
    loss_fn = make_loss_fn("focal", label_smoothing=0.1, weighting=weight_classes("inverse", COUNTS))
    value = jax.jit(loss_fn)(jnp.asarray(LOGITS), jnp.asarray(HARD))
    assert (value.dtype, value.shape) == (jnp.float32, ())


def test_wrong_names_name_the_right_ones():
    with pytest.raises(UserError, match=r"losses.x: no loss 'hinge'; one of cross_entropy, focal"):
        check_loss_name("hinge", "losses.x")
    with pytest.raises(UserError, match="no 'class'; one of none, inverse, effective_number, logit_adjustment"):
        weight_classes("class", COUNTS)


def test_margins_are_the_formulas_of_their_papers():
    cosines = np.cos(np.random.default_rng(0).uniform(0.1, np.pi - 0.1, (40, 5))).astype(np.float32)
    targets = np.eye(5, dtype=np.float32)[np.arange(40) % 5]
    own = np.arange(40), np.arange(40) % 5
    angle = np.arccos(cosines[own].astype(float))
    turned = np.where(angle + 0.5 < np.pi, np.cos(angle + 0.5), np.cos(angle) - 0.5 * np.sin(0.5))
    for name, expected in (("arcface", turned), ("cosface", np.cos(angle) - 0.5)):
        logits = np.array(cosines, np.float64)
        logits[own] = expected
        scaled = 16 * logits
        losses = np.log(np.exp(scaled).sum(1)) - scaled[own]
        loss_fn = make_loss_fn(name, margin=0.5, scale=16.0, weighting=weight_classes("none", np.ones(5)))
        np.testing.assert_allclose(loss_fn(cosines, targets), losses.mean(), rtol=1e-4)


def test_a_margin_has_a_finite_gradient_at_the_ends():
    cosines, targets = jnp.array([[1.0, -1.0]]), jnp.array([[1.0, 0.0]])
    gradient = jax.grad(lambda c: arcface(c, targets).sum())(cosines)
    assert np.isfinite(gradient).all()
