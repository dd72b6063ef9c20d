"""DDAMFN against the paper's size and against NumPy, written from the code that its authors released."""

from functools import partial

import jax
import numpy as np
import pytest

from expressnet_jax.models.ddamfn import DDAMFN, DualDirectionAttention, MixedBottleneck
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.layers import Layers, average_grid
from expressnet_jax.models.registry import create_model
from numpy_layers import Damp, NumpyLayers, drawn, noise
from weights import SMALLER, drawn_weights, shapes_of

LAYERS = Layers(train=False, symmetric=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def prelu(x, params):
    return np.where(x > 0, x, params["slope"] * x)


def test_it_has_the_parameters_of_the_paper():
    """4.11 million there. The released code has 4,105,999 in use: 344 and 32 of them are biases of the squeezes of its
    blocks and heads, which the normalisation behind them makes void."""
    params = shapes_of(create_model("ddamfn", 7), (1, 112, 112, 3))["params"]
    assert parameter_count(params) == 4_105_999 - 344 - 32


@pytest.mark.parametrize(("filters", "stride"), [(6, 1), (5, 2)])
def test_a_block_filters_groups_of_channels_with_kernels_of_their_own(filters, stride):
    x = noise(2, 7, 5, 6)
    block = MixedBottleneck(filters, ((3, 4), (5, 2)), stride, LAYERS, Damp)
    variables = drawn(block, x)
    layers, params = NumpyLayers(variables), variables["params"]
    y = prelu(layers.norm(layers.conv(x, "expand"), "norm_expand"), params["prelu"])
    assert set(variables["batch_stats"]) == {"norm_expand", "norm_project"}  # nothing in between is normalised
    filtered = NumpyLayers({"params": params["depthwise"], "batch_stats": {}})
    parts = [filtered.depthwise(y[..., :4], "kernel_3", stride), filtered.depthwise(y[..., 4:], "kernel_5", stride)]
    y = layers.norm(layers.conv(np.concatenate(parts, -1) / 4, "project"), "norm_project")
    expected = x + y if stride == 1 else y
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), expected, rtol=1e-4, atol=1e-4)


def test_a_head_multiplies_what_a_positions_row_and_column_say():
    x = noise(2, 7, 7, 5)
    head = DualDirectionAttention(LAYERS)
    variables = drawn(head, x)
    layers, params = NumpyLayers(variables), variables["params"]
    dense = lambda y, name: y @ params[name]["kernel"] + params[name]["bias"]
    rows = layers.norm(np.einsum("bhwc,wc->bhc", x, params["rows_kernel"]), "norm_rows")
    columns = layers.norm(np.einsum("bhwc,hc->bwc", x, params["columns_kernel"]), "norm_columns")
    squeeze = lambda y: layers.norm(y @ params["squeeze"]["kernel"], "norm")
    swish = lambda y: y * np.clip(y + 3, 0, 6) / 6
    by_row, by_column = sigmoid(dense(swish(squeeze(rows)), "rows")), sigmoid(dense(swish(squeeze(columns)), "columns"))
    expected = by_row[:, :, None] * by_column[:, None]
    np.testing.assert_allclose(jax.jit(head.apply)(variables, x), expected, rtol=1e-4, atol=1e-5)


def test_the_features_sum_the_positions_of_the_last_map_by_the_strongest_head():
    images = 100 * np.abs(noise(2, 32, 32, 1))
    backbone = DDAMFN(**SMALLER["ddamfn"], heads=3)
    variables = drawn_weights(backbone, images.shape)
    apply = partial(backbone.apply, capture_intermediates=lambda module, _: module.name == "last_prelu")

    @jax.jit
    def look(params):
        features, seen = apply(variables | {"params": params}, images, mutable=["intermediates"])
        return features.sum(), (features, seen["intermediates"])

    gradient, (features, seen) = jax.grad(look, has_aux=True)(variables["params"])
    x, (masks,) = np.asarray(average_grid(seen["last_prelu"]["__call__"][0], 7)), seen["head_attention"]
    assert masks.shape == (2, 3, 7, 7, 16) and masks.min() > 0 and masks.max() < 1
    kernel, layers = variables["params"]["positions"]["kernel"][:, :, 0], NumpyLayers(variables)
    expected = layers.norm(np.einsum("bhwc,hwc->bc", x * np.asarray(masks).max(1), kernel), "positions_norm")
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    assert all(np.any(each) for each in jax.tree.leaves(gradient))
