"""Batch statistics of the target, against statistics over all pictures at once (Li et al. 2018)."""

import copy

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.adaptation.adabn import adapt_batch_statistics, batch_statistics, pool
from expressnet_jax.errors import UserError
from expressnet_jax.models.classifier import Classifier
from expressnet_jax.models.registry import create_model

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 3, 4, 2)).astype(np.uint8)
BATCHES = (IMAGES[:5], IMAGES[5:6], IMAGES[6:])


class TwoNorms(nn.Module):
    """Normalises, mixes the channels and normalises again; each layer forgets at its own rate."""

    momentum: float = 0.9

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.BatchNorm(not train, momentum=self.momentum, name="first")(images / 255)
        x = nn.relu(nn.Dense(3, name="mix")(x))
        return nn.BatchNorm(not train, momentum=0.99, name="second")(x).mean((1, 2))


def network(momentum=0.9, seed=0):
    """With running statistics of something else."""
    model = Classifier(TwoNorms(momentum), 4, dropout=0.5)
    variables = model.init(jax.random.key(seed), jnp.asarray(IMAGES, jnp.float32))
    stats = jax.tree.map(lambda leaf: leaf + 7.0, variables["batch_stats"])
    return model, {"params": variables["params"], "batch_stats": stats}


def normalised(x):
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)


def mixed(params, x):
    mix = params["backbone"]["mix"]
    return np.maximum(normalised(x) @ np.float64(mix["kernel"]) + np.float64(mix["bias"]), 0)


def assert_is(layer, mean, variance):
    np.testing.assert_allclose(layer["mean"], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer["var"], variance, rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.9, 0.5, 0.0])
def test_a_batchs_own_statistics_come_out_at_any_momentum(momentum):
    model, variables = network(momentum)
    stats = jax.jit(lambda v, x: batch_statistics(model, v, x))(variables, IMAGES)["backbone"]
    x = np.float64(IMAGES) / 255
    y = mixed(variables["params"], x)
    assert_is(stats["first"], x.mean((0, 1, 2)), x.var((0, 1, 2)))
    assert_is(stats["second"], y.mean((0, 1, 2)), y.var((0, 1, 2)))


def test_the_first_layer_gets_the_statistics_of_all_pictures_from_uneven_batches():
    model, variables = network()
    stats = adapt_batch_statistics(model, variables, BATCHES)["batch_stats"]["backbone"]
    x = np.float64(IMAGES) / 255
    assert_is(stats["first"], x.mean((0, 1, 2)), x.var((0, 1, 2)))
    y = np.concatenate([mixed(variables["params"], np.float64(batch) / 255) for batch in BATCHES])
    assert_is(stats["second"], y.mean((0, 1, 2)), y.var((0, 1, 2)))


def test_means_that_differ_between_batches_add_to_the_variance():
    first, second = np.full((4, 2), 0.2), np.full((12, 2), 1.0)
    of = lambda x: {"norm": {"mean": x.mean(0), "var": x.var(0)}}
    together = np.concatenate([first, second])
    result = pool(of(first), of(second), 12 / 16)["norm"]
    assert (together.var(0) > 0.1).all()
    assert_is(result, together.mean(0), together.var(0))


def test_nothing_of_the_old_statistics_is_left_and_nothing_else_changes():
    model, variables = network()
    before = copy.deepcopy(variables)
    adapted = adapt_batch_statistics(model, variables, iter(BATCHES))
    jax.tree.map(np.testing.assert_array_equal, variables, before)
    jax.tree.map(np.testing.assert_array_equal, adapted["params"], before["params"])
    broken = {**variables, "batch_stats": jax.tree.map(lambda leaf: leaf * np.nan, variables["batch_stats"])}
    jax.tree.map(np.testing.assert_array_equal, adapt_batch_statistics(model, broken, BATCHES), adapted)


def test_after_adapting_to_one_batch_evaluation_sees_it_as_training_does():
    model = create_model("expressnet_tiny", 7, widths=(8, 12), depths=(1, 1), stem_width=4, dropout=0.2)
    images = np.random.default_rng(1).integers(0, 256, (8, 16, 16, 1)).astype(np.uint8)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.asarray(images, jnp.float32))
    adapted = adapt_batch_statistics(model, variables, [images])
    assert jax.tree.structure(adapted) == jax.tree.structure(dict(variables))
    features = lambda variables, train: jax.jit(
        lambda v, x: model.apply(v, x, train, mutable=["batch_stats"], method="features")[0]
    )(variables, images.astype(np.float32))
    trained = features(variables, True)
    assert np.abs(features(variables, False) - trained).max() > 0.1
    np.testing.assert_allclose(features(adapted, False), trained, rtol=1e-3, atol=1e-4)


def test_what_can_not_be_adapted_says_so():
    plain = create_model("plain_cnn", 7)
    with pytest.raises(UserError, match="adabn: this model has no batch normalisation"):
        adapt_batch_statistics(plain, {"params": {}}, BATCHES)
    with pytest.raises(UserError, match="adabn: there are no target pictures"):
        adapt_batch_statistics(*network(), [])
