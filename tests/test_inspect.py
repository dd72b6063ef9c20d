"""What is said of a model against what can be counted by hand."""

from functools import partial

import jax
import numpy as np
import pytest

from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.inspect import (
    describe,
    forward_flops,
    layer_order,
    measure_models,
    overview,
    parameter_count,
)
from expressnet_jax.models.network import image_classifier
from expressnet_jax.models.registry import MODELS, create_model
from weights import SMALLER, first_of_each_kind, shapes_of, small_shape

SMALL = image_classifier(ExpressNet(widths=(4, 8), depths=(2, 1), stem_width=4), 7)


def zeros(model, images):
    """Variables that cost no compilation."""
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes_of(model, images.shape))


def attention_maps(model, variables, images):
    """What the model's attentions sow, by its path: spatial masks float[B,h,w], channel weights float[B,C]."""
    apply = jax.jit(partial(model.apply, mutable=["intermediates"]))
    _, sown = apply(variables, images.astype(np.float32))
    leaves = jax.tree_util.tree_leaves_with_path(sown.get("intermediates", {}))
    maps = {"/".join(key.key for key in path if hasattr(key, "key")): leaf for path, leaf in leaves}
    return {path: leaf for path, leaf in maps.items() if path.endswith(("channel_weight", "spatial_mask"))}


def test_layers_come_in_the_order_of_the_forward_pass():
    assert layer_order(create_model("plain_cnn", 7), (48, 48, 1)) == [
        "conv_1",
        "conv_2",
        "conv_3",
        "dense_1",
        "dense_2",
    ]
    assert layer_order(SMALL, (16, 16, 3)) == [
        "stem",
        "stem_norm",
        "stage1_block1",
        "stage1_block2",
        "stage2_block1",
    ]


@pytest.mark.parametrize("name", first_of_each_kind())
def test_every_parameter_of_a_backbone_lies_in_an_ordered_layer(name):
    model = create_model(name, 7, **SMALLER.get(name, {}))
    shape = small_shape(name)
    params = zeros(model, np.zeros((1, *shape), np.float32))["params"]
    assert set(layer_order(model, shape)) == set(params["backbone"])


def test_parameters_are_counted():
    assert parameter_count({"a": np.zeros((3, 4)), "b": {"c": np.zeros(5), "scalar": np.zeros(())}}) == 18


def test_flops_of_the_plain_cnn_are_those_counted_by_hand():
    conv = lambda side, inputs, filters: (
        2 * (3 * side - 2) ** 2 * inputs * filters
    )  # what reaches past the border: none
    dense = lambda inputs, outputs: 2 * inputs * outputs
    counted = conv(48, 1, 32) + conv(24, 32, 64) + conv(12, 64, 128) + dense(4608, 128) + dense(128, 64) + dense(64, 7)
    assert counted <= forward_flops(create_model("plain_cnn", 7), (48, 48, 1)) <= 1.02 * counted


def test_attention_maps_are_positive_and_of_the_size_of_their_stage():
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), np.uint8)
    maps = attention_maps(SMALL, zeros(SMALL, images), images)
    assert {name: value.shape for name, value in maps.items()} == {
        "backbone/stage1_block2/attention/channel/channel_weight": (3, 4),
        "backbone/stage1_block2/attention/spatial/spatial_mask": (3, 8, 8),
        "backbone/stage2_block1/attention/channel/channel_weight": (3, 8),
        "backbone/stage2_block1/attention/spatial/spatial_mask": (3, 4, 4),
    }
    assert all((value > 0).all() for value in maps.values())


def test_a_model_without_attention_has_no_maps():
    model, images = create_model("plain_cnn", 7), np.zeros((1, 16, 16, 1), np.uint8)
    assert attention_maps(model, zeros(model, images), images) == {}


def test_the_overview_has_a_line_for_every_model_and_a_description_one_for_every_parameter(monkeypatch):
    some = {name: MODELS[name] for name in ("expressnet_tiny", "plain_cnn", "mini_xception")}  # tracing all takes long
    monkeypatch.setattr("expressnet_jax.models.inspect.MODELS", some)
    rows = list(measure_models((32, 32, 1), file_size=lambda name: 3_210_000 if name == "plain_cnn" else 10**6))
    lines = list(overview(rows, with_size=True))
    assert lines[0].endswith("ONNX MB") and [line.split()[0] for line in lines if line.endswith(" 3.2")] == [
        "plain_cnn"
    ]
    assert [line.split()[0] for line in lines[1:]] == list(some)
    plain = zeros(create_model("plain_cnn", 7), np.zeros((1, 32, 32, 1), np.float32))["params"]
    assert f"{parameter_count(plain):,}" in lines[2]
    table = describe("plain_cnn", (32, 32, 1))
    assert all(layer in table for layer in ("conv_1", "dense_2", "head"))
