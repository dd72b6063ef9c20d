"""The standard networks against the counts published with them and against NumPy, written from their papers."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.models.efficientnet import MBConv, SqueezeExcite, round_to_8
from expressnet_jax.models.inspect import forward_flops, parameter_count
from expressnet_jax.models.layers import DepthwiseConv, average_grid
from expressnet_jax.models.mini_xception import SeparableResidual
from expressnet_jax.models.occlusion_aware import REGIONS, GatedRegions, GateUnit
from expressnet_jax.models.registry import create_model
from expressnet_jax.models.resnet import BottleneckBlock
from numpy_layers import Damp, NumpyLayers, drawn, noise, relu, windows
from weights import SMALLER, drawn_weights, shapes_of

# Parameters of the ImageNet forms (1000 classes, RGB), as torchvision publishes them with the weights.
IMAGENET = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b2": 9_109_994,
}
conv = partial(nn.Conv, use_bias=False)
norm = partial(nn.BatchNorm, use_running_average=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swish(x):
    return x * sigmoid(x)


def dense(x, params):
    return x @ params["kernel"] + params["bias"]


@pytest.mark.parametrize("name", IMAGENET)
def test_imagenet_forms_have_the_published_number_of_parameters(name):
    options = {"stem": "imagenet"} if name.startswith("resnet") else {}
    params = shapes_of(create_model(name, 1000, **options), (1, 64, 64, 3))["params"]
    assert parameter_count(params) == IMAGENET[name]


def test_mini_xception_is_the_released_one_but_for_its_last_convolution():
    """58,423 with 7 classes and gray images, as Keras counts: with the statistics that batch normalisation keeps."""
    variables = shapes_of(create_model("mini_xception", 7), (1, 64, 64, 1))
    counted = parameter_count(variables["params"]["backbone"]) + parameter_count(variables["batch_stats"])
    assert counted == 58_423 - (3 * 3 * 128 * 7 + 7)


@pytest.mark.parametrize(("name", "parameters", "mflop"), [("alexnet", 6e6, 1000), ("occlusion_aware", 3e6, 300)])
def test_budgets_are_kept(name, parameters, mflop):
    model = create_model(name, 7)
    assert parameter_count(shapes_of(model, (1, 48, 48, 1))["params"]) <= parameters
    assert forward_flops(model, (48, 48, 1)) <= mflop * 1e6


@pytest.mark.parametrize("name", ["alexnet", "efficientnet_b0", "mini_xception", "explainable_cnn", "occlusion_aware"])
def test_one_set_of_parameters_serves_every_size(name):
    model = create_model(name, 7, **SMALLER.get(name, {}))
    small, *larger = (shapes_of(model, (1, size, size, 1)) for size in (32, 75, 224))
    assert larger == [small, small]


@pytest.mark.parametrize(("stem", "size", "side"), [("imagenet", 224, 7), ("imagenet", 48, 2), ("small", 48, 6)])
def test_the_stem_decides_how_fine_the_last_map_of_a_resnet_is(stem, size, side):
    model = create_model("resnet18", 7, stem=stem)
    look = lambda images: model.init_with_output(jax.random.key(0), images, mutable=True)
    _, variables = jax.eval_shape(look, jnp.zeros((1, size, size, 1)))
    assert variables["intermediates"]["backbone"]["activation_map"][0].shape == (1, side, side, 512)


@pytest.mark.parametrize("option", ["stem", "block"])
def test_a_wrong_stem_or_block_names_the_right_ones(option):
    wrong = rf"model.options.{option}: no {option} 'big'; one of (small, imagenet|basic, bottleneck)"
    with pytest.raises(UserError, match=wrong):
        shapes_of(create_model("resnet18", 7, **{option: "big"}), (1, 48, 48, 1))


@pytest.mark.parametrize(("filters", "stride", "attention"), [(8, 1, None), (12, 2, Damp)])
def test_a_bottleneck_is_figure_5_of_he_with_the_stride_in_its_middle(filters, stride, attention):
    x = noise(2, 5, 6, 8)
    block = BottleneckBlock(filters, conv, norm, attention, stride, average=False)
    variables = drawn(block, x)
    layers = NumpyLayers(variables)
    y = relu(layers.norm(layers.conv(x, "conv_1"), "norm_1"))
    y = relu(layers.norm(layers.conv(y, "conv_2", stride), "norm_2"))
    y = layers.norm(layers.conv(y, "conv_3"), "norm_3") / (1 if attention is None else 4)
    if filters != 8:
        x = layers.norm(layers.conv(x, "conv_shortcut", stride), "norm_shortcut")
    assert y.shape[-1] == filters and variables["params"]["conv_2"]["kernel"].shape == (
        3,
        3,
        filters // 4,
        filters // 4,
    )
    np.testing.assert_allclose(jax.jit(block.apply)(variables, noise(2, 5, 6, 8)), relu(x + y), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("expansion", "kernel", "stride", "filters"), [(1, 3, 1, 8), (6, 5, 2, 12)])
def test_mbconv_is_an_inverted_residual_with_swish_and_excitation(expansion, kernel, stride, filters):
    x = noise(2, 5, 6, 8)
    block = MBConv(filters, conv, norm, DepthwiseConv, SqueezeExcite, expansion, kernel, stride)
    variables = drawn(block, x)
    layers, params = NumpyLayers(variables), variables["params"]
    y = x if expansion == 1 else swish(layers.norm(layers.conv(x, "expand"), "norm_expand"))
    y = swish(layers.norm(layers.depthwise(y, "depthwise", stride), "norm_depthwise"))
    weight = sigmoid(dense(swish(dense(y.mean((1, 2)), params["attention"]["squeeze"])), params["attention"]["excite"]))
    y = layers.norm(layers.conv(y * weight[:, None, None], "project"), "norm_project")
    expected = y + x if filters == 8 else y
    assert params["attention"]["squeeze"]["kernel"].shape == (8 * expansion, 2)  # a quarter of what comes in
    out, sown = jax.jit(partial(block.apply, mutable=["intermediates"]))(variables, x)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sown["intermediates"]["attention"]["channel_weight"][0], weight, rtol=1e-4)


def test_widths_are_rounded_to_eights_but_never_by_more_than_a_tenth():
    assert [round_to_8(c) for c in (1, 12, 13, 17.6, 18, 35.2, 1408)] == [8, 16, 16, 16, 24, 32, 1408]


def test_a_separable_residual_is_what_arriaga_releases():
    x = noise(2, 7, 6, 4)
    block = SeparableResidual(6, conv, norm, DepthwiseConv)
    variables = drawn(block, x)
    layers = NumpyLayers(variables)
    separable = lambda y, i: layers.norm(
        layers.conv(layers.depthwise(y, f"depthwise_{i}"), f"pointwise_{i}"), f"norm_{i}"
    )
    pooled = windows(separable(relu(separable(x, 1)), 2), 3, 2, -np.inf).max((3, 4))
    expected = pooled + layers.norm(layers.conv(x, "conv_shortcut", 2), "norm_shortcut")
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "cells"),
    [
        (7, [[0, 1], [1, 2, 3], [3, 4, 5], [5, 6]]),  # PyTorch's AdaptiveAvgPool2d(4)
        (8, [[0, 1], [2, 3], [4, 5], [6, 7]]),
        (3, [[0], [0, 1], [1, 2], [2]]),
    ],
)
def test_alexnets_grid_is_an_adaptive_average(size, cells):
    x = noise(2, size, 6, 3)
    columns = [[0, 1], [1, 2], [3, 4], [4, 5]]
    expected = [[x[:, rows][:, :, across].mean((1, 2)) for across in columns] for rows in cells]
    np.testing.assert_allclose(average_grid(x, 4), np.moveaxis(expected, 2, 0), rtol=1e-5, atol=1e-6)


def test_a_logit_of_the_explainable_cnn_is_the_mean_of_its_class_activation_map():
    model, images = create_model("explainable_cnn", 7, **SMALLER["explainable_cnn"]), 255 * np.abs(noise(2, 40, 40, 1))
    variables = drawn_weights(model, images.shape)
    outputs, sown = jax.jit(partial(model.apply, mutable=["intermediates"]))(variables, images)
    logits = outputs.heads["expression"]
    (activation,), head = sown["intermediates"]["backbone"]["activation_map"], variables["params"]["head"]
    maps = np.einsum("bhwd,dk->bhwk", activation, head["kernel"])
    assert maps.shape == (2, 10, 10, 7) and maps.std((1, 2)).min() > 0
    np.testing.assert_allclose(logits, maps.mean((1, 2)) + head["bias"], rtol=1e-4, atol=1e-5)


def test_a_gate_unit_weighs_what_it_encodes():
    x = noise(2, 4, 5, 3)
    unit = GateUnit(8, conv, norm)
    variables = drawn(unit, x)
    layers, params = NumpyLayers(variables), variables["params"]
    y = relu(layers.norm(layers.conv(x, "conv_1"), "norm_1"))
    pooled = relu(layers.norm(layers.conv(y, "conv_2"), "norm_2")).mean((1, 2))
    gate = sigmoid(dense(relu(dense(pooled, params["attend"])), params["gate"]))
    local, found = jax.jit(unit.apply)(variables, x)
    np.testing.assert_allclose(found, gate[:, 0], rtol=1e-4)
    np.testing.assert_allclose(local, relu(dense(pooled, params["encode"])) * gate, rtol=1e-4, atol=1e-5)


def test_what_hides_a_region_changes_that_region_and_the_whole_face_only():
    """At a place that one region alone has, each of its branches and no other answers differently."""
    x, module = noise(1, 20, 20, 3), GatedRegions(4, conv, norm)
    variables = drawn(module, x)
    apply = jax.jit(partial(module.apply, variables, mutable=["intermediates"]))
    places = {"left_eye": (2, 2), "right_eye": (2, 17), "nose": (10, 10), "left_cheek": (14, 1), "mouth": (19, 10)}
    before, seen = apply(x)
    for name, (row, column) in places.items():
        hidden = x.copy()
        hidden[:, row, column] += 5
        after, sown = apply(hidden)
        changed = (np.reshape(after, (-1, 4)) != np.reshape(before, (-1, 4))).any(1)
        assert [region for region, differs in zip(REGIONS, changed, strict=True) if differs] == [name, "face"]
        gates = [v["intermediates"]["visibility"][0] for v in (seen, sown)]
        assert gates[0].shape == (1, len(REGIONS))
        assert not (gates[0] != gates[1])[0, ~changed].any()
    left, right = (REGIONS[f"{side}_eye"] for side in ("left", "right"))
    np.testing.assert_allclose((left[2], left[3]), (1 - right[3], 1 - right[2]))
