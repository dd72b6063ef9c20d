"""Losses on where a network looks, against their papers' formulas in NumPy."""

from functools import cache, partial

import jax
import numpy as np
import pytest

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError
from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.network import image_classifier
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.forward import check_maps, training_pass
from expressnet_jax.training.losses import make_loss
from expressnet_jax.training.losses.attention import attention_consistency, attention_diversity
from expressnet_jax.training.losses.base import LossContext, total_loss
from numpy_layers import noise
from weights import SMALLER, drawn_weights

CONTEXT = LossContext("expression", "expression", Field("class", (7,)), np.ones(7), 1)
KEY = jax.random.key(0)


def losses_of(**names):
    return {key: make_loss(name, {}, CONTEXT, f"losses.{key}") for key, name in names.items()}


def test_diversity_is_the_inverse_of_the_mean_difference_of_heads():
    heads = noise(2, 3, 4, 4, 5)
    pairs = [(0, 1), (0, 2), (1, 2)]
    mean = np.mean([np.mean((heads[:, i] - heads[:, j]) ** 2) for i, j in pairs])
    np.testing.assert_allclose(attention_diversity(heads), 1 / mean, rtol=1e-5)
    assert attention_diversity(heads[:, :1]) == 0 and attention_diversity(np.ones((2, 2, 3, 3, 4))) > 1e6


def class_maps(maps, kernel):
    """Zhang et al. 2022, EAC, eq. 1: M_j(h, w) is the sum over c of W(j, c) F_c(h, w)."""
    return np.array([[[[w @ f for w in kernel.T] for f in row] for row in image] for image in maps])


def test_consistency_compares_class_activation_maps_with_those_of_the_mirror_image():
    here, there, kernel = noise(2, 3, 4, 5), 2 * noise(2, 3, 4, 5)[::-1], noise(5, 7)
    expected = np.mean((class_maps(here, kernel) - np.flip(class_maps(there, kernel), 2)) ** 2)
    np.testing.assert_allclose(attention_consistency([here], [there], kernel), expected, rtol=1e-5)
    np.testing.assert_allclose(attention_consistency([here], [here[:, :, ::-1]], kernel), 0, atol=1e-6)
    fine, both = noise(2, 6, 8, 3), noise(8, 7)  # features that are means of two maps
    second = np.mean((class_maps(fine, both[5:]) - np.flip(class_maps(-fine, both[5:]), 2)) ** 2)
    first = np.mean((class_maps(here, both[:5]) - np.flip(class_maps(there, both[:5]), 2)) ** 2)
    found = attention_consistency([here, fine], [there, -fine], both)
    np.testing.assert_allclose(found, (first + second) / 2, rtol=1e-5)
    gradients = jax.grad(attention_consistency, argnums=(0, 2))([here], [there], kernel)
    assert np.abs(gradients[0][0]).min() > 0 and not np.any(gradients[1])


@cache
def trained():
    """(network, variables, images, what a pass with the consistency gives)."""
    model = image_classifier(ExpressNet(widths=(4,), depths=(1,), stem_width=4, attention="none"), 7)
    images = 200 * np.abs(noise(2, 32, 32, 1))
    variables = drawn_weights(model, images.shape)
    passes = jax.jit(training_pass(model, losses_of(attention="attention_consistency")))
    found = passes(variables["params"], variables["batch_stats"], {"image": images}, KEY)
    return model, variables, images, found


def test_a_pass_shows_the_images_and_then_their_mirror_images():
    model, variables, images, (outputs, stats) = trained()
    see = jax.jit(partial(model.apply, train=True, mutable=["batch_stats", "intermediates"]))
    found, after = see(variables, images)
    _, last = see(variables | {"batch_stats": after["batch_stats"]}, images[:, :, ::-1])
    sown = lambda seen: seen["intermediates"]["backbone"]["activation_map"]
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(outputs.heads["expression"], found.heads["expression"])
    jax.tree.map(close, outputs.maps["activation_map"], sown(after))
    jax.tree.map(close, outputs.maps["mirrored_activation_map"], sown(last))
    jax.tree.map(close, stats, last["batch_stats"])


def test_the_loss_of_a_run_is_the_consistency_of_what_it_saw():
    _, variables, _, (outputs, _) = trained()
    losses = losses_of(expression="cross_entropy", attention="attention_consistency")
    batch = {"expression": np.eye(7, dtype=np.float32)[:2]}
    losses["attention"] = losses["attention"]._replace(weight=5.0)
    found = total_loss(losses, outputs, batch, variables["params"], {})
    (here,), (there,) = outputs.maps["activation_map"], outputs.maps["mirrored_activation_map"]
    maps = partial(np.einsum, "bhwd,dk->bhwk", optimize=True)
    kernel = variables["params"]["head"]["kernel"]
    expected = np.mean((maps(here, kernel) - np.flip(maps(there, kernel), 2)) ** 2)
    np.testing.assert_allclose(found.metrics["attention/loss"], expected, rtol=1e-4)
    np.testing.assert_allclose(found.value, found.metrics["expression/loss"] + 5 * expected, rtol=1e-4)


def test_a_network_without_what_a_loss_compares_is_refused():
    diversity, consistency = losses_of(heads="attention_diversity"), losses_of(attention="attention_consistency")
    check_maps(diversity, create_model("ddamfn", 7, **SMALLER["ddamfn"]), (32, 32, 1))
    with pytest.raises(UserError, match=r"losses.heads: this network has no head_attention; ddamfn can learn by it"):
        check_maps(diversity, create_model("plain_cnn", 7), (48, 48, 1))
    with pytest.raises(UserError, match=r"losses.attention: this network has no activation_map; networks whose"):
        check_maps(consistency, create_model("plain_cnn", 7), (48, 48, 1))
    two = create_model("expressnet_tiny", 7, encoders={"landmarks": {"name": "landmark_mlp", "widths": (4,)}})
    with pytest.raises(UserError, match="mirror images, but the network takes landmarks"):
        check_maps(consistency, two, {"image": (32, 32, 1), "landmarks": (6, 2)})
