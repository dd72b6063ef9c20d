"""Batch statistics of the target, against statistics over all images at once (Li et al. 2018)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.adaptation.adabn import batch_statistics, pool, recalibrate_batch_norm
from expressnet_jax.models.network import image_classifier
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.state import TrainState
from weights import drawn_weights

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 3, 4, 2)).astype(np.uint8)


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
    model = image_classifier(TwoNorms(momentum), 4, dropout=0.5)
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


def adapted(model, variables, batches, ema=False):
    """The state after one step of the method for each batch."""
    params, stats = variables["params"], variables["batch_stats"]
    average = {"params": params, "batch_stats": stats} if ema else {}
    state = TrainState(jnp.int32(5), params, stats if not ema else jax.tree.map(jnp.zeros_like, stats), (), average)
    step = jax.jit(recalibrate_batch_norm(model, first=5))
    for images in batches:
        state, _ = step(state, {"target": {"image": images}})
    assert int(state.step) == 5 + len(batches)
    return state


def test_the_first_layer_gets_the_statistics_of_all_images_and_nothing_else_moves():
    model, variables = network()
    batches = IMAGES[:10].reshape(5, 2, *IMAGES.shape[1:])
    state = adapted(model, variables, batches)
    x = np.float64(IMAGES[:10]) / 255
    assert_is(state.batch_stats["backbone"]["first"], x.mean((0, 1, 2)), x.var((0, 1, 2)))
    y = np.concatenate([mixed(variables["params"], np.float64(batch) / 255) for batch in batches])
    assert_is(state.batch_stats["backbone"]["second"], y.mean((0, 1, 2)), y.var((0, 1, 2)))
    jax.tree.map(np.testing.assert_array_equal, state.params, variables["params"])
    averaged = adapted(model, variables, batches, ema=True)  # what is evaluated is recalibrated
    jax.tree.map(np.testing.assert_array_equal, averaged.variables["batch_stats"], state.batch_stats)
    assert all(not leaf.any() for leaf in jax.tree.leaves(averaged.batch_stats))


def test_means_that_differ_between_batches_add_to_the_variance():
    first, second = np.full((4, 2), 0.2), np.full((12, 2), 1.0)
    of = lambda x: {"norm": {"mean": x.mean(0), "var": x.var(0)}}
    together = np.concatenate([first, second])
    result = pool(of(first), of(second), 12 / 16)["norm"]
    assert (together.var(0) > 0.1).all()
    assert_is(result, together.mean(0), together.var(0))


def test_after_adapting_to_one_batch_evaluation_sees_it_as_training_does():
    model = create_model("expressnet_tiny", 7, widths=(8, 12), depths=(1, 1), stem_width=4, dropout=0.2)
    images = np.random.default_rng(1).integers(0, 256, (8, 16, 16, 1)).astype(np.uint8)
    variables = drawn_weights(model, images.shape)
    after = {**variables, "batch_stats": adapted(model, variables, [images]).batch_stats}
    assert jax.tree.structure(after) == jax.tree.structure(dict(variables))
    features = lambda variables, train: jax.jit(
        lambda v, x: model.apply(v, x, train, mutable=["batch_stats"], method="features")[0]
    )(variables, images.astype(np.float32))
    trained = features(variables, True)
    assert np.abs(features(variables, False) - trained).max() > 0.1
    np.testing.assert_allclose(features(after, False), trained, rtol=1e-3, atol=1e-4)
