"""The VGG-like network of He et al.: its refinement against NumPy, its parts, its budget."""

from functools import partial

import flax.linen as nn
import jax
import numpy as np

from expressnet_jax.models.csam_vgg import CSAMVGG, Refinement
from expressnet_jax.models.inspect import forward_flops, parameter_count
from expressnet_jax.models.registry import create_model
from numpy_layers import NumpyLayers, drawn, noise, relu
from weights import drawn_weights, shapes_of

conv = partial(nn.Conv, use_bias=False)
norm = partial(nn.BatchNorm, use_running_average=True)


def test_refinement_adds_the_strongest_detail_of_the_finer_map():
    x, finer = noise(2, 3, 2, 8), noise(2, 7, 5, 6)  # pooling leaves out an odd last row
    block = Refinement(conv, norm)
    variables = drawn(block, x, finer)
    layers = NumpyLayers(variables)
    y = relu(layers.norm(layers.conv(finer, "reduce"), "norm_reduce"))
    y = relu(layers.norm(layers.conv(y, "detail"), "norm_detail"))
    assert y.shape == (2, 7, 5, 4)
    strongest = y[:, :6, :4].reshape(2, 3, 2, 2, 2, 4).max((2, 4))
    expected = relu(x + layers.norm(layers.conv(strongest, "expand"), "norm_expand"))
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x, finer), expected, rtol=1e-3, atol=1e-3)


def test_it_has_the_parts_of_the_paper():
    params = shapes_of(create_model("csam_vgg", 7), (1, 48, 48, 1))["params"]["backbone"]
    assert {f"stage{i}_csam" for i in (1, 2, 3)} < set(params)
    assert {name for name in params if name.startswith("refine")} == {"refine1", "refine2"}
    squeezes = [set(params[f"stage{i}_se_residual"]["attention"]) for i in (1, 2, 3)]
    assert squeezes == [{"squeeze", "excite"}] * 3
    assert [params[f"shallow{i}_conv"]["kernel"].shape for i in (1, 2)] == [(3, 3, 1, 32), (3, 3, 32, 32)]


def test_its_features_are_the_means_of_the_main_and_the_branch_map():
    backbone, images = CSAMVGG(widths=(4, 6, 10), shallow_width=4), 128 + 50 * noise(2, 34, 34, 1)
    apply = jax.jit(partial(backbone.apply, mutable=["intermediates"]))
    features, sown = apply(drawn_weights(backbone, images.shape), images)
    main, branch = sown["intermediates"]["activation_map"]
    assert (main.shape, branch.shape) == ((2, 4, 4, 10), (2, 4, 4, 6))
    np.testing.assert_allclose(features, np.concatenate([main.mean((1, 2)), branch.mean((1, 2))], -1), rtol=1e-5)


def test_it_keeps_its_budget():
    model = create_model("csam_vgg", 7)
    assert 1e6 < parameter_count(shapes_of(model, (1, 48, 48, 1))["params"]) <= 3e6
    assert forward_flops(model, (48, 48, 1)) <= 350e6
