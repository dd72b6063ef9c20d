"""Attention against NumPy and SciPy, written from the papers' equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from expressnet_jax.models.attention import ChannelAttention, MultiScaleSpatialAttention

X = np.random.default_rng(0).normal(size=(2, 5, 7, 16)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(module, scale=0.5):
    """Parameters of a module, every one of them random: zeros would hide what they do."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), X)["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: (scale * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes)


def test_channel_attention_is_equation_2_of_cbam():
    module = ChannelAttention(reduction=2)
    params = drawn(module)
    squeeze, excite = params["squeeze"], params["excite"]
    hidden = lambda pooled: np.maximum(pooled @ squeeze["kernel"] + squeeze["bias"], 0)
    perceptron = lambda pooled: hidden(pooled) @ excite["kernel"] + excite["bias"]
    weight = sigmoid(perceptron(X.mean((1, 2))) + perceptron(X.max((1, 2))))

    out, sown = module.apply({"params": params}, X, mutable=["intermediates"])

    assert squeeze["kernel"].shape == (16, 8)
    np.testing.assert_allclose(out, X * weight[:, None, None, :], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sown["intermediates"]["channel_weight"][0], weight, rtol=1e-5)


def test_the_bottleneck_keeps_at_least_four_units():
    assert drawn(ChannelAttention(reduction=8))["squeeze"]["kernel"].shape == (16, 4)


@pytest.mark.parametrize("kernels", [(7,), (3, 7), (1, 3, 5)])
def test_spatial_attention_is_equation_3_of_cbam_summed_over_its_fields(kernels):
    module = MultiScaleSpatialAttention(kernels)
    params = drawn(module)
    share = np.exp(params["share"]) / np.exp(params["share"]).sum()
    pooled = np.stack([X.mean(-1), X.max(-1)], -1)
    logits = np.zeros(X.shape[:3])
    for k, weight in zip(kernels, share, strict=True):
        field = params[f"field_{k}"]
        for image in range(len(X)):
            convolved = sum(
                correlate(pooled[image, :, :, c], field["kernel"][:, :, c, 0], mode="same", method="direct")
                for c in range(2)
            )
            logits[image] += weight * (convolved + field["bias"])

    out, sown = module.apply({"params": params}, X, mutable=["intermediates"])

    np.testing.assert_allclose(out, X * sigmoid(logits)[..., None], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sown["intermediates"]["spatial_mask"][0], sigmoid(logits), rtol=1e-4)


def test_the_fields_start_with_equal_shares():
    params = MultiScaleSpatialAttention((3, 5, 7)).init(jax.random.key(0), X)["params"]
    np.testing.assert_array_equal(params["share"], np.zeros(3))


@pytest.mark.parametrize("kind", [ChannelAttention, MultiScaleSpatialAttention])
def test_bfloat16_arithmetic_keeps_float32_parameters(kind):
    module = kind(dtype=jnp.bfloat16)
    x = jnp.asarray(X, jnp.bfloat16)
    params = module.init(jax.random.key(0), x)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    out = module.apply({"params": params}, x)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), kind().apply({"params": params}, X), atol=0.05)
