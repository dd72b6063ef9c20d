"""The enhanced high-order residual module against NumPy."""

from functools import partial

import flax.linen as nn
import jax
import numpy as np
import pytest

from expressnet_jax.models.high_order import HighOrderResidual
from expressnet_jax.models.layers import DepthwiseConv
from numpy_layers import Damp, NumpyLayers, drawn, noise, relu

conv = partial(nn.Conv, use_bias=False)
norm = partial(nn.BatchNorm, use_running_average=True)


@pytest.mark.parametrize(("attention", "damp"), [(None, 1.0), (Damp, 0.25)])
def test_three_orders_are_fused_and_added_to_the_identity(attention, damp):
    x = noise(2, 5, 6, 16)
    block = HighOrderResidual(conv, norm, DepthwiseConv, attention)
    variables = drawn(block, x)
    layers = NumpyLayers(variables)
    y = relu(layers.norm(layers.conv(x, "reduce"), "norm_reduce"))
    orders = []
    for i in (1, 2, 3):
        order = layers.inside(f"order_{i}")
        y = relu(order.norm(order.depthwise(y, "depthwise"), "norm_depthwise"))
        y = relu(order.norm(order.conv(y, "pointwise"), "norm_pointwise"))
        orders.append(y)
    fused = layers.norm(layers.conv(np.concatenate(orders, -1), "fuse"), "norm_fuse")
    expected = relu(x + damp * fused)
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), expected, rtol=1e-3, atol=1e-3)


def test_order_n_sees_2n_plus_1_pixels():
    """Positive weights, so that rectifiers hide no pixel; one order at a time is fused."""
    x = np.abs(noise(1, 9, 9, 16))
    block = HighOrderResidual(conv, norm, DepthwiseConv)
    variables = jax.tree.map(np.abs, drawn(block, x))
    apply, changed = jax.jit(block.apply), x.copy()
    changed[0, 4, 4] += 10
    kernel = variables["params"]["fuse"]["kernel"].copy()
    for order in (1, 2, 3):
        rows = np.arange(12) // 4 + 1 == order
        variables["params"]["fuse"]["kernel"] = kernel * rows[:, None]
        moved = np.abs(apply(variables, changed) - apply(variables, x))[0].max(-1) > 1e-3
        expected = np.zeros((9, 9), bool)
        expected[4 - order : 5 + order, 4 - order : 5 + order] = True
        np.testing.assert_array_equal(moved, expected)


def test_it_takes_a_twentieth_of_the_weights_of_three_dense_convolutions():
    x = noise(1, 3, 3, 128)
    shapes = jax.eval_shape(HighOrderResidual(conv, norm, DepthwiseConv).init, jax.random.key(0), x)
    weights = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]) if leaf.ndim > 1)
    assert weights == 128 * 32 + 3 * (9 * 32 + 32 * 32) + 96 * 128
    assert weights < 3 * 9 * 128 * 128 / 20
