"""The forms that a GPU trains, which start few kernels, against Flax's own layers and against steps one by one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.models.attention import ChannelSpatialAttention
from expressnet_jax.models.batch_norm import BatchNorm
from expressnet_jax.models.layer_forms import conv_backend, few_kernels
from expressnet_jax.models.layers import Layers, scale_pixels
from expressnet_jax.models.mean_max import mean_and_max
from expressnet_jax.models.network import image_classifier
from expressnet_jax.training import step as step_module
from expressnet_jax.training.optimizers import make_optimizer, packing
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import make_multi_step, make_train_step, supervised
from expressnet_jax.training.targets import class_fields, class_losses

BATCH, SIDE, STEPS = 4, 6, 3


class TwoConvolutions(nn.Module):
    """A backbone with what is joined (scales, statistics) and what is not (the second kernel)."""

    @nn.compact
    def __call__(self, images, train=False):
        layers = Layers(train)
        x = nn.relu(layers.norm(name="norm")(layers.conv(12, (3, 3), name="first")(scale_pixels(images))))
        return layers.conv(10, (3, 3), name="second")(x).mean((1, 2))


def as_on(monkeypatch, platform):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)


def assert_close(ours, theirs, tolerance):
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    jax.tree.map(close, ours, theirs)


def values_and_gradients(module, variables, x, weights):
    """The output's weighted sum, the new statistics, and the gradients of parameters and input."""

    def scalar(params, x):
        y, after = module.apply({**variables, "params": params}, x, mutable=["batch_stats"])
        return (jnp.sin(y) * weights).sum(), after

    return jax.jit(jax.value_and_grad(scalar, (0, 1), has_aux=True))(variables["params"], x)


@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (8, 3)])
def test_batch_norm_is_flaxs_in_value_gradient_and_statistics(shape):
    rng = np.random.default_rng(0)
    x, weights = (jnp.array(rng.normal(1, 3, shape), jnp.float32) for _ in range(2))
    params = {"scale": jnp.array([0.5, 1.0, 2.0]), "bias": jnp.array([-1.0, 0.0, 1.0])}
    stats = {"mean": jnp.array([0.1, 0.2, 0.3]), "var": jnp.array([1.0, 2.0, 3.0])}
    variables = {"params": params, "batch_stats": stats}
    modules = BatchNorm(momentum=0.9), nn.BatchNorm(use_running_average=False, momentum=0.9)
    ours, theirs = (values_and_gradients(module, variables, x, weights) for module in modules)
    assert_close(ours, theirs, 2e-5)


def test_batch_norm_can_be_computed_again_in_the_backward_pass():
    x = jnp.array(np.random.default_rng(0).normal(1, 3, (8, 3)), jnp.float32)
    variables = {"params": {"scale": jnp.ones(3), "bias": jnp.zeros(3)}}
    variables |= {"batch_stats": {"mean": jnp.zeros(3), "var": jnp.ones(3)}}
    loss = lambda x: jnp.sin(BatchNorm().apply(variables, x, mutable=["batch_stats"])[0]).sum()
    assert_close(jax.jit(jax.grad(step_module.rematerialized(loss)))(x), jax.jit(jax.grad(loss))(x), 1e-5)


def test_mean_and_maximum_are_those_of_numpy_and_the_first_maximum_has_the_gradient():
    x = np.random.default_rng(5).integers(0, 4, (6, 5, 7)).astype(np.float32)
    weights = np.random.default_rng(6).normal(size=(2, 6, 5)).astype(np.float32)
    found = mean_and_max(jnp.array(x))
    np.testing.assert_allclose(found, (x.mean(-1), x.max(-1)), rtol=1e-6)
    gradient = jax.grad(lambda x: (weights * jnp.stack(mean_and_max(x))).sum())(jnp.array(x))
    first = np.eye(7)[x.argmax(-1)]
    np.testing.assert_allclose(gradient, weights[0][..., None] / 7 + weights[1][..., None] * first, rtol=1e-5)
    assert np.isnan(mean_and_max(jnp.array([1.0, jnp.nan, 2.0]))).all()


def test_attention_is_the_same_function_on_a_gpu(monkeypatch):
    rng = np.random.default_rng(1)
    x, weights = (jnp.array(rng.normal(size=(3, 5, 5, 4)), jnp.float32) for _ in range(2))
    module = lambda: ChannelSpatialAttention(Layers(True).norm, reduction=2, kernels=(3, 6))
    init = lambda: jax.jit(module().init)(jax.random.key(0), x)
    drawn = init()
    # Scales that start at zero, and equal shares, would hide what lies behind them.
    params = jax.tree.map(lambda p: p + jnp.array(rng.normal(size=p.shape), p.dtype), drawn["params"])
    variables = {"params": params, "batch_stats": drawn["batch_stats"]}
    plain = values_and_gradients(module(), variables, x, weights)
    as_on(monkeypatch, "gpu")
    assert_close(init(), drawn, 1e-7)
    assert_close(values_and_gradients(module(), variables, x, weights), plain, 1e-4)


def test_exports_and_evaluation_keep_the_plain_forms(monkeypatch):
    as_on(monkeypatch, "tpu")
    assert not few_kernels()
    as_on(monkeypatch, "gpu")
    assert few_kernels() and Layers(True).norm.func is BatchNorm
    assert Layers(False).norm.func is nn.BatchNorm
    with conv_backend("xla"):
        assert not few_kernels() and Layers(True).norm.func is nn.BatchNorm


def test_small_arrays_are_joined_by_part_and_dtype_and_come_back():
    rng = np.random.default_rng(2)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    weights = lambda: {"backbone": {"bias": draw(3), "kernel": draw(3, 3, 8, 16)}, "head": {"kernel": draw(4, 7)}}
    large = {"backbone": {"kernel": draw(2, packing.SHARD_CLASSES)}}
    tree = {"params": weights(), "moments": weights(), "large": large, "count": np.int32(5)}
    vectors, unpack = packing.pack(tree)
    assert sorted(vector.size for vector in vectors) == [1, 3 + 28, 3 + 28, 1152, 1152, 2 * packing.SHARD_CLASSES]
    jax.tree.map(np.testing.assert_array_equal, unpack(vectors), tree)


def test_joined_steps_are_the_plain_steps_one_by_one(monkeypatch, mesh_of):
    """Each of three steps alone, as on a CPU, and all in one call with small arrays joined."""
    network = image_classifier(TwoConvolutions(), 7)
    schedule = lambda step: 0.05 / (1 + step)
    rule = make_optimizer("muon", schedule, weight_decay=1e-2)
    program = supervised(network, class_losses(7), {}, class_fields(7))
    step = make_train_step(program, rule, schedule, ema=0.9)
    state = init_state(make_init_fn(network, (SIDE, SIDE, 1)), rule, mesh_of(1), ema=True)
    state = jax.tree.map(np.array, state)
    rng = np.random.default_rng(3)
    batches = {
        "image": rng.integers(0, 256, (STEPS, BATCH, SIDE, SIDE, 1), dtype=np.uint8),
        "expression": rng.integers(0, 7, (STEPS, BATCH), dtype=np.int32),
    }

    alone, one, seen = state, make_multi_step(step), []
    for i in range(STEPS):
        alone, metrics = one(alone, None, {name: values[i : i + 1] for name, values in batches.items()})
        seen.append(metrics)
    monkeypatch.setattr(step_module, "few_kernels", lambda: True)  # of the platform's differences, only the joining
    joined, metrics = make_multi_step(step)(state, None, batches)
    assert jax.tree.structure(joined) == jax.tree.structure(alone)
    assert_close(metrics, jax.tree.map(lambda *values: jnp.concatenate(values), *seen), 2e-4)
    assert_close(joined, alone, 2e-4)
