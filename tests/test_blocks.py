"""Blocks against NumPy, with batch statistics and every scale drawn at random."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.models.blocks import DepthwiseSeparable, ResidualBlock
from expressnet_jax.models.layers import DepthwiseConv, max_pool
from numpy_layers import Damp, NumpyLayers, drawn, noise, relu, windows

conv = partial(nn.Conv, use_bias=False)
norm = partial(nn.BatchNorm, use_running_average=True)


def numpy_block(x, layers, stride, damp):
    y = relu(layers.norm(layers.conv(x, "conv_1", stride), "norm_1"))
    y = damp * layers.norm(layers.conv(y, "conv_2"), "norm_2")
    if stride > 1:
        x = np.nanmean(windows(x, stride, stride, np.nan), axis=(3, 4))
    if "conv_shortcut" in layers.params:
        x = layers.norm(layers.conv(x, "conv_shortcut"), "norm_shortcut")
    return relu(x + y)


@pytest.mark.parametrize(
    ("filters", "stride", "projected"), [(3, 1, False), (3, 2, False), (5, 1, True), (5, 2, True), (5, 4, True)]
)
@pytest.mark.parametrize("attention", [None, Damp])
def test_block_is_what_the_papers_draw(filters, stride, projected, attention):
    x = noise(2, 9, 6, 3)
    block = ResidualBlock(filters, conv, norm, attention, stride)
    variables = drawn(block, x)
    assert ("conv_shortcut" in variables["params"]) == projected
    expected = numpy_block(x, NumpyLayers(variables), stride, 0.25 if attention else 1.0)
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_separable_is_the_right_of_figure_3_of_mobilenets(stride):
    x = noise(2, 7, 6, 4)
    block = DepthwiseSeparable(5, conv, norm, DepthwiseConv, stride)
    variables = drawn(block, x)
    layers = NumpyLayers(variables)
    y = relu(layers.norm(layers.depthwise(x, "depthwise", stride), "norm_depthwise"))
    y = relu(layers.norm(layers.conv(y, "pointwise"), "norm_pointwise"))
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), y, rtol=1e-4, atol=1e-4)
    weights = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim > 1)
    assert weights == 9 * 4 + 4 * 5


@pytest.mark.parametrize("shape", [(2, 6, 8, 3), (1, 5, 7, 2)])
def test_max_pool_is_flaxs_in_value_and_gradient(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    reference = lambda x: nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))
    y, back = jax.vjp(reference, x)
    ours, our_back = jax.vjp(max_pool, x)
    np.testing.assert_array_equal(ours, y)
    np.testing.assert_array_equal(max_pool(x), y)
    slope = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
    np.testing.assert_array_equal(our_back(slope)[0], back(slope)[0])


def test_equal_largest_values_share_the_gradient_of_max_pool():
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.array([[1.0, 3.0], [3.0, 3.0]])[None, :, :, None])
    np.testing.assert_allclose(gradient[0, :, :, 0], [[0, 1 / 3], [1 / 3, 1 / 3]], rtol=1e-6)
