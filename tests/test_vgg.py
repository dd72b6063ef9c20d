"""VGG against the sizes that its paper and its published weights state."""

import math
from functools import partial

import jax
import pytest

from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.registry import create_model
from weights import shapes_of

CONVOLUTIONS = {"vgg11": 8, "vgg16": 13, "vgg19": 16}  # the name counts three dense layers as well
WIDTHS = (64, 128, 256, 512, 512)


@pytest.mark.parametrize(
    ("name", "published", "millions"),
    [("vgg11", 132_863_336, 133), ("vgg16", 138_357_544, 138), ("vgg19", 143_667_240, 144)],
)
def test_with_the_papers_dense_layers_it_has_the_papers_parameters(name, published, millions):
    """`millions`: Simonyan & Zisserman 2015, table 2; `published`: torchvision's weights of the same configurations."""
    params = shapes_of(create_model(name, 7), (1, 48, 48, 3))["params"]["backbone"]
    kernels = [layer["kernel"].shape for layer in params.values() if "kernel" in layer]
    assert len(kernels) == CONVOLUTIONS[name]
    convolutions = sum(math.prod(shape) + shape[-1] for shape in kernels)  # the paper's have a bias each
    dense = sum((inputs + 1) * outputs for inputs, outputs in ((7 * 7 * 512, 4096), (4096, 4096), (4096, 1000)))
    assert convolutions + dense == published
    assert round(published / 1e6) == millions


def test_each_convolution_is_3x3_and_normalised_and_the_width_doubles_up_to_512():
    params = shapes_of(create_model("vgg16", 7), (1, 48, 48, 1))["params"]["backbone"]
    for stage, (depth, width) in enumerate(zip((2, 2, 3, 3, 3), WIDTHS, strict=True), start=1):
        for i in range(1, depth + 1):
            assert params[f"stage{stage}_conv{i}"]["kernel"].shape[:2] == (3, 3)
            assert params[f"stage{stage}_conv{i}"]["kernel"].shape[3] == width
            assert params[f"stage{stage}_norm{i}"]["scale"].shape == (width,)


@pytest.mark.parametrize(("size", "left"), [(32, 1), (48, 1), (112, 3), (224, 7)])
def test_five_poolings_halve_the_map_and_its_mean_is_the_feature(size, left):
    backbone = create_model("vgg11", 7, width=8).encoders["image"]()
    variables = shapes_of(backbone, (2, size, size, 1))
    apply = partial(backbone.apply, mutable=["intermediates"])
    features, sown = jax.eval_shape(apply, variables, jax.ShapeDtypeStruct((2, size, size, 1), "float32"))
    assert sown["intermediates"]["activation_map"][0].shape == (2, left, left, 64)
    assert features.shape == (2, 64)


def test_attention_weighs_the_last_convolution_of_each_stage():
    shapes = lambda **options: shapes_of(create_model("vgg11", 7, width=8, **options), (1, 48, 48, 1))["params"]
    plain, attended = shapes()["backbone"], shapes(attention="se")["backbone"]
    added = set(attended) - set(plain)
    assert added == {f"stage{stage}_attention" for stage in range(1, 6)}
    excited = [attended[f"stage{stage}_attention"]["excite"]["kernel"].shape[1] for stage in range(1, 6)]
    assert excited == [8, 16, 32, 64, 64]
    assert parameter_count(attended) > parameter_count(plain)
