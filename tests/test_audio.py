"""Networks of sound and of several inputs: log-mel by librosa and by formula, SpecAugment, fusions, devices, ONNX."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.fft import rfft
from scipy.signal import get_window

from expressnet_jax.config import default
from expressnet_jax.data.fields import Field
from expressnet_jax.data.sound import RATE
from expressnet_jax.errors import UserError
from expressnet_jax.export.example_inputs import example_inputs
from expressnet_jax.export.onnx_export import export_onnx
from expressnet_jax.models.audio import StatisticsPool, hide_stretches
from expressnet_jax.models.fusion import CrossAttention, Gated, StandIn
from expressnet_jax.models.log_mel import LogMel, mel_filters
from expressnet_jax.models.network import zero_inputs
from expressnet_jax.models.registry import create_model
from expressnet_jax.runtime.onnx_predict import onnx_predict
from expressnet_jax.training.checkpoints.reading import Checkpoint, describe
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import as_float, make_multi_step, make_train_step, supervised
from expressnet_jax.training.targets import class_fields, class_losses

RNG = np.random.default_rng(0)
SHAPES = {"waveform": (8_000,), "openface": (6,)}
SOUND = (RNG.normal(size=(2, 9_000)) * np.linspace(0, 0.3, 9_000)).astype(np.float32)
log_mel = jax.jit(partial(LogMel().apply, {}))
sigmoid = lambda x: 1 / (1 + np.exp(-x))


def two_inputs(fusion="concatenate", dtype=jnp.float32, **options):
    encoders = {"openface": {"name": "vector_mlp", "widths": (5,)}}
    pool = "statistics" if fusion == "gated" else "attention"
    widths = {"widths": (4, 8), "dtype": dtype, "pool": pool}
    return create_model("audio_cnn", 3, encoders=encoders, fusion=fusion, **widths, **options)


def examples(count, seed=0):
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 3000, (count, 8_000)).astype(np.int16)
    return {"waveform": sound, "openface": rng.normal(size=(count, 6)).astype(np.float32)}


@pytest.fixture(scope="module")
def variables_of():
    """model -> variables without a zero among them, drawn once a fusion."""

    def draw(model):
        rng = np.random.default_rng(1)
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), zero_inputs(SHAPES)))
        positive = lambda path: path[-1].key in ("scale", "var")
        weight = lambda path, leaf: (
            rng.uniform(0.5, 1.0, leaf.shape) if positive(path) else rng.normal(0, 0.3, leaf.shape)
        )
        drawn = jax.tree_util.tree_map_with_path(lambda p, leaf: weight(p, leaf).astype(np.float32), shapes)
        bands = drawn["batch_stats"]["backbone"]["norm_bands"]
        bands["mean"][:], bands["var"][:] = -20, 400  # decibels
        return drawn

    return draw


def test_the_mel_filters_are_librosas():
    filters = pytest.importorskip("librosa.filters")  # all of librosa would compile for 20 seconds on a fresh machine
    found = mel_filters(RATE, 400, 64)
    np.testing.assert_allclose(found.T, filters.mel(sr=RATE, n_fft=400, n_mels=64), atol=1e-7)


def test_log_mel_is_the_power_of_windowed_transforms_under_the_filters():
    found = np.asarray(log_mel(SOUND))
    padded = np.pad(SOUND.astype(np.float64), ((0, 0), (200, 200)))
    frames = np.stack([padded[:, start : start + 400] for start in range(0, 9_001, 320)], 1) * get_window("hann", 400)
    power = np.abs(rfft(frames)) ** 2 @ mel_filters(RATE, 400, 64)
    assert found.shape == (2, 1 + 9_000 // 320, 64)
    np.testing.assert_allclose(found, 10 * np.log10(np.maximum(power, 1e-10)), atol=1e-3)


def test_each_mel_filter_is_a_triangle_of_unit_area():
    filters = mel_filters(RATE, 4_000, 64)  # fine enough for an integral
    np.testing.assert_allclose(filters.sum(0) * RATE / 4_000, 1, rtol=0.01)
    peaks = filters.argmax(0)
    assert (np.diff(peaks) > 0).all() and (filters[:, 1:] * filters[:, :-1] > 0).any(0).all()


def test_spectrogram_masks_hide_stretches_of_frames_and_of_bands():
    seen = np.asarray(hide_stretches(jax.random.key(0), jnp.ones((200, 30, 20)), (0.2, 0.25), masks=1))
    hidden_frames, hidden_bands = (seen == 0).all(2), (seen == 0).all(1)
    for hidden, most in ((hidden_frames, 6), (hidden_bands, 5)):
        counts = hidden.sum(1)
        assert set(counts) == set(range(most + 1))
        edges = np.abs(np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int))).sum(1)
        np.testing.assert_array_equal(edges, 2 * (counts > 0))  # one stretch
    np.testing.assert_array_equal(seen == 0, hidden_frames[:, :, None] | hidden_bands[:, None])


def test_statistics_pool_is_the_mean_and_the_deviation_over_time():
    x = RNG.normal(size=(3, 9, 4)).astype(np.float32)
    found = StatisticsPool().apply({}, x)
    np.testing.assert_allclose(found, np.concatenate([x.mean(1), x.std(1)], 1), atol=1e-3)
    still = jnp.zeros((1, 9, 4))
    assert np.isfinite(jax.grad(lambda x: StatisticsPool().apply({}, x).sum())(still)).all()


def test_gated_fusion_is_its_formula():
    features = {name: RNG.normal(size=(3, d)).astype(np.float32) for name, d in (("a", 4), ("b", 6))}
    out, variables = Gated(5).init_with_output(jax.random.key(1), features)
    p, both = jax.device_get(variables["params"]), np.concatenate([features["a"], features["b"]], 1)
    gate = lambda n: sigmoid(both @ p[f"gate_{n}"]["kernel"] + p[f"gate_{n}"]["bias"])
    expected = sum(gate(n) * np.tanh(features[n] @ p[f"value_{n}"]["kernel"]) for n in "ab")
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_cross_attention_is_its_formula():
    features = {name: RNG.normal(size=(3, d)).astype(np.float32) for name, d in (("a", 4), ("b", 6))}
    out, variables = CrossAttention(8, 2).init_with_output(jax.random.key(1), features)
    p = jax.device_get(variables["params"])
    tokens = np.stack([features[n] @ p[f"token_{n}"]["kernel"] + p[f"token_{n}"]["bias"] for n in "ab"], 1)
    q, k, v = (tokens @ p[n]["kernel"] for n in "qkv")
    seen = []
    for head in (slice(0, 4), slice(4, 8)):
        weight = np.exp(np.einsum("bmd,bnd->bmn", q[..., head], k[..., head]) / 2)
        seen.append(np.einsum("bmn,bnd->bmd", weight / weight.sum(-1, keepdims=True), v[..., head]))
    expected = tokens + np.concatenate(seen, -1) @ p["out"]["kernel"] + p["out"]["bias"]
    np.testing.assert_allclose(out, expected.reshape(3, 16), rtol=1e-5, atol=1e-6)


def test_learned_features_stand_in_for_what_is_missing_or_dropped():
    features = {"a": jnp.ones((4000, 2)), "b": jnp.full((4000, 3), 2.0)}
    here = {"a": jnp.arange(4000) > 0, "b": jnp.ones(4000, bool)}
    params = {"params": {"a": jnp.full(2, 7.0), "b": jnp.full(3, 9.0)}}
    found = StandIn(0.4).apply(params, features, here)
    np.testing.assert_array_equal(found["a"][:2], [[7, 7], [1, 1]])
    np.testing.assert_array_equal(found["b"], features["b"])
    found = StandIn(0.4).apply(params, features, here, True, rngs={"dropout": jax.random.key(0)})
    dropped = np.asarray(found["a"][1:, 0] == 7), np.asarray(found["b"][1:, 0] == 9)
    assert not (dropped[0] & dropped[1]).any()
    for each in dropped:
        assert abs(each.mean() - 0.2) < 0.03


def test_a_missing_input_changes_nothing_that_is_there(variables_of):
    model = two_inputs(modality_dropout=0.3)
    variables, inputs = variables_of(model), as_float(examples(3))
    apply = jax.jit(lambda inputs: model.apply(variables, inputs).heads["expression"])
    full = apply(inputs)
    lacking = apply(inputs | {"openface": np.where(np.arange(3)[:, None] == 1, np.nan, inputs["openface"])})
    assert np.isfinite(lacking).all() and np.abs(lacking[1] - full[1]).max() > 0.01
    np.testing.assert_array_equal(np.delete(lacking, 1, 0), np.delete(full, 1, 0))


@pytest.mark.parametrize("fusion", ["concatenate", "gated", "cross_attention"])
def test_every_fusion_has_gradients_half_precision_and_onnx(fusion, variables_of, tmp_path):
    model = two_inputs(fusion, modality_dropout=0.3)
    variables, inputs = variables_of(model), as_float(examples(8))

    @jax.jit
    def gradient(params):
        def loss(params):
            rngs = {"rngs": {"dropout": jax.random.key(0)}, "mutable": ["batch_stats"]}
            outputs, _ = model.apply(variables | {"params": params}, inputs, True, **rngs)
            return jax.nn.log_softmax(outputs.heads["expression"])[:, 0].sum()

        return jax.grad(loss)(params)

    found = jax.tree_util.tree_leaves_with_path(jax.device_get(gradient(variables["params"])))
    assert [jax.tree_util.keystr(path) for path, g in found if not g.any() or not np.isfinite(g).all()] == []
    halved = two_inputs(fusion, jnp.bfloat16, modality_dropout=0.3)
    exact, half = (jax.jit(each.apply)(variables, inputs).heads["expression"] for each in (model, halved))
    np.testing.assert_allclose(half, exact, atol=0.05 * float(jnp.abs(exact).max()))
    fields = {"waveform": Field("waveform", (8_000,), rate=RATE), "openface": Field("vector", (6,))}
    metadata = describe(default().to_dict(), ("a", "b", "c"), SHAPES, model=model, inputs=fields)
    checkpoint = Checkpoint(tmp_path, 0, model, variables, metadata)
    given = example_inputs(checkpoint, examples(5))
    given["openface"][1] = np.nan
    proof = export_onnx(checkpoint, tmp_path / "model.onnx", images=given)
    assert proof["largest_difference"] < 1e-4 and proof["different_labels"] == 0 and proof["input"] == "float32"
    predict = onnx_predict(tmp_path / "model.onnx", threads=1)
    found = predict(examples(5))
    assert predict.inputs == fields and np.ptp(found, axis=0).max() > 1e-3  # the examples matter
    np.testing.assert_allclose(predict({"waveform": examples(5)["waveform"]})[1], predict(given)[1], atol=1e-6)
    assert np.isfinite(predict({"openface": given["openface"][:1]})).all()
    with pytest.raises(UserError, match=r"takes waveform float32\[B,8000\], not \[1, 9\]"):
        predict({"waveform": np.zeros((1, 9), np.float32)})


def test_a_step_of_two_inputs_is_the_same_on_four_devices(mesh_of):
    model = two_inputs("gated")
    fields = class_fields(3) | {"openface": Field("vector", (6,))}
    batch = examples(8) | {"expression": np.arange(8, dtype=np.int32) % 3, "index": np.arange(8, dtype=np.int32)}
    optimizer = optax.sgd(0.1)
    step = make_train_step(supervised(model, class_losses(3), {"mixup": 0.5}, fields), optimizer, lambda step: 0.1)
    losses = []
    for devices in (1, 4):
        mesh = mesh_of(devices)
        state = init_state(make_init_fn(model, SHAPES), optimizer, mesh)
        place = lambda x, mesh=mesh: jax.device_put(x[None], jax.NamedSharding(mesh, jax.P(None, "data")))
        state, metrics = make_multi_step(step)(state, None, jax.tree.map(place, batch), 0)
        losses.append((float(metrics["loss"][0]), jax.device_get(state.params)))
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), losses[0][1], losses[1][1])


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"fusion": "sum"}, "model.fusion: no 'sum'; one of concatenate, gated, cross_attention"),
        ({"encoders": {"openface": {}}}, 'model.encoders: openface: give a further input a model, as in {"name"'),
        ({"encoders": {"openface": {"name": "mlp"}}}, r"model.encoders.openface.name: no model 'mlp'"),
        ({"encoders": {"openface": {"name": "vector_mlp", "width": 3}}}, "openface.options: vector_mlp has no 'width'"),
        ({"temporal": "gru"}, "model.temporal: gru is about networks of images; audio_cnn takes a waveform"),
    ],
)
def test_a_wrong_setting_of_several_inputs_names_the_right_ones(settings, error):
    with pytest.raises(UserError, match=error.replace("{", r"\{")):
        create_model("audio_cnn", 3, **settings)
