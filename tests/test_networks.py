"""The standard networks against the counts published with them and against NumPy, written from their papers."""

import jax
import jax.numpy as jnp
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.registry import create_model
from weights import shapes_of

# Parameters of the ImageNet forms (1000 classes, RGB), as torchvision publishes them with the weights.
IMAGENET = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
}


@pytest.mark.parametrize("name", IMAGENET)
def test_imagenet_forms_have_the_published_number_of_parameters(name):
    options = {"stem": "imagenet"} if name.startswith("resnet") else {}
    params = shapes_of(create_model(name, 1000, **options), (1, 224, 224, 3))["params"]
    assert parameter_count(params) == IMAGENET[name]


@pytest.mark.parametrize(("stem", "size", "side"), [("imagenet", 224, 7), ("imagenet", 48, 2), ("small", 48, 6)])
def test_the_stem_decides_how_fine_the_last_map_of_a_resnet_is(stem, size, side):
    model = create_model("resnet34", 7, stem=stem)
    look = lambda images: model.init_with_output(jax.random.key(0), images, mutable=True)
    _, variables = jax.eval_shape(look, jnp.zeros((1, size, size, 1)))
    assert variables["intermediates"]["backbone"]["activation_map"][0].shape == (1, side, side, 512)


@pytest.mark.parametrize("option", ["stem", "block"])
def test_a_wrong_stem_or_block_names_the_right_ones(option):
    with pytest.raises(
        UserError, match=rf"model.options.{option}: no {option} 'big'; one of (small, imagenet|basic, bottleneck)"
    ):
        shapes_of(create_model("resnet18", 7, **{option: "big"}), (1, 48, 48, 1))
