"""Every model by name: shapes, gradients, precision and size. A new line in MODELS is covered by being there."""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.models import layers
from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.layers import stem_stride
from expressnet_jax.models.network import image_classifier
from expressnet_jax.models.registry import MODELS, create_model
from weights import SMALLER, TWO_STAGES, drawn_weights, first_of_each_kind, shapes_of, small_shape
from weights import logits as logits_of

BUDGETS = {"expressnet_tiny": 0.3e6, "expressnet_small": 2e6, "expressnet_base": 12e6}
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3)).astype(np.float32)


def random_images(size, channels):
    return IMAGES[:, :size, :size, :channels]


def examples(name, size, channels):
    """Two images, or two examples of what else a network takes."""
    return np.resize(IMAGES, (2, *small_shape(name, size, channels)))


def full(name):
    return create_model(name, 7)


def smaller(name, **options):
    return create_model(name, 7, **(SMALLER | {"expressnet_tiny": TWO_STAGES}).get(name, {}), **options)


@cache
def drawn(name):
    """Weights of the smaller network, in the types that its form of half precision asks for."""
    return drawn_weights(smaller(name, dtype="bfloat16"), examples(name, 48, 1).shape)


@pytest.mark.parametrize(
    ("make", "name", "size", "channels"),
    [(full, name, 48, 1) for name in MODELS] + [(smaller, name, 112, 3) for name in first_of_each_kind()],
)
def test_logits_and_features_have_their_shapes(make, name, size, channels):
    model, images = make(name), examples(name, size, channels)
    outputs, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    logits, features = outputs.heads["expression"], outputs.features
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
    assert features.dtype == jnp.float32
    assert features.shape == (2, variables["params"]["head"]["kernel"].shape[0])


@pytest.mark.parametrize("name", first_of_each_kind())
def test_bfloat16_computes_on_float32_parameters(name):
    """And single precision tells the images apart; test_export.py has ONNX Runtime compute the same."""
    variables, images = drawn(name), examples(name, 48, 1)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    exact = np.asarray(jax.jit(partial(logits_of, smaller(name)))(variables, images))
    assert np.isfinite(exact).all() and np.ptp(exact, axis=0).min() > 0
    logits = jax.jit(partial(logits_of, smaller(name, dtype="bfloat16")))(variables, images)
    assert logits.dtype == jnp.float32 and np.isfinite(logits).all()
    np.testing.assert_allclose(logits, exact, atol=0.05 * float(np.abs(exact).max()))


@pytest.mark.parametrize("name", first_of_each_kind())
def test_gradient_reaches_every_parameter(name):
    model, variables, images = smaller(name), drawn(name), examples(name, 48, 1)

    @jax.jit
    def gradient(params):
        def loss(params):
            outputs, _ = model.apply(variables | {"params": params}, images, True, mutable=["batch_stats"])
            return jax.nn.log_softmax(outputs.heads["expression"])[:, 0].sum()

        return jax.grad(loss)(params)

    gradients = jax.tree_util.tree_leaves_with_path(jax.device_get(gradient(variables["params"])))
    assert all(np.isfinite(g).all() for _, g in gradients)
    assert [jax.tree_util.keystr(path) for path, g in gradients if not g.any()] == []


def test_uint8_and_float_images_are_the_same():
    model, images = create_model("plain_cnn", 7), random_images(48, 1)
    variables = drawn_weights(model, images.shape)
    apply = jax.jit(partial(logits_of, model))
    np.testing.assert_array_equal(apply(variables, images.astype(np.uint8)), apply(variables, images))


def test_dropout_acts_in_training_only():
    model, images = create_model("plain_cnn", 7, dropout=0.5), random_images(48, 1)
    variables = drawn_weights(model, images.shape)
    training = jax.jit(lambda seed: logits_of(model, variables, images, True, rngs={"dropout": jax.random.key(seed)}))
    assert np.abs(training(0) - training(1)).max() > 0
    evaluated, undropped = (jax.jit(partial(logits_of, each))(variables, images) for each in (model, full("plain_cnn")))
    np.testing.assert_array_equal(evaluated, undropped)


def test_training_moves_the_batch_statistics_and_evaluation_leaves_them():
    model, images = image_classifier(ExpressNet(widths=(4,), depths=(1,), stem_width=4), 7), random_images(48, 1)
    variables = drawn_weights(model, images.shape)
    _, kept = jax.jit(lambda v: model.apply(v, images, mutable=["batch_stats"]))(variables)
    jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], variables["batch_stats"])
    _, moved = jax.jit(lambda v: model.apply(v, images, True, mutable=["batch_stats"]))(variables)
    stem = moved["batch_stats"]["backbone"]["stem_norm"]["mean"]
    assert np.abs(stem - variables["batch_stats"]["backbone"]["stem_norm"]["mean"]).max() > 0


@pytest.mark.parametrize("name", BUDGETS)
def test_expressnet_keeps_its_budget_and_one_set_of_parameters_for_every_size(name):
    model = create_model(name, 7)
    params = shapes_of(model, (2, 48, 48, 3))["params"]
    assert BUDGETS[name] / 3 < parameter_count(params) <= BUDGETS[name]
    assert params == shapes_of(model, (2, 112, 112, 3))["params"]


def test_the_stages_see_maps_of_20_to_56_pixels():
    assert [stem_stride(height) for height in (40, 95, 96, 191, 192, 224)] == [1, 1, 2, 2, 4, 4]
    assert all(20 <= -(-height // stem_stride(height)) // 2 <= 56 for height in range(40, 225))


def test_only_layers_reaches_the_cpu_kernels():
    modules = {path.name: path.read_text() for path in Path(layers.__file__).parent.glob("*.py")}
    assert len(modules) > 15
    assert {name for name, text in modules.items() if "models.cpu" in text} == {"layers.py"}
    assert {name for name, text in modules.items() if "nn.BatchNorm" in text} == {"layers.py"}


def test_expressnet_features_are_the_means_of_the_last_two_stages():
    backbone = ExpressNet(widths=(4, 6, 10), depths=(1, 1, 1), stem_width=4)
    images = random_images(48, 1)
    apply = jax.jit(partial(backbone.apply, capture_intermediates=True, mutable=["intermediates"]))
    _, seen = apply(drawn_weights(backbone, images.shape), images)
    means = [seen["intermediates"][f"stage{i}_block1"]["__call__"][0].mean((1, 2)) for i in (2, 3)]
    np.testing.assert_allclose(seen["intermediates"]["__call__"][0], np.concatenate(means, -1), rtol=1e-6)


def test_plain_cnn_has_the_layers_of_the_paper():
    params = shapes_of(create_model("plain_cnn", 7), (2, 48, 48, 1))["params"]
    kernels = {layer: leaf["kernel"].shape for layer, leaf in params["backbone"].items()}
    assert kernels == {
        "conv_1": (3, 3, 1, 32),
        "conv_2": (3, 3, 32, 64),
        "conv_3": (3, 3, 64, 128),
        "dense_1": (6 * 6 * 128, 128),
        "dense_2": (128, 64),
    }
    assert params["head"]["kernel"].shape == (64, 7)


def test_a_wrong_name_or_option_names_the_right_ones():
    with pytest.raises(UserError, match=r"no model 'expresnet'; one of .*expressnet_small.*plain_cnn"):
        create_model("expresnet", 7)
    with pytest.raises(UserError, match=r"expressnet_tiny has no 'width'; it has .*widths"):
        create_model("expressnet_tiny", 7, width=3)
    with pytest.raises(UserError, match="plain_cnn has no 'widths'; it has none"):
        create_model("plain_cnn", 7, widths=(3,))
    for not_an_option in ("name", "parent"):
        with pytest.raises((UserError, TypeError)):
            create_model("expressnet_tiny", 7, **{not_an_option: "x"})
    backbone = create_model("expressnet_tiny", 7, widths=(4, 4, 4)).encoders["image"]()
    assert backbone.widths == (4, 4, 4) and backbone.stem_width == 8
