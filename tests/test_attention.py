"""Attention against NumPy and SciPy, written from the papers' equations, and against published counts."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from flax.traverse_util import flatten_dict
from scipy.signal import correlate

from expressnet_jax.errors import UserError
from expressnet_jax.export.onnx_export import convert
from expressnet_jax.inference.predictor import WEIGHTS
from expressnet_jax.models.attention import (
    ATTENTIONS,
    CBAM,
    ChannelAttention,
    ChannelSpatialAttention,
    EfficientChannelAttention,
    MultiScaleSpatialAttention,
    ParallelChannelSpatialAttention,
    SpatialAttention,
    SqueezeExcitation,
    adaptive_kernel,
    make_attention,
    max_first_argmax,
)
from expressnet_jax.models.coordinate_attention import CoordinateAttention
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.network import image_classifier
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.checkpoints.reading import Checkpoint, load_checkpoint
from weights import drawn_weights, shapes_of

X = np.random.default_rng(0).normal(size=(2, 5, 7, 16)).astype(np.float32)
norm = partial(nn.BatchNorm, use_running_average=True)
NAMES = [name for name in ATTENTIONS if name != "none"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(module):
    """Variables of a module, every one of them random: zeros would hide what they do."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), X)
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        value = rng.uniform(0.5, 1.5, leaf.shape) if path[-1].key == "var" else 0.5 * rng.normal(size=leaf.shape)
        return value.astype(leaf.dtype)

    drawn = jax.tree_util.tree_map_with_path(draw, shapes)
    return {"params": drawn["params"], "batch_stats": drawn.get("batch_stats", {})}


def numpy_channel_weight(x, params):
    squeeze, excite = params["squeeze"], params["excite"]
    hidden = lambda pooled: np.maximum(pooled @ squeeze["kernel"] + squeeze["bias"], 0)
    perceptron = lambda pooled: hidden(pooled) @ excite["kernel"] + excite["bias"]
    return sigmoid(perceptron(x.mean((1, 2))) + perceptron(x.max((1, 2))))


def numpy_field(x, kernel):
    """Mean and maximum over channels, convolved with one kernel [k,k,2,1]: [B,H,W]."""
    pooled = np.stack([x.mean(-1), x.max(-1)], -1)
    seen = lambda i, c: correlate(pooled[i, :, :, c], kernel[:, :, c, 0], mode="same", method="direct")
    return np.stack([seen(i, 0) + seen(i, 1) for i in range(len(x))])


def numpy_norm(x, params, stats):
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


def numpy_spatial_mask(x, params, stats, kernels):
    share = np.exp(params["share"]) / np.exp(params["share"]).sum()
    fields = [numpy_field(x, params[f"field_{k}"]["kernel"]) + params[f"field_{k}"]["bias"] for k in kernels]
    return 2 * sigmoid(numpy_norm(np.tensordot(share, fields, 1), params["norm"], stats["norm"]))


def numpy_single_mask(x, params, stats):
    return sigmoid(numpy_norm(numpy_field(x, params["field"]["kernel"]), params["norm"], stats["norm"]))


def numpy_excitation(x, params):
    hidden = np.maximum(x.mean((1, 2)) @ params["squeeze"]["kernel"], 0)
    return sigmoid(hidden @ params["excite"]["kernel"])


def applied(module, variables, **options):
    """What the compiled module makes of X."""
    return jax.jit(partial(module.apply, **options))(variables, X)


def test_channel_attention_is_equation_2_of_cbam():
    module = ChannelAttention(reduction=2)
    variables = drawn(module)
    weight = numpy_channel_weight(X, variables["params"])
    out, sown = applied(module, variables, mutable=["intermediates"])
    assert variables["params"]["squeeze"]["kernel"].shape == (16, 8)
    np.testing.assert_allclose(out, X * weight[:, None, None, :], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sown["intermediates"]["channel_weight"][0], weight, rtol=1e-5)


def test_the_bottleneck_keeps_at_least_four_units():
    assert drawn(ChannelAttention(reduction=8))["params"]["squeeze"]["kernel"].shape == (16, 4)


@pytest.mark.parametrize("kernels", [(7,), (3, 7), (1, 3, 5)])
def test_spatial_attention_is_equation_3_of_cbam_summed_over_its_fields_and_normalised(kernels):
    module = MultiScaleSpatialAttention(norm, kernels)
    variables = drawn(module)
    mask = numpy_spatial_mask(X, variables["params"], variables["batch_stats"], kernels)
    out, sown = applied(module, variables, mutable=["intermediates"])
    np.testing.assert_allclose(out, X * mask[..., None], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sown["intermediates"]["spatial_mask"][0], mask, rtol=1e-4)


def test_both_together_weigh_channels_first():
    module = ChannelSpatialAttention(norm, reduction=2, kernels=(3, 5))
    variables = drawn(module)
    params, stats = variables["params"], variables["batch_stats"]
    x = X * numpy_channel_weight(X, params["channel"])[:, None, None, :]
    mask = numpy_spatial_mask(x, params["spatial"], stats["spatial"], (3, 5))
    np.testing.assert_allclose(applied(module, variables), x * mask[..., None], rtol=1e-4, atol=1e-5)


def test_spatial_attention_starts_as_the_identity_with_equal_shares():
    module = MultiScaleSpatialAttention(norm, (3, 5, 7))
    variables = jax.jit(module.init)(jax.random.key(0), X)
    np.testing.assert_array_equal(variables["params"]["share"], np.zeros(3))
    np.testing.assert_allclose(applied(module, variables), X, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(SpatialAttention(norm).init_with_output)(jax.random.key(0), X)[0], X, rtol=1e-6)


def test_squeeze_excitation_is_equations_2_to_4_of_senet():
    module = SqueezeExcitation(reduction=2)
    variables = drawn(module)
    weight = numpy_excitation(X, variables["params"])
    out, sown = applied(module, variables, mutable=["intermediates"])
    np.testing.assert_allclose(out, X * weight[:, None, None, :], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sown["intermediates"]["channel_weight"][0], weight, rtol=1e-5)


def test_efficient_channel_attention_is_equation_5_of_eca():
    module = EfficientChannelAttention()
    variables = drawn(module)
    kernel = variables["params"]["neighbours"]["kernel"]
    assert kernel.shape == (3, 1, 1)
    weight = sigmoid(np.stack([np.correlate(means, kernel[:, 0, 0], mode="same") for means in X.mean((1, 2))]))
    out, sown = applied(module, variables, mutable=["intermediates"])
    np.testing.assert_allclose(out, X * weight[:, None, None, :], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sown["intermediates"]["channel_weight"][0], weight, rtol=1e-5)


def test_the_adaptive_kernel_is_the_odd_number_nearest_to_equation_12_of_eca():
    for channels in (1, 3, 8, 16, 24, 64, 96, 128, 320, 512, 1024, 2048):
        wanted = (np.log2(channels) + 1) / 2
        assert adaptive_kernel(channels) == min(range(99, 0, -2), key=lambda odd: abs(odd - wanted)), channels
    assert [adaptive_kernel(2**i) for i in (6, 7, 8, 9, 11)] == [3, 5, 5, 5, 7]


def test_spatial_attention_is_equation_3_of_cbam_normalised():
    module = SpatialAttention(norm)
    variables = drawn(module)
    mask = 2 * numpy_single_mask(X, variables["params"], variables["batch_stats"])
    out, sown = applied(module, variables, mutable=["intermediates"])
    assert variables["params"]["field"]["kernel"].shape == (7, 7, 2, 1)
    np.testing.assert_allclose(out, X * mask[..., None], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sown["intermediates"]["spatial_mask"][0], mask, rtol=1e-4)


def test_cbam_weighs_channels_first_and_csam_both_at_once():
    variables = drawn(CBAM(norm, reduction=2))
    params, stats = variables["params"], variables["batch_stats"]["spatial"]
    x = X * numpy_channel_weight(X, params["channel"])[:, None, None, :]
    mask = 2 * numpy_single_mask(x, params["spatial"], stats)
    np.testing.assert_allclose(applied(CBAM(norm, 2), variables), x * mask[..., None], rtol=1e-4, atol=1e-5)

    variables = drawn(ParallelChannelSpatialAttention(norm, reduction=2))
    params, stats = variables["params"], variables["batch_stats"]["spatial"]
    weight = numpy_excitation(X, params["channel"])[:, None, None, :]
    weight = weight + numpy_single_mask(X, params["spatial"], stats)[..., None]
    out = applied(ParallelChannelSpatialAttention(norm, 2), variables)
    np.testing.assert_allclose(out, X * weight, rtol=1e-4, atol=1e-5)


def test_coordinate_attention_is_equations_4_to_8():
    module = CoordinateAttention(norm, reduction=2)
    variables = drawn(module)
    params, stats = variables["params"], variables["batch_stats"]["norm"]
    by_hand = lambda x, layer: x @ params[layer]["kernel"][0, 0] + params[layer].get("bias", 0)
    pooled = np.concatenate([X.mean(2), X.mean(1)], 1)
    f = numpy_norm(by_hand(pooled, "squeeze"), params["norm"], stats)
    f = f * np.clip(f + 3, 0, 6) / 6
    rows, columns = sigmoid(by_hand(f[:, :5], "rows")), sigmoid(by_hand(f[:, 5:], "columns"))
    weight = np.einsum("bhc,bwc->bhwc", rows, columns)
    out, sown = applied(module, variables, mutable=["intermediates"])
    np.testing.assert_allclose(out, X * weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sown["intermediates"]["spatial_mask"][0], weight.mean(-1), rtol=1e-4)


def test_bfloat16_arithmetic_keeps_float32_parameters():
    short = {name: make_attention(name, partial(norm, dtype="bfloat16"), "bfloat16")() for name in NAMES}
    exact = {name: make_attention(name, norm, "float32")() for name in NAMES}
    variables = {name: drawn(module) for name, module in short.items()}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    apply = lambda modules, x: {name: module.apply(variables[name], x) for name, module in modules.items()}
    out, expected = jax.jit(lambda x: (apply(short, x.astype(jnp.bfloat16)), apply(exact, x)))(X)
    for name in NAMES:
        assert out[name].dtype == jnp.bfloat16, name
        np.testing.assert_allclose(out[name].astype(jnp.float32), expected[name], rtol=0.1, atol=0.05, err_msg=name)


def test_the_gradient_on_a_constant_image_is_finite():
    """Every place is the maximum then, and the variance of a batch is zero."""
    training = partial(nn.BatchNorm, use_running_average=False)
    modules = {name: make_attention(name, training, "float32")() for name in NAMES}
    variables = {name: drawn(module) for name, module in modules.items()}

    def total(variables, x):
        outs = [modules[name].apply(variables[name], x, mutable=["batch_stats"])[0] for name in NAMES]
        return sum((out * X).sum() for out in outs)

    gradient = jax.jit(jax.grad(total, (0, 1)))
    gradients = [gradient(variables, np.full_like(X, value)) for value in (0, 3)]
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


@pytest.mark.parametrize(("axes", "per"), [((1, 2), (2, 16)), ((3,), (2, 5, 7))])
def test_the_gradient_of_a_maximum_goes_to_where_it_is(axes, per):
    weight = np.random.default_rng(2).normal(size=per).astype(np.float32)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: (max_first_argmax(x, axes) * weight).sum()))(X)
    shaped = np.expand_dims(weight, axes)
    np.testing.assert_allclose(value, (X.max(axes) * weight).sum(), rtol=1e-5)
    np.testing.assert_array_equal(gradient, np.where(X.max(axes, keepdims=True) == X, shaped, 0))


def test_the_gradient_of_a_maximum_compares_no_floats():
    """A comparison may find no place at all where a compiler computes x twice, and then divides 0 by 0."""
    derivative = jax.make_jaxpr(jax.grad(lambda x: max_first_argmax(x, (3,)).sum()))(X)
    compared = [e.invars[0].aval.dtype for e in derivative.eqns if e.primitive.name == "eq"]
    assert compared and all(jnp.issubdtype(dtype, jnp.integer) for dtype in compared)
    assert "div" not in {e.primitive.name for e in derivative.eqns}
    tied = jax.grad(lambda x: max_first_argmax(x, (3,)).sum())(np.zeros((1, 2, 2, 3), np.float32))
    np.testing.assert_array_equal(tied, np.broadcast_to([1, 0, 0], (1, 2, 2, 3)))


def layers_with_attention(model):
    params = shapes_of(model, (1, 32, 32, 1))["params"]["backbone"]
    blocks = [name for name in params if "block" in name]
    return blocks, [name for name in blocks if "attention" in params[name]]


@pytest.mark.parametrize("name", NAMES)
def test_every_block_of_a_resnet_takes_every_attention(name):
    blocks, attended = layers_with_attention(create_model("resnet18", 7, depths=(1, 2), width=8, attention=name))
    assert len(blocks) == 3 and attended == blocks


def test_attention_is_where_each_network_has_it():
    blocks, attended = layers_with_attention(
        create_model("mobilenet_v2", 7, attention="eca", stages=((1, 16, 1, 1), (6, 24, 2, 2)))
    )
    assert len(blocks) == 3 and attended == blocks
    blocks, attended = layers_with_attention(create_model("expressnet_tiny", 7, attention="coordinate"))
    assert len(blocks) == 5 and attended == ["stage1_block1", "stage2_block2", "stage3_block2"]
    assert layers_with_attention(create_model("expressnet_tiny", 7, attention="none"))[1] == []


def test_networks_with_attention_have_the_published_numbers_of_parameters():
    """SE-ResNet-18 adds equation 5 of SENet; MobileNetV2 with coordinate attention has 3.95 million (Hou, table 2)."""
    count = lambda *name, **options: parameter_count(
        shapes_of(create_model(*name, **options), (1, 32, 32, 3))["params"]
    )
    added = count("resnet18", 7, attention="se") - count("resnet18", 7)
    assert added == 2 / 16 * 2 * (64**2 + 128**2 + 256**2 + 512**2)
    assert round(count("mobilenet_v2", 1000, attention="coordinate") / 1e6, 2) == 3.95


def test_the_variables_of_the_shipped_network_are_those_of_the_default_attention():
    stored = load_checkpoint(next(WEIGHTS.glob("checkpoint/*"))).variables
    initial = shapes_of(create_model("expressnet_small", 8), (1, 48, 48, 1))
    shapes = lambda tree: {path: leaf.shape for path, leaf in flatten_dict(tree).items()}
    further = {"head_blendshapes", "head_fer2013", "head_landmarks"}
    assert shapes(initial) == {path: shape for path, shape in shapes(stored).items() if path[1] not in further}


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v2", "expressnet_tiny"])
def test_a_wrong_attention_names_the_right_ones(model):
    right = "none, se, eca, cam, spatial, cbam, csam, multi_scale, channel_multi_scale, coordinate"
    with pytest.raises(UserError, match=rf"^model.options: no attention 'sse'; one of {right}$"):
        create_model(model, 7, attention="sse")
    assert make_attention("none", norm, "float32") is None


class EveryAttention(nn.Module):
    """The attentions side by side, so that none hides another."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.relu(nn.Conv(8, (3, 3), name="stem")(images / 127.5 - 1))
        seen = [make_attention(name, norm, jnp.float32)(name=name)(x) for name in NAMES]
        return jnp.concatenate([x.mean((1, 2)) for x in seen], axis=-1)


def test_every_attention_is_the_same_in_onnx_runtime():
    bright = np.reshape([90, 170, 255], (3, 1, 1, 1))
    images = np.random.default_rng(3).uniform(0, bright, (3, 9, 12, 1)).astype(np.float32)
    model = image_classifier(EveryAttention(), 3)
    variables = drawn_weights(model, images.shape, seed=2)
    checkpoint = Checkpoint(None, 1, model, variables, {"image_shape": [9, 12, 1], "classes": ["a", "b", "c"]})
    content = convert(checkpoint, {"model": "every", "input": "float32"})
    expected = jax.jit(lambda x: jax.nn.softmax(model.apply(variables, x).heads["expression"]))(images)
    assert np.ptp(expected, axis=0).max() > 0.02
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for size in (1, 3):
        found = session.run(["probabilities"], {"images": images[:size]})[0]
        np.testing.assert_allclose(found, expected[:size], atol=1e-5)
