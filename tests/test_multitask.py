"""One network with several outputs, and clips: by a config and nothing else. Fields, losses and metrics by name."""

import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from expressnet_jax.data import fields as fields_module
from expressnet_jax.data.augment import augment_batch
from expressnet_jax.data.decode import decode_examples
from expressnet_jax.data.fields import MIRROR_68, Field, target_column, target_fields
from expressnet_jax.data.store import load
from expressnet_jax.data.synthetic import AU_NAMES, generate
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation import evaluators
from expressnet_jax.evaluation.evaluators import evaluate_output, multilabel, points, regression
from expressnet_jax.export.onnx_export import export_onnx
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.models.network import Outputs
from expressnet_jax.runtime.onnx_predict import onnx_predict
from expressnet_jax.training import losses
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from expressnet_jax.training.losses import make_loss
from expressnet_jax.training.losses.base import Loss, LossContext, LossOutput
from expressnet_jax.training.losses.regression import concordance
from runs import arrays, history, train

pytest_plugins = ["run_fixtures"]
CONFIGS = Path(__file__).parents[1] / "configs"
OUTPUTS = ("expression", "action_units", "landmarks", "valence_arousal")
TINY = {"widths": (4,), "depths": (1,), "stem_width": 4}
RNG = np.random.default_rng(0)


def recipe(name, folder, *arguments):
    """configs/NAME.py, on few and small faces."""
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(*arguments)
    config.data.dir = str(folder / "data")
    config.data.options.update(num_train=48, num_validation=16, num_test=0, size=32)
    config.data.size = 32
    config.model.options.update(**TINY)
    config.train.batch_size = 16
    config.train.epochs = 2.0
    config.eval.batch_size = 16
    config.eval.error_gallery = False
    config.augment.update(pad=0, crop=0)
    config.checkpoint.every_epochs = 1.0
    config.checkpoint.keep = 9
    config.log.every_steps = 1
    config.export = ""
    return config


@pytest.fixture(scope="module")
def multitask(tmp_path_factory):
    """The config and the folder of a finished run with four outputs."""
    folder = tmp_path_factory.mktemp("multitask")
    config = recipe("multitask_synthetic", folder)
    job = train(config, folder / "run")
    _, files = job.finish(folder / "run")
    assert {"evaluation.json", "confusion.png"} <= {path.name for path in files}
    return config, folder


def test_four_outputs_are_learned_judged_and_kept(multitask):
    _, folder = multitask
    checkpoint = load_checkpoint(folder / "run")
    assert tuple(checkpoint.outputs) == OUTPUTS == tuple(checkpoint.model.heads)
    assert checkpoint.outputs["landmarks"].shape == (68, 2) and checkpoint.outputs["landmarks"].mirror == MIRROR_68
    assert checkpoint.outputs["valence_arousal"].names == ("valence", "arousal")
    entries = history(folder / "run")
    training = next(entry for entry in entries if entry["split"] == "train")
    assert {f"{name}/loss" for name in OUTPUTS} <= training.keys() and "accuracy" in training
    weights = {"expression": 1.0, "action_units": 1.0, "landmarks": 2.0, "valence_arousal": 0.5}
    total = sum(weight * training[f"{name}/loss"] for name, weight in weights.items())
    np.testing.assert_allclose(training["loss"], total, rtol=1e-5)
    figures = json.loads((folder / "run" / "evaluation.json").read_text())["outputs"]
    selected = entries[-1] if entries[-1]["split"] == "validation" else None
    if selected and selected["step"] == checkpoint.step:
        np.testing.assert_allclose(figures["valence_arousal"]["ccc"], selected["valence_arousal/ccc"], atol=1e-6)
    assert set(figures["valence_arousal"]["each"]) == {"valence", "arousal"}


def test_a_stopped_run_with_several_outputs_resumes_exactly(multitask, tmp_path):
    config, folder = multitask
    half = recipe("multitask_synthetic", folder)
    half.train.epochs = 1.0
    with pytest.raises(UserError, match="--workdir"):  # another schedule is another run
        train(half, folder / "run")
    import shutil

    shutil.copytree(folder / "run", tmp_path / "again")
    for path in (tmp_path / "again" / "checkpoints").iterdir():
        if path.name.isdigit() and int(path.name) > 3:
            shutil.rmtree(path)
    train(config, tmp_path / "again")
    one, other = arrays(tmp_path / "again"), arrays(folder / "run")
    assert {name for name in other if one[name].tobytes() != other[name].tobytes()} == set()


def test_the_onnx_file_gives_every_output_and_so_does_prediction(multitask):
    _, folder = multitask
    checkpoint = load_checkpoint(folder / "run")
    images = decode_examples(load("synthetic", folder / "data").split("validation"), (32, 32, 1))
    proof = export_onnx(checkpoint, folder / "model.onnx", images=images)
    assert proof["largest_difference"] < 1e-5
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    names = [value.name for value in session.get_outputs()]
    assert names == ["probabilities", *OUTPUTS[1:]]
    found = dict(zip(names, session.run(None, {"images": images}), strict=True))
    apply = jax.jit(checkpoint.model.apply)
    heads = jax.device_get(apply(checkpoint.variables, images.astype(np.float32)).heads)
    np.testing.assert_allclose(found["landmarks"], heads["landmarks"], atol=1e-5)
    np.testing.assert_allclose(found["action_units"], 1 / (1 + np.exp(-heads["action_units"])), atol=1e-5)

    model = onnx_predict(folder / "model.onnx")
    assert tuple(model.fields) == OUTPUTS[1:] and model.outputs(images)["landmarks"].shape == (16, 68, 2)
    image = generate(3, size=96, channels=3).image
    (face,) = Predictor(folder / "model.onnx", detector="none")(image)
    assert face.outputs["valence_arousal"].keys() == {"valence", "arousal"}
    assert len(face.outputs["action_units"]) == len(AU_NAMES) and face.outputs["landmarks"].shape == (68, 2)


def test_a_clip_network_is_a_config(tmp_path):
    config = recipe("clips_synthetic", tmp_path)
    config.data.frames = config.data.options.frames = 4
    config.train.epochs = 1.0
    config.optimizer.name = "sgd"  # Muon takes longest to compile and is tested elsewhere
    job = train(config, tmp_path / "run")
    checkpoint, _ = job.finish(tmp_path / "run")
    assert checkpoint.image_shape == (4, 32, 32, 1) and tuple(checkpoint.model.encoders) == ("clip",)
    proof = export_onnx(checkpoint, tmp_path / "clip.onnx", images=job.sample_images(checkpoint.image_shape))
    assert proof["largest_difference"] < 1e-5
    config.data.frames, config.model.temporal = 0, "none"
    with pytest.raises(UserError, match=r"data.frames: 0, but subtle_clips holds clips of 4 frames; use"):
        train(config, tmp_path / "other")
    config.data.frames = 4
    with pytest.raises(UserError, match=r"model.name: expressnet_tiny takes no clips, but data.frames=4"):
        train(config, tmp_path / "other")


# Augmentation: what moves an image moves its points.


def augmented(seed, batch, fields, options):
    """`augment_batch` as one program: op by op it takes a hundred compilations."""
    keys = jax.random.split(jax.random.key(seed))
    return jax.device_get(jax.jit(lambda batch: augment_batch(keys, batch, fields, options, 0))(batch))


POINTS = Field("points", (2, 2), mirror=(1, 0))
MOVES = {
    "flip": {"flip": 1.0},
    "shift and rotate": {"pad": 4, "rotate": 20.0},
    "zoom and crop": {"zoom": 0.2, "crop": 24},
    "all, smaller": {"flip": 0.5, "pad": 3, "rotate": 10.0, "zoom": 0.1, "crop": 28, "resize": 24},
}


@pytest.mark.parametrize("name", MOVES)
def test_points_stay_on_what_they_mark(name):
    """Two soft spots are drawn where the points are; in the augmented image they are found where the points went."""
    side, options = 32, MOVES[name]
    places = RNG.uniform(10, 21, (6, 2, 2))
    places[:, 0, 0], places[:, 1, 0] = places[:, 0, 0] - 4, places[:, 1, 0] + 4  # the first one is to the left
    y, x = np.mgrid[:side, :side]
    spot = lambda place: np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 8)
    images = np.stack([255 * np.maximum(spot(a), spot(b)) for a, b in places]).astype(np.uint8)[..., None]
    batch = {
        "image": images,
        "index": np.arange(6),
        "points": ((places - (side - 1) / 2) / (side / 2)).astype(np.float32),
    }
    out = augmented(3, batch, {"points": POINTS}, options)
    seen = out["image"].shape[1]
    scale = seen / (options.get("crop") or side)
    for image, moved in zip(out["image"][..., 0], out["points"], strict=True):
        where = moved * (side / 2) * scale + (seen - 1) / 2
        brightness = [image[tuple(np.clip(np.round(p[::-1]).astype(int), 0, seen - 1))] for p in where]
        assert min(brightness) > 150, where
        assert where[0, 0] < where[1, 0]  # left stays left, also in the mirror


def test_a_clip_is_augmented_as_one():
    clip = RNG.integers(0, 256, (3, 5, 16, 16, 1), np.uint8)
    batch = {"clip": np.repeat(clip[:, :1], 5, 1), "index": np.arange(3)}
    options = {"flip": 0.5, "rotate": 15.0, "brightness": 0.3, "shadow": 0.5, "random_erasing": 1.0, "mixup": 0.4}
    out = augmented(0, batch, {}, options)["clip"]
    np.testing.assert_allclose(out, np.repeat(out[:, :1], 5, 1), atol=1e-4)  # equal frames stay equal
    turned = augmented(0, {"clip": clip, "index": np.arange(3)}, {}, {"flip": 1.0})
    np.testing.assert_array_equal(turned["clip"], clip[..., ::-1, :])


def test_mixing_goes_over_every_target():
    fields = {"expression": Field("class", (3,)), "values": Field("vector", (2,))}
    batch = {
        "image": RNG.integers(0, 256, (8, 8, 8, 1), np.uint8),
        "index": np.arange(8),
        "expression": np.array([0, 1, 2, 0, 1, 2, -1, 1], np.int32),
        "values": RNG.normal(size=(8, 2)).astype(np.float32),
    }
    out = augmented(1, batch, fields, {"mixup": 1.0})
    hot = np.eye(3)[batch["expression"]] * (batch["expression"] >= 0)[:, None]
    a = np.concatenate([batch["image"].reshape(8, -1), hot, batch["values"]], 1)
    b = np.concatenate([np.asarray(out["image"]).reshape(8, -1), out["expression"], out["values"]], 1)
    for row, mixed in zip(a, b, strict=True):  # each is on the line between itself and one partner
        residuals = []
        for partner in a:
            direction = partner - row
            share = (mixed - row) @ direction / max(direction @ direction, 1e-12)
            residuals.append(np.abs(row + share * direction - mixed).max())
        assert min(residuals) < 1e-3


# Fields and missing targets.


def test_fields_are_read_off_columns_of_standard_names():
    columns = {
        "valence": np.zeros(4),
        "arousal": np.ones(4),
        "landmarks": np.zeros((4, 68, 2)),
        "style": np.array(["a"] * 4),
    }
    fields = target_fields(("a", "b"), columns)
    assert list(fields) == ["expression", "valence_arousal", "landmarks"]
    assert Field.from_json(json.loads(json.dumps(fields["landmarks"].to_json()))) == fields["landmarks"]
    column = lambda name, size=None: target_column(name, fields[name], columns, size)
    np.testing.assert_array_equal(column("valence_arousal"), [[0, 1]] * 4)
    np.testing.assert_allclose(column("landmarks", (48, 48))[0, 0], [-23.5 / 24] * 2)


def test_mirrored_landmarks_are_a_permutation_that_undoes_itself():
    assert sorted(MIRROR_68) == list(range(68)) and [MIRROR_68[i] for i in MIRROR_68] == list(range(68))
    face = generate(5, size=64)
    mirrored = (np.array([63, 0]) - face.landmarks * [1, -1])[list(MIRROR_68)]
    assert np.abs(mirrored - face.landmarks).mean() < 12  # of 64: a face is about symmetric


def test_missing_targets_count_nothing():
    context = LossContext("x", "x", Field("vector", (2,)), np.zeros(0), 4)
    target = RNG.normal(size=(6, 2)).astype(np.float32)
    output = RNG.normal(size=(6, 2)).astype(np.float32)
    holes = target.copy()
    holes[2:4] = np.nan
    for name in ("mean_squared_error", "smooth_l1", "concordance"):
        apply = make_loss(name, {}, context, "losses.x").apply
        value = lambda o, t, apply=apply: apply(Outputs(None, {"x": o}), {"x": t}, {}, {}).value
        kept = [0, 1, 4, 5]
        np.testing.assert_allclose(value(output, holes), value(output[kept], target[kept]), rtol=1e-5)
        assert np.isfinite(jax.jit(jax.grad(value))(jnp.asarray(output), holes)).all()
    context = LossContext("c", "c", Field("class", (3,)), np.ones(3), 4, partial=True)
    logits, hot = RNG.normal(size=(6, 3)).astype(np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    hot[2:4] = 0
    apply = make_loss("cross_entropy", {}, context, "losses.c").apply
    value = lambda rows: apply(Outputs(None, {"c": logits[rows]}), {"c": hot[rows]}, {}, {}).value
    np.testing.assert_allclose(value(list(range(6))), value([0, 1, 4, 5]), rtol=1e-6)


# Losses and metrics against independent results.


def lin(a, b):
    """Lin 1989, equation 1, in words."""
    return 2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)


def test_the_concordance_is_lins():
    a, b = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 3))
    expected = [lin(a[:, i], b[:, i]) for i in range(3)]
    np.testing.assert_allclose(concordance(jnp.asarray(a), jnp.asarray(b), np.ones((40, 3), bool)), expected, rtol=1e-5)
    np.testing.assert_allclose(regression.concordance(a, b), np.mean(expected), rtol=1e-9)
    assert regression.concordance(a, a) == pytest.approx(1)


def test_multilabel_metrics_are_scikit_learns():
    logits, target = RNG.normal(size=(60, 4)).round(1), RNG.integers(0, 2, (60, 4)).astype(float)
    target[:, 3] = 0  # never present: it has neither
    known = [0, 1, 2]
    f1 = np.mean([f1_score(target[:, i], logits[:, i] > 0) for i in known])
    auc = np.mean([roc_auc_score(target[:, i], logits[:, i]) for i in known])
    figures = evaluate_output(logits, target, Field("multilabel", (4,)))
    assert figures == {"f1": pytest.approx(f1), "auc": pytest.approx(auc)}
    assert np.isnan(multilabel.mean_auc(logits[:, 3:], target[:, 3:]))


def test_binary_cross_entropy_is_the_log_likelihood():
    logits, target = RNG.normal(size=(9, 5)).astype(np.float32), RNG.uniform(0, 1, (9, 5)).astype(np.float32)
    context = LossContext("x", "x", Field("multilabel", (5,)), np.zeros(0), 4)
    found = make_loss("binary_cross_entropy", {"positive_weight": 3.0}, context, "losses.x").apply(
        Outputs(None, {"x": logits}), {"x": target}, {}, {}
    )
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    np.testing.assert_allclose(found.value, -(3 * target * np.log(p) + (1 - target) * np.log(1 - p)).mean(), rtol=1e-5)


def test_point_errors_are_distances():
    output, target = np.zeros((2, 4)), np.array([[0.3, 0.4, 0, 0], [np.nan, np.nan, 0.6, 0.8]])
    assert points.mean_point_error(output, target) == pytest.approx((0.5 + 0 + 1) / 3)
    assert points.share_within(output, target) == pytest.approx(1 / 3)


# What a contract costs: a loss and a metric are a function and a line.


def test_a_loss_is_a_function_and_a_line(multitask, tmp_path, monkeypatch):
    def absolute_error(context):
        def apply(outputs, batch, params, state):
            value = jnp.abs(outputs.heads[context.output] - batch[context.target]).mean()
            return LossOutput(value, {}, state)

        return Loss(apply)

    monkeypatch.setitem(losses.LOSSES, "absolute_error", losses.LossKind(absolute_error, ("vector",)))
    _, folder = multitask
    config = recipe("multitask_synthetic", folder)
    config.losses.valence_arousal = {"loss": "absolute_error"}
    config.train.epochs = 0.5
    train(config, tmp_path / "run")
    assert "valence_arousal/loss" in history(tmp_path / "run")[0]


def test_a_metric_that_selects_is_a_function_and_a_line(multitask, tmp_path, monkeypatch):
    closeness = lambda output, target: 1 - float(np.abs(output - target).mean())
    monkeypatch.setitem(evaluators.EVALUATORS, "vector", {"closeness": closeness})
    monkeypatch.setitem(evaluators.SELECTING, "vector", ("closeness",))
    _, folder = multitask
    config = recipe("multitask_synthetic", folder)
    config.eval.metric = "valence_arousal/closeness"
    train(config, tmp_path / "run")
    assert "valence_arousal/closeness" in load_checkpoint(tmp_path / "run").metadata["metrics"]


REFUSED = {
    "losses.gaze.target: the data set has no target 'gaze'; it has expression, valence_arousal": {
        "gaze": {"loss": "smooth_l1"}
    },
    "losses.landmarks: cross_entropy compares with a class, and landmarks is a points": {
        "landmarks": {"loss": "cross_entropy"}
    },
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_does_not_fit_is_one_line(line, multitask, tmp_path):
    _, folder = multitask
    config = recipe("multitask_synthetic", folder)
    for name, options in REFUSED[line].items():
        config.losses[name] = options
    with pytest.raises(UserError) as refused:
        train(config, tmp_path / "run")
    assert str(refused.value).startswith(line) and not (tmp_path / "run").exists()


def test_further_data_sets_are_evaluated_in_the_same_run(multitask, tmp_path):
    _, folder = multitask
    config = recipe("multitask_synthetic", folder)
    config.evals.same = {"data": "synthetic", "split": "validation"}
    config.eval.metric = "same/macro_f1"
    train(config, tmp_path / "run")
    entry = next(entry for entry in history(tmp_path / "run") if entry["split"] == "validation")
    assert entry["same/accuracy"] == entry["accuracy"] and entry["same/loss"] == pytest.approx(entry["loss"])
    assert fields_module.EXPRESSION == "expression"
