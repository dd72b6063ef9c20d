"""Attention against NumPy and SciPy, written from the papers' equations."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from expressnet_jax.models.attention import (
    ChannelAttention,
    ChannelSpatialAttention,
    MultiScaleSpatialAttention,
    largest,
)

X = np.random.default_rng(0).normal(size=(2, 5, 7, 16)).astype(np.float32)
norm = partial(nn.BatchNorm, use_running_average=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(module):
    """Variables of a module, every one of them random: zeros would hide what they do."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), X)
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        value = rng.uniform(0.5, 1.5, leaf.shape) if path[-1].key == "var" else 0.5 * rng.normal(size=leaf.shape)
        return value.astype(leaf.dtype)

    drawn = jax.tree_util.tree_map_with_path(draw, shapes)
    return {"params": drawn["params"], "batch_stats": drawn.get("batch_stats", {})}


def numpy_channel_weight(x, params):
    squeeze, excite = params["squeeze"], params["excite"]
    hidden = lambda pooled: np.maximum(pooled @ squeeze["kernel"] + squeeze["bias"], 0)
    perceptron = lambda pooled: hidden(pooled) @ excite["kernel"] + excite["bias"]
    return sigmoid(perceptron(x.mean((1, 2))) + perceptron(x.max((1, 2))))


def numpy_spatial_mask(x, params, stats, kernels):
    share = np.exp(params["share"]) / np.exp(params["share"]).sum()
    pooled = np.stack([x.mean(-1), x.max(-1)], -1)
    total = np.zeros(x.shape[:3])
    for k, weight in zip(kernels, share, strict=True):
        field = params[f"field_{k}"]
        seen = lambda image, c, field=field: correlate(
            pooled[image, :, :, c], field["kernel"][:, :, c, 0], mode="same", method="direct"
        )
        total += weight * (np.stack([seen(i, 0) + seen(i, 1) for i in range(len(x))]) + field["bias"])
    scale, stats = params["norm"], stats["norm"]
    return 2 * sigmoid((total - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * scale["scale"] + scale["bias"])


def test_channel_attention_is_equation_2_of_cbam():
    module = ChannelAttention(reduction=2)
    variables = drawn(module)
    weight = numpy_channel_weight(X, variables["params"])
    out, sown = module.apply(variables, X, mutable=["intermediates"])
    assert variables["params"]["squeeze"]["kernel"].shape == (16, 8)
    np.testing.assert_allclose(out, X * weight[:, None, None, :], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sown["intermediates"]["channel_weight"][0], weight, rtol=1e-5)


def test_the_bottleneck_keeps_at_least_four_units():
    assert drawn(ChannelAttention(reduction=8))["params"]["squeeze"]["kernel"].shape == (16, 4)


@pytest.mark.parametrize("kernels", [(7,), (3, 7), (1, 3, 5)])
def test_spatial_attention_is_equation_3_of_cbam_summed_over_its_fields_and_normalised(kernels):
    module = MultiScaleSpatialAttention(norm, kernels)
    variables = drawn(module)
    mask = numpy_spatial_mask(X, variables["params"], variables["batch_stats"], kernels)
    out, sown = module.apply(variables, X, mutable=["intermediates"])
    np.testing.assert_allclose(out, X * mask[..., None], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sown["intermediates"]["spatial_mask"][0], mask, rtol=1e-4)


def test_both_together_weigh_channels_first():
    module = ChannelSpatialAttention(norm, reduction=2, kernels=(3, 5))
    variables = drawn(module)
    params, stats = variables["params"], variables["batch_stats"]
    x = X * numpy_channel_weight(X, params["channel"])[:, None, None, :]
    mask = numpy_spatial_mask(x, params["spatial"], stats["spatial"], (3, 5))
    np.testing.assert_allclose(module.apply(variables, X), x * mask[..., None], rtol=1e-4, atol=1e-5)


def test_spatial_attention_starts_as_the_identity_with_equal_shares():
    module = MultiScaleSpatialAttention(norm, (3, 5, 7))
    variables = jax.jit(module.init)(jax.random.key(0), X)
    np.testing.assert_array_equal(variables["params"]["share"], np.zeros(3))
    np.testing.assert_allclose(module.apply(variables, X), X, rtol=1e-6)


@pytest.mark.parametrize("kind", [ChannelAttention, partial(MultiScaleSpatialAttention, norm)])
def test_bfloat16_arithmetic_keeps_float32_parameters(kind):
    variables = drawn(kind(dtype=jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    out = kind(dtype=jnp.bfloat16).apply(variables, jnp.asarray(X, jnp.bfloat16))
    np.testing.assert_allclose(out.astype(jnp.float32), kind().apply(variables, X), rtol=0.1, atol=0.05)


@pytest.mark.parametrize(("axes", "per"), [((1, 2), (2, 16)), ((3,), (2, 5, 7))])
def test_the_gradient_of_a_maximum_goes_to_where_it_is(axes, per):
    weight = np.random.default_rng(2).normal(size=per).astype(np.float32)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: (largest(x, axes) * weight).sum()))(X)
    shaped = np.expand_dims(weight, axes)
    np.testing.assert_allclose(value, (X.max(axes) * weight).sum(), rtol=1e-5)
    np.testing.assert_array_equal(gradient, np.where(X.max(axes, keepdims=True) == X, shaped, 0))


def test_the_gradient_of_a_maximum_compares_no_floats():
    """A comparison may find no place at all where a compiler computes x twice, and then divides 0 by 0."""
    derivative = jax.make_jaxpr(jax.grad(lambda x: largest(x, (3,)).sum()))(X)
    compared = [e.invars[0].aval.dtype for e in derivative.eqns if e.primitive.name == "eq"]
    assert compared and all(jnp.issubdtype(dtype, jnp.integer) for dtype in compared)
    assert "div" not in {e.primitive.name for e in derivative.eqns}
    tied = jax.grad(lambda x: largest(x, (3,)).sum())(np.zeros((1, 2, 2, 3), np.float32))
    np.testing.assert_array_equal(tied, np.broadcast_to([1, 0, 0], (1, 2, 2, 3)))
