"""Gradient reversal, its schedule, the discriminator and its loss (Ganin et al. 2016)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from expressnet_jax.adaptation.cdan import entropy_weights
from expressnet_jax.adaptation.dann import Discriminator, domain_loss, reversal_weight, reverse_gradient

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(6, 4)).astype(np.float32)
SOURCE, TARGET = RNG.normal(0, 2, 9).astype(np.float32), RNG.normal(1, 2, 5).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_reversal_is_the_identity_whose_gradient_is_turned_round(weight):
    loss = lambda x: jnp.sin(x).sum()
    np.testing.assert_array_equal(reverse_gradient(FEATURES, weight), FEATURES)
    gradient = jax.jit(jax.grad(lambda x, w: loss(reverse_gradient(x, w))))(FEATURES, weight)
    np.testing.assert_allclose(gradient, -weight * np.cos(FEATURES), rtol=1e-5, atol=1e-7)


def test_the_weight_gets_no_gradient_and_types_stay():
    loss = lambda x, w: (reverse_gradient(x, w).astype(jnp.float32) ** 2).sum()
    half = jnp.asarray(FEATURES, jnp.bfloat16)
    of_x, of_weight = jax.grad(loss, (0, 1))(half, jnp.float32(0.5))
    assert of_x.dtype == jnp.bfloat16 and of_weight == 0
    np.testing.assert_allclose(of_x.astype(jnp.float32), -half.astype(jnp.float32), rtol=1e-2)


def test_one_backward_pass_trains_the_discriminator_and_untrains_the_features():
    model = Discriminator((8,))
    params = jax.jit(model.init)(jax.random.key(0), FEATURES)
    source, target = FEATURES[:3], FEATURES[3:]

    def loss(params, source, target, turn):
        return domain_loss(model.apply(params, turn(source)), model.apply(params, turn(target)))

    gradients = lambda turn: jax.grad(lambda *args: loss(*args, turn), (0, 1, 2))(params, source, target)
    plain, turned = gradients(lambda x: x), gradients(lambda x: reverse_gradient(x, 0.7))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(plain)) > 1e-3
    jax.tree.map(np.testing.assert_array_equal, turned[0], plain[0])
    for ours, theirs in zip(turned[1:], plain[1:], strict=True):
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(ours, -0.7 * theirs, rtol=1e-5)


@pytest.mark.parametrize("gamma", [10.0, 3.0])
def test_the_weight_follows_the_schedule_of_section_5_2_2(gamma):
    progress = np.linspace(0, 1, 11)
    expected = 2 / (1 + np.exp(-gamma * progress)) - 1
    np.testing.assert_allclose(reversal_weight(progress, gamma), expected, rtol=1e-5, atol=1e-7)
    assert reversal_weight(0) == 0 and reversal_weight(1) > 0.999


def test_the_discriminator_is_a_perceptron_with_log_odds():
    model = Discriminator((8, 3))
    params = jax.jit(model.init)(jax.random.key(0), FEATURES)
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # biases too
    layer = lambda name, x: (
        x @ np.asarray(params["params"][name]["kernel"]) + np.asarray(params["params"][name]["bias"])
    )
    hidden = np.maximum(layer("hidden_2", np.maximum(layer("hidden_1", FEATURES), 0)), 0)
    logits = model.apply(params, FEATURES)
    assert logits.shape == (6,)
    np.testing.assert_allclose(logits, layer("domain", hidden)[:, 0], rtol=1e-5, atol=1e-6)
    half = Discriminator((8, 3), jnp.bfloat16).apply(params, FEATURES)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, logits, atol=0.05)


def test_domain_loss_is_the_mean_of_scikit_learns_over_the_domains():
    of_source = log_loss(np.zeros(9), sigmoid(SOURCE), labels=[0, 1])
    of_target = log_loss(np.ones(5), sigmoid(TARGET), labels=[0, 1])
    np.testing.assert_allclose(domain_loss(SOURCE, TARGET), (of_source + of_target) / 2, rtol=1e-5)
    np.testing.assert_allclose(domain_loss(0 * SOURCE, 0 * TARGET), np.log(2), rtol=1e-6)


def test_weights_make_examples_count_more():
    weights = np.asarray(entropy_weights(RNG.dirichlet(np.ones(3), 9).astype(np.float32)))
    of_source = log_loss(np.zeros(9), sigmoid(SOURCE), labels=[0, 1], sample_weight=weights)
    of_target = log_loss(np.ones(5), sigmoid(TARGET), labels=[0, 1])
    np.testing.assert_allclose(domain_loss(SOURCE, TARGET, weights), (of_source + of_target) / 2, rtol=1e-5)


def test_a_certain_discriminator_has_a_finite_loss_and_gradient():
    value, gradient = jax.value_and_grad(domain_loss)(np.float32([1e4, -1e4]), np.float32([200.0, -200.0]))
    np.testing.assert_allclose(value, (1e4 / 2 + 200 / 2) / 2, rtol=1e-5)
    np.testing.assert_allclose(gradient, [0.25, 0], atol=1e-6)
