"""Ghost modules against NumPy and SciPy, written from Han et al. 2020."""

from functools import partial

import flax.linen as nn
import jax
import numpy as np
import pytest
from scipy.signal import correlate2d

from expressnet_jax.models.ghost import GhostBottleneck, GhostModule
from expressnet_jax.models.layers import DepthwiseConv
from numpy_layers import Damp, NumpyLayers, drawn, noise, relu

conv = partial(nn.Conv, use_bias=False)
norm = partial(nn.BatchNorm, use_running_average=True)
unscaled = partial(norm, use_scale=False, use_bias=False, epsilon=0.0)


def numpy_ghost(x, layers, rectified=True):
    activation = relu if rectified else np.asarray
    y = activation(layers.norm(layers.conv(x, "intrinsic"), "norm_intrinsic"))
    kinds = layers.params["ghost"]["kernel"].shape[-1]
    cheap = layers.norm(layers.depthwise(y[..., :kinds], "ghost"), "norm_ghost")
    return np.concatenate([y, activation(cheap)], -1)


@pytest.mark.parametrize("filters", [6, 7])
def test_half_of_the_maps_are_filters_of_the_other_half(filters):
    """Equations 2 and 3 alone: statistics that change nothing, and no activation."""
    x, ghosts = noise(2, 5, 6, 4), filters // 2
    module = GhostModule(filters, conv, unscaled, DepthwiseConv, rectify=False)
    params = drawn(module, x)["params"]
    still = lambda channels: {"mean": np.zeros(channels, np.float32), "var": np.ones(channels, np.float32)}
    stats = {"norm_intrinsic": still(filters - ghosts), "norm_ghost": still(ghosts)}

    intrinsic = x @ params["intrinsic"]["kernel"][0, 0]
    kernels = params["ghost"]["kernel"][:, :, 0]
    cheap = [[correlate2d(image[..., i], kernels[..., i], "same") for i in range(ghosts)] for image in intrinsic]
    expected = np.concatenate([intrinsic, np.moveaxis(cheap, 1, -1)], -1)

    found = jax.jit(module.apply)({"params": params, "batch_stats": stats}, x)
    assert found.shape == (2, 5, 6, filters)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("filters", "stride", "same"), [(6, 1, True), (8, 1, False), (6, 2, False)])
@pytest.mark.parametrize("attention", [None, Damp])
def test_the_bottleneck_is_figure_3(filters, stride, same, attention):
    x = noise(2, 7, 6, 6)
    block = GhostBottleneck(filters, conv, norm, DepthwiseConv, attention, expansion=3, stride=stride)
    variables = drawn(block, x)
    layers = NumpyLayers(variables)
    y = numpy_ghost(x, layers.inside("expand"))
    assert y.shape[-1] == 18
    if stride > 1:
        y = layers.norm(layers.depthwise(y, "stride_conv", stride), "norm_stride")
    y = numpy_ghost(y / 4 if attention else y, layers.inside("project"), rectified=False)
    if not same:
        x_moved = layers.norm(layers.depthwise(x, "depthwise_shortcut", stride), "norm_depthwise_shortcut")
        x_moved = layers.norm(layers.conv(x_moved, "conv_shortcut"), "norm_shortcut")
    expected = y + (x if same else x_moved)
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), expected, rtol=1e-3, atol=1e-3)
