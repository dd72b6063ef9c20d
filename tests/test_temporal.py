"""Clip networks of image backbones: each pool against NumPy, the backbone's weights, gradients, precision and ONNX."""

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.layer_forms import conv_backend
from expressnet_jax.models.registry import create_model
from expressnet_jax.models.temporal import POOLS, PerFrame
from numpy_layers import relu
from weights import drawn_weights

BATCH, FRAMES, SIDE, HIDDEN = 2, 4, 16, 5
BACKBONE = ExpressNet(widths=(6,), depths=(1,), stem_width=4, attention="none")
encode_image = jax.jit(BACKBONE.apply)
CLIPS = np.random.default_rng(0).integers(0, 256, (BATCH, FRAMES, SIDE, SIDE, 1), np.uint8)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def clip_network(pool, **options):
    model = PerFrame(BACKBONE.clone(**options), pool, HIDDEN, **options)
    return model, drawn_weights(model, CLIPS.shape)


def per_frame(variables, clips=CLIPS):
    """Features of each frame as the backbone by itself computes them: float[B,T,D]."""
    inner = {collection: tree["backbone"] for collection, tree in variables.items()}
    return np.stack([[encode_image(inner, frame[None])[0] for frame in clip] for clip in clips])


def mean(x, params):
    return x.mean(1)


def lstm(x, params):
    """Gers et al. 2000: the cell forgets, writes and shows itself by three gates."""
    cell = params["cell"]
    h = c = np.zeros((len(x), HIDDEN))
    for t in range(x.shape[1]):
        i, f, g, o = (
            x[:, t] @ cell[f"i{k}"]["kernel"] + h @ cell[f"h{k}"]["kernel"] + cell[f"h{k}"]["bias"] for k in "ifgo"
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def gru(x, params):
    """Cho et al. 2014, eq. 5-8, with the reset gate after the product."""
    of = lambda name, v: v @ params["cell"][name]["kernel"] + params["cell"][name].get("bias", 0)
    h = np.zeros((len(x), HIDDEN))
    for t in range(x.shape[1]):
        reset, update = (sigmoid(of(f"i{k}", x[:, t]) + of(f"h{k}", h)) for k in "rz")
        new = np.tanh(of("in", x[:, t]) + reset * of("hn", h))
        h = (1 - update) * new + update * h
    return h


def attention(x, params):
    """Yang et al. 2017, eq. 1-3."""
    weight = np.exp(x @ params["query"])
    return np.einsum("bt,btd->bd", weight / weight.sum(1, keepdims=True), x)


def conv(x, params):
    kernel, bias = params["conv"]["kernel"], params["conv"]["bias"]
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    return relu(sum(padded[:, i : i + x.shape[1]] @ kernel[i] for i in range(3)) + bias).mean(1)


ORACLES = {"mean": mean, "lstm": lstm, "gru": gru, "attention": attention, "conv": conv}


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_is_its_formula_over_the_frames_features_for_any_number_of_frames(pool):
    model, variables = clip_network(pool)
    for clips in (CLIPS, np.concatenate([CLIPS, CLIPS[:, :2]], axis=1)):
        expected = ORACLES[pool](per_frame(variables, clips), variables["params"].get("pool"))
        np.testing.assert_allclose(jax.jit(model.apply)(variables, clips), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_only_the_mean_and_attention_do_not_see_the_order_of_frames(pool):
    model, variables = clip_network(pool)
    apply = jax.jit(model.apply)
    moved = np.abs(apply(variables, CLIPS) - apply(variables, CLIPS[:, ::-1])).max()
    assert (moved < 1e-5) == (pool in ("mean", "attention"))


def test_attention_starts_as_the_mean_and_shows_its_weights():
    model = PerFrame(BACKBONE, "attention")
    variables = jax.jit(model.init)(jax.random.key(0), CLIPS)
    features, seen = jax.jit(lambda v: model.apply(v, CLIPS, mutable=["intermediates"]))(variables)
    np.testing.assert_allclose(features, per_frame(variables).mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen["intermediates"]["pool"]["frame_weight"][0], np.full((BATCH, FRAMES), 0.25))


def test_the_weights_of_a_still_image_network_fit_and_a_clip_of_one_image_has_its_features():
    still = create_model("expressnet_tiny", 7)
    images = CLIPS[:, 0]
    variables = drawn_weights(still, images.shape)
    model = PerFrame(still.encoders["image"]())
    moved = {collection: {"backbone": tree["backbone"]} for collection, tree in variables.items()}
    frozen = np.repeat(images[:, None], 3, axis=1)
    features = jax.jit(lambda v: still.apply(v, images, method="features"))(variables)
    np.testing.assert_allclose(jax.jit(model.apply)(moved, frozen), features, rtol=1e-4, atol=1e-5)


def test_batch_statistics_are_those_of_all_frames():
    model, variables = clip_network("mean")
    in_training = lambda model: jax.jit(lambda v, x: model.apply(v, x, True, mutable=["batch_stats"])[1])
    changed = in_training(model)(variables, CLIPS)
    inner = {collection: tree["backbone"] for collection, tree in variables.items()}
    expected = in_training(BACKBONE)(inner, CLIPS.reshape(-1, SIDE, SIDE, 1))
    compare = lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    jax.tree.map(compare, changed["batch_stats"]["backbone"], expected["batch_stats"])


@pytest.mark.parametrize("pool", POOLS)
def test_gradient_reaches_every_parameter(pool):
    model, variables = clip_network(pool)

    @jax.jit
    def gradient(params):
        apply = lambda params: model.apply(variables | {"params": params}, CLIPS, True, mutable=["batch_stats"])[0]
        return jax.grad(lambda params: (apply(params) ** 2).sum())(params)

    gradients = jax.tree_util.tree_leaves_with_path(jax.device_get(gradient(variables["params"])))
    assert [jax.tree_util.keystr(path) for path, g in gradients if not g.any() or not np.isfinite(g).all()] == []


@pytest.mark.parametrize("pool", POOLS)
def test_bfloat16_computes_on_float32_parameters(pool):
    model, variables = clip_network(pool, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    features = jax.jit(model.apply)(variables, CLIPS)
    exact = jax.jit(clip_network(pool)[0].apply)(variables, CLIPS)
    assert features.dtype == exact.dtype == jnp.float32
    np.testing.assert_allclose(features, exact, atol=0.05 * float(jnp.abs(exact).max()))
    assert np.abs(features - exact).max() > 0


@pytest.mark.parametrize("pool", POOLS)
def test_onnx_runtime_computes_the_same_features_for_a_batch_of_any_size(pool):
    from jax2onnx import to_onnx

    model, variables = clip_network(pool)
    clips = jax.ShapeDtypeStruct(("B", *CLIPS.shape[1:]), "uint8")
    encode = lambda clips: model.apply(variables, clips.astype(jnp.float32))
    with conv_backend("xla"):
        content = to_onnx(encode, [clips], opset=18, input_names=["clips"]).SerializeToString()
    session = onnxruntime.InferenceSession(content)
    for size in (1, BATCH):
        found = session.run(None, {"clips": CLIPS[:size]})[0]
        np.testing.assert_allclose(found, jax.jit(model.apply)(variables, CLIPS[:size]), rtol=1e-4, atol=1e-5)


def test_a_wrong_pool_and_an_image_instead_of_a_clip_are_refused():
    with pytest.raises(UserError, match="no pool 'max'; one of mean, lstm, gru, attention, conv"):
        PerFrame(BACKBONE, "max").init(jax.random.key(0), CLIPS)
    with pytest.raises(UserError, match=r"takes clips \[B,T,H,W,C\], not an array of shape \[2, 16, 16, 1\]"):
        PerFrame(BACKBONE).init(jax.random.key(0), CLIPS[:, 0])
