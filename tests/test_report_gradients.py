"""Maps by gradients of a small network against the package saliency and the formulas of their papers."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from expressnet_jax.models.layers import average_features, scale_pixels
from expressnet_jax.models.network import image_classifier
from expressnet_jax.report.saliency import (
    class_activation_maps,
    enlarged,
    grad_cam,
    has_activation_map,
    last_map,
    signed_gradients,
)
from expressnet_jax.report.shuffled import rank_correlation, shuffled_arrays

SHAPE = (12, 12, 1)


class Stage(nn.Module):
    """A convolution and a smooth activation, whose output is the map."""

    width: int

    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Conv(self.width, (3, 3), strides=2)(x))


class Small(nn.Module):
    @nn.compact
    def __call__(self, images, train=False):
        x = Stage(3, name="first")(scale_pixels(images))
        return average_features(self, Stage(5, name="second")(x))


@pytest.fixture(scope="module")
def network():
    model = image_classifier(Small(), 4)
    variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, *SHAPE), np.float32))
    images = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), np.uint8)
    return model, {"params": variables["params"]}, images, np.array([0, 1, 2, 3, 0])


@pytest.fixture(scope="module")
def maps(network):
    """What the last stage gives, float[N,h,w,C], and the head's kernel [C,K]."""
    model, variables, images, _ = network
    _, seen = model.apply(variables, images.astype(np.float32), mutable=["intermediates"])
    (found,) = seen["intermediates"]["backbone"]["activation_map"]
    return np.asarray(found, np.float64), np.asarray(variables["params"]["head"]["kernel"], np.float64)


def test_the_last_map_is_that_of_the_last_stage(network):
    model, variables, _, _ = network
    assert last_map(model, variables, SHAPE) == (("backbone", "second"), (3, 3, 5))
    assert has_activation_map(model, variables, SHAPE)


def test_class_activation_is_the_terms_of_the_logit(network, maps):
    model, variables, images, targets = network
    places = np.stack([m @ maps[1][:, t] / 9 for m, t in zip(maps[0], targets, strict=True)])
    logits = np.asarray(model.apply(variables, images.astype(np.float32)).heads["expression"])
    bias = np.asarray(variables["params"]["head"]["bias"])
    np.testing.assert_allclose(places.sum((1, 2)) + bias[targets], logits[np.arange(5), targets], atol=1e-5)
    found = class_activation_maps(model, variables, images, targets)
    np.testing.assert_allclose(found, enlarged(places, SHAPE[:2]), atol=1e-6)


def test_grad_cam_is_equation_2_and_that_of_the_package_saliency(network, maps):
    model, variables, images, targets = network
    found = grad_cam(model, variables, images, targets)
    # Behind an average and a linear head the gradient is the kernel over the number of places, everywhere.
    places = [np.maximum(m @ maps[1][:, t] / 9, 0) for m, t in zip(maps[0], targets, strict=True)]
    np.testing.assert_allclose(found, enlarged(np.stack(places), SHAPE[:2]), atol=1e-6)

    saliency = pytest.importorskip("saliency.core", reason="saliency is not installed")
    for i, target in enumerate(targets):
        kernel = np.broadcast_to(maps[1][:, target] / 9, (1, 3, 3, 5))
        values = {saliency.CONVOLUTION_LAYER_VALUES: maps[0][i : i + 1], saliency.CONVOLUTION_OUTPUT_GRADIENTS: kernel}
        answer = lambda *_, values=values, **__: values
        theirs = saliency.GradCam().GetMask(images[i], answer, should_resize=False, three_dims=False)
        np.testing.assert_allclose(found[i], enlarged(theirs[None], SHAPE[:2])[0], atol=1e-5)


def test_integrated_gradients_are_complete_and_those_of_the_package_saliency(network):
    model, variables, images, targets = network
    logit = lambda x, t: np.asarray(model.apply(variables, np.asarray(x, np.float32)).heads["expression"])[:, t]
    found = signed_gradients(model, variables, images, targets, steps=64)
    for image, target, parts in zip(images, targets, found, strict=True):
        change = logit(image[None], target) - logit(np.zeros((1, *SHAPE)), target)
        assert parts.sum() == pytest.approx(float(change[0]), abs=2e-3)

    saliency = pytest.importorskip("saliency.core", reason="saliency is not installed")
    gradient = jax.jit(jax.grad(lambda x: model.apply(variables, x).heads["expression"][:, 1].sum()))
    answer = lambda x, **_: {saliency.INPUT_OUTPUT_GRADIENTS: np.asarray(gradient(np.asarray(x, np.float32)))}
    theirs = saliency.IntegratedGradients().GetMask(images[1].astype(np.float32), answer, x_steps=200, batch_size=100)
    np.testing.assert_allclose(found[1], theirs, atol=0.02 * np.abs(theirs).max())


def test_shuffled_weights_keep_their_values_and_lose_the_map(network):
    model, variables, images, targets = network
    other = shuffled_arrays(variables)
    for a, b in zip(jax.tree.leaves(variables), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.sort(np.ravel(a)), np.sort(np.ravel(b)))
    first, second = (class_activation_maps(model, each, images, targets) for each in (variables, other))
    assert rank_correlation(first, first) == pytest.approx(1) and rank_correlation(first, -first) == pytest.approx(-1)
    assert rank_correlation(first, second) < 0.9
    assert rank_correlation(first, np.zeros_like(first)) == 0
