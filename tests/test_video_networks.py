"""Networks of clips: the published numbers of parameters, and convolutions over time as convolutions of images."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from expressnet_jax.config import default
from expressnet_jax.errors import UserError
from expressnet_jax.models.cpu.volume import direct_volume_conv, matmul_volume_conv
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.layers import max_pool_frames
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.network import make_model
from weights import shapes_of

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "classes", "parameters"), [("r3d18", 400, 33_371_472), ("r2plus1d18", 400, 31_505_325)]
)
def test_residual_networks_have_the_parameters_that_torchvision_publishes(name, classes, parameters):
    params = shapes_of(create_model(name, classes), (1, 4, 32, 32, 3))["params"]
    assert parameter_count(params) == parameters


def test_c3d_has_the_parameters_counted_by_hand():
    widths = (1, 32, 64, 128, 128, 128)
    counted = sum(27 * c * f + 2 * f for c, f in pairwise(widths)) + 128 * 7 + 7
    assert parameter_count(shapes_of(create_model("c3d", 7), (1, 4, 32, 32, 1))["params"]) == counted


ORDER = ("NDHWC", "DHWIO", "NDHWC")
ZEROS = ((1, 1), (0, 0), (0, 0))


@pytest.mark.parametrize("convolve", [direct_volume_conv, matmul_volume_conv])
@pytest.mark.parametrize(
    ("size", "strides", "padding"), [((3, 3, 3), (2, 2, 2), "SAME"), ((3, 1, 1), (1, 1, 1), ZEROS)]
)
def test_a_convolution_over_time_is_the_sum_that_xla_computes_and_so_is_its_gradient(convolve, size, strides, padding):
    clips = jnp.asarray(RNG.normal(size=(2, 5, 8, 6, 3)), jnp.float32)
    kernel = jnp.asarray(RNG.normal(size=(*size, 3, 4)), jnp.float32)

    def loss(function, clips, kernel):
        found = function(clips, kernel, strides, padding, dimension_numbers=ORDER)
        return (found**3).sum(), found

    def run(function):
        return jax.jit(jax.grad(partial(loss, function), (0, 1), has_aux=True))(clips, kernel)

    for ours, theirs in zip(*map(jax.tree.leaves, map(run, (convolve, lax.conv_general_dilated))), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(jnp.abs(theirs).max()))


def test_the_maximum_over_frames_cuts_an_odd_last_one_and_leaves_a_single_one():
    clips = RNG.normal(size=(2, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(max_pool_frames(clips), np.stack([clips[:, :2].max(1), clips[:, 2:4].max(1)], 1))
    np.testing.assert_array_equal(max_pool_frames(clips[:, :1]), clips[:, :1])


@pytest.mark.parametrize(
    ("name", "frames", "temporal", "message"),
    [
        ("c3d", 0, "none", "model.temporal: none with data.frames=0: c3d would take clips"),
        ("expressnet_tiny", 4, "none", "takes no clips, but data.frames=4; .*a model of clips .c3d, r3d18, r2plus1d18"),
        ("c3d", 4, "gru", "model.temporal: gru is about networks of images; c3d takes a clip"),
    ],
)
def test_images_for_a_network_of_clips_and_clips_for_one_of_images_are_refused(name, frames, temporal, message):
    config = default()
    config.model.update(name=name, temporal=temporal)
    config.data.frames = frames
    with pytest.raises(UserError, match=message):
        make_model(config, 7)
