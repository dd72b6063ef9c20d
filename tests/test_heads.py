"""FER+'s images with further targets: FER2013's label, landmarks and blendshape scores, each with a head."""

import csv
import importlib.util
import io
import json
import shutil
import subprocess
from pathlib import Path

import cv2
import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.special import log_softmax, rel_entr, softmax
from sklearn.metrics import accuracy_score, f1_score

from expressnet_jax.bench.predict import judge_bare_faces
from expressnet_jax.config import default
from expressnet_jax.data.augment import augment_batch
from expressnet_jax.data.datasets.face_landmarks import MIRROR_PAIRS, mirror_points
from expressnet_jax.data.decode import decode_examples
from expressnet_jax.data.fields import Field, mirror_names, stored_points, target_column
from expressnet_jax.data.labels import BASIC, FERPLUS_COLUMNS, WITH_CONTEMPT
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.store import load
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.calibration import fit_temperature
from expressnet_jax.evaluation.evaluators import evaluate_output
from expressnet_jax.export.onnx_export import export_onnx
from expressnet_jax.export.quantize import quantize
from expressnet_jax.inference import outputs
from expressnet_jax.inference.crop import cut_face, find_place
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.models.network import Outputs
from expressnet_jax.training.checkpoints import evaluate_checkpoint as evaluate_checkpoint_module
from expressnet_jax.training.checkpoints.calibrate import find_calibrations, find_logit_shifts
from expressnet_jax.training.checkpoints.evaluate_checkpoint import evaluate_checkpoint
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from expressnet_jax.training.classification import add_teachers
from expressnet_jax.training.losses import make_loss
from expressnet_jax.training.losses.base import LossContext
from expressnet_jax.training.targets import check_losses, target_arrays
from expressnet_jax.training.train_data import load_data
from expressnet_jax.web.page_files import page_files, write_page
from runs import history, train
from test_ferplus import write_pair

pytest_plugins = ["run_fixtures"]
CONFIG = Path(__file__).parents[1] / "configs" / "ferplus_heads.py"
REAL = Path(__file__).parents[2] / "shared" / "data" / "fer2013_landmarks.npz"
TINY = {"widths": (4, 8), "depths": (1, 1), "stem_width": 4}
INDICES = [1, 33, 61, 263, 291]  # the tip of the nose, and the outer corners of the eyes and of the mouth
NAMES = ["_neutral", "jawOpen", "mouthSmileLeft", "mouthSmileRight"]
USAGES = {"Training": 32, "PublicTest": 12}
RNG = np.random.default_rng(0)
SHIFT = np.linspace(0.5, -0.5, len(BASIC))  # of the logits of fer2013, in the exported file


def write_landmarks(folder, usages, labels, name="fer2013_landmarks.npz", **changes):
    count = len(usages)
    arrays = {
        "points146": RNG.uniform(40, 200, (count, len(INDICES), 3)).astype(np.float16),
        "indices": np.array(INDICES),
        "blendshapes": RNG.uniform(0, 1, (count, len(NAMES))).astype(np.float16),
        "blendshape_names": np.array(NAMES),
        "face_logit": np.where(np.arange(count) % 4 == 3, -2, 5).astype(np.float16),
        "usage": np.array(usages),
        "labels": np.array(labels, np.uint8),
    }
    np.savez(folder / name, **(arrays | changes))
    return arrays


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with the three files: faces of noise whose brightness is their class."""
    folder = tmp_path_factory.mktemp("source")
    labels, usages = [], []
    with (folder / "fer2013.csv").open("w", newline="") as images, (folder / "fer2013new.csv").open("w") as votes:
        rows, voted = csv.writer(images), csv.writer(votes)
        rows.writerow(("emotion", "pixels", "Usage"))
        voted.writerow(("Usage", "Image name", *FERPLUS_COLUMNS))
        for usage, count in USAGES.items():
            for i in range(count):
                label = i % 7
                pixels = RNG.integers(20 * label, 20 * label + 100, 2304)
                rows.writerow((label, " ".join(map(str, pixels)), usage))
                voted.writerow((usage, "x.png", *(8 * (name == BASIC[label]) for name in FERPLUS_COLUMNS)))
                labels.append(label)
                usages.append(usage)
    write_landmarks(folder, usages, labels)
    return folder


def recipe(data_dir):
    """configs/ferplus_heads.py on few images and a small network."""
    spec = importlib.util.spec_from_file_location("ferplus_heads", CONFIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.data.dir, config.data.size = str(data_dir), 32
    config.model.options.update(**TINY)
    config.optimizer.name, config.optimizer.ema = "sgd", 0.0
    config.optimizer.learning_rate = 0.05
    config.train.update(batch_size=16, epochs=2.0, progressive_sizes=(), progressive_until=())
    config.augment.update(pad=0, crop=0, rotate=0.0, zoom=0.0, random_erasing=0.0)
    config.eval.update(batch_size=16, every_epochs=1.0, error_gallery=False, metric="fer2013/macro_f1")
    config.log.every_steps = 1
    return config


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    """The config and the folder of a finished run with four heads."""
    folder = tmp_path_factory.mktemp("heads")
    prepare("ferplus", source, folder / "data")
    config = recipe(folder / "data")
    train(config, folder / "run").finish(folder / "run")
    return config, folder


@pytest.fixture(scope="module")
def exported(run):
    """The checkpoint, and its ONNX file with mirror averaging, a temperature for each class and a shift for one."""
    _, folder = run
    checkpoint = load_checkpoint(folder / "run")
    temperatures = {"expression": 2.0, "fer2013": 0.5}
    options = {"temperature": temperatures, "logit_shift": {"fer2013": SHIFT}, "mirror": True}
    export_onnx(checkpoint, folder / "model.onnx", **options)
    return checkpoint, folder / "model.onnx"


# The data.


def test_rows_carry_their_label_points_and_scores(source, tmp_path):
    arrays = dict(np.load(source / "fer2013_landmarks.npz"))
    prepared = prepare("ferplus", source, tmp_path)
    assert prepared.classes == WITH_CONTEMPT
    train_split = prepared.split("train")
    assert list(prepared.targets) == ["fer2013", "landmarks", "blendshapes"]
    assert prepared.targets["fer2013"] == Field("class", (7,), BASIC)
    np.testing.assert_array_equal(train_split.columns["fer2013"], arrays["labels"][:32])
    seen = arrays["face_logit"][:32] > 0
    for name in ("landmarks", "blendshapes"):
        column = train_split.columns[name]
        assert column.dtype == np.float16
        np.testing.assert_array_equal(np.isfinite(column).reshape(32, -1).all(1), seen)
        assert np.isnan(column[~seen]).all()
    # 48 pixels with 6 more on each side are 256 there: the middle of both is the middle, a pixel is 256 / 60.
    from_middle = (arrays["points146"][:32, :, :2].astype(float) - 128) * 60 / 256
    np.testing.assert_allclose(train_split.columns["landmarks"][seen], from_middle[seen] + 23.5, atol=0.05)
    normal = target_column("landmarks", prepared.targets["landmarks"], train_split.columns, (48, 48))
    np.testing.assert_allclose(normal[seen], from_middle[seen] / 24, atol=0.002)
    np.testing.assert_allclose(stored_points(normal[seen], (48, 48)), from_middle[seen] + 23.5, atol=0.05)


def test_without_landmarks_there_is_the_label_alone(tmp_path):
    pair = write_pair(tmp_path / "pair")
    prepared = prepare("ferplus", pair, tmp_path / "data")
    assert list(prepared.targets) == ["fer2013"]
    columns = prepared.split("train").columns
    assert columns["fer2013"].tolist() == [3, 0, 1, 6] and {"landmarks", "blendshapes"}.isdisjoint(columns)
    assert prepared.facts["notes"].keys().isdisjoint({"landmarks of train"})


def test_landmarks_of_other_rows_are_refused_and_so_are_other_files(tmp_path):
    pair = write_pair(tmp_path / "pair")
    write_landmarks(pair, ["Training"] * 6, [3, 0, 1, 4, 6, 6], name="landmarks.npz")
    with pytest.raises(UserError, match=r"landmarks.npz: its 6 rows of Training are not the 6 of the table"):
        prepare("ferplus", pair, tmp_path / "data")
    (pair / "landmarks.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"landmarks.npz: not the arrays points146, indices"):
        prepare("ferplus", pair, tmp_path / "data")
    write_landmarks(pair, ["Training"] * 6, [3, 0, 1, 4, 6, 2], name="landmarks.npz")
    prepared = prepare("ferplus", pair / "fer2013.csv", tmp_path / "data")
    assert np.isnan(prepared.split("validation").columns["blendshapes"]).all()  # the file says nothing of these


def test_a_mirror_exchanges_what_is_left_and_right():
    assert mirror_points(INDICES) == (0, 3, 4, 1, 2)
    everything = sorted({index for pair in MIRROR_PAIRS for index in pair} | {0, 1, 4, 5, 6, 8, 10, 152, 168})
    mirror = mirror_points(everything)
    assert [mirror[i] for i in mirror] == list(range(len(everything)))
    assert mirror_names(["jawLeft", "jawOpen", "jawRight", "eyeLookInLeft", "eyeLookInRight"]) == (2, 1, 0, 4, 3)
    assert mirror_names(["left_eye", "nose"]) == (0, 1)  # its counterpart is not there


@pytest.mark.skipif(not REAL.exists(), reason="the landmarks of FER2013 are not here")
def test_the_mean_face_and_its_mirror_image_are_alike():
    with np.load(REAL) as file:
        points, indices = file["points146"][file["face_logit"] > 0][:4000, :, :2].astype(np.float64), file["indices"]
    mirror = mirror_points(indices.tolist())
    assert len(mirror) == 146 and [mirror[i] for i in mirror] == list(range(146))
    centred = points - points.mean(1, keepdims=True)
    both = np.concatenate([centred, centred * [-1, 1]])  # as often turned to one side as to the other
    mean = both[: len(centred)].mean(0)
    distances = np.linalg.norm(mean[:, None] * [-1, 1] - mean, axis=-1)
    right = distances[np.arange(146), list(mirror)]
    assert right.max() < 4 and (distances.argmin(1) == mirror).mean() > 0.85  # of 256 pixels; some points are close


def test_scores_change_sides_with_the_image():
    field = Field("vector", (len(NAMES),), tuple(NAMES), mirror_names(NAMES))
    values = RNG.uniform(0, 1, (64, 4)).astype(np.float32)
    images = RNG.integers(0, 256, (64, 8, 8, 1), np.uint8)
    batch = {"image": images, "index": np.arange(64), "blendshapes": values}
    keys = tuple(jax.random.split(jax.random.key(0)))
    out = jax.device_get(augment_batch(keys, batch, {"blendshapes": field}, {"flip": 0.5}, 0))
    mirrored = (out["image"] == images[:, :, ::-1]).all((1, 2, 3))
    assert 10 < mirrored.sum() < 54
    np.testing.assert_array_equal(out["blendshapes"][mirrored], values[mirrored][:, [0, 1, 3, 2]])
    np.testing.assert_array_equal(out["blendshapes"][~mirrored], values[~mirrored])


# The run.


def predictions(checkpoint, images):
    """Every head's output for uint8[N,H,W,1], as the model gives it."""
    apply = jax.jit(lambda images: checkpoint.model.apply(checkpoint.variables, images).heads)
    return jax.device_get(apply(images.astype(np.float32)))


def test_every_head_is_learned_followed_and_judged(run):
    config, folder = run
    entries = history(folder / "run")
    training = next(entry for entry in entries if entry["split"] == "train")
    weights = {name: config.losses[name].get("weight", 1.0) for name in config.losses}
    total = sum(weight * training[f"{name}/loss"] for name, weight in weights.items())
    np.testing.assert_allclose(training["loss"], total, rtol=1e-5)
    checkpoint = load_checkpoint(folder / "run")
    assert next(iter(checkpoint.outputs)) == "expression" and set(checkpoint.outputs) == set(weights)

    split = load("ferplus", folder / "data").split("validation")
    images = decode_examples(split, (32, 32, 1))
    plain, mirrored = predictions(checkpoint, images), predictions(checkpoint, images[:, :, ::-1])
    selected = next(e for e in entries if e["split"] == "validation" and e["step"] == checkpoint.step)
    labels, answer = split.columns["fer2013"], plain["fer2013"].argmax(1)
    assert selected["fer2013/accuracy"] == pytest.approx(accuracy_score(labels, answer))
    used = sorted({*labels.tolist(), *answer.tolist()})
    assert selected["fer2013/macro_f1"] == pytest.approx(f1_score(labels, answer, labels=used, average="macro"))
    figures = json.loads((folder / "run" / "evaluation.json").read_text())["outputs"]
    both = softmax(plain["fer2013"], -1) + softmax(mirrored["fer2013"], -1)
    assert figures["fer2013"]["accuracy"] == pytest.approx(accuracy_score(labels, both.argmax(1)))
    scores = (plain["blendshapes"] + mirrored["blendshapes"][:, [0, 1, 3, 2]]) / 2
    target = split.columns["blendshapes"].astype(np.float64)
    wanted = np.sqrt(np.nanmean((scores - target) ** 2, 0)).mean()
    assert figures["blendshapes"]["rmse"] == pytest.approx(wanted, rel=1e-4)
    assert set(figures["blendshapes"]["each"]) == set(NAMES)


def test_all_outputs_are_judged_in_one_pass(run, monkeypatch):
    _, folder = run
    seen, make = [], evaluate_checkpoint_module.make_predict_fn

    def counting(*arguments, **options):
        predict = make(*arguments, **options)
        return lambda variables, images: seen.append(len(images)) or predict(variables, images)

    monkeypatch.setattr(evaluate_checkpoint_module, "make_predict_fn", counting)
    split = load("ferplus", folder / "data").split("validation")
    result = evaluate_checkpoint(load_checkpoint(folder / "run"), split, batch_size=7, size=(48, 48))
    assert len(seen) == -(-len(result.labels) // 7) and set(result.figures["outputs"]) == set(result.outputs)


def test_a_class_that_few_examples_have_is_judged_on_those():
    output, target = np.eye(3)[[0, 1, 2, 0]], np.array([0, 2, -1, -1])
    figures = evaluate_output(output, target, Field("class", (3,), ("a", "b", "c")))
    assert figures["accuracy"] == 0.5 and figures["balanced_accuracy"] == 0.5
    assert np.isnan(evaluate_output(output, target * 0 - 1, Field("class", (3,)))["accuracy"])


def test_votes_of_a_target_without_any_are_refused(run):
    config, folder = run
    other = recipe(folder / "data")
    other.losses.fer2013.soft_targets = "votes"
    with pytest.raises(UserError, match=r"losses.fer2013.soft_targets: ferplus has no votes on fer2013"):
        target_arrays(other, load_data(config).chosen.train, (48, 48))


# Export and prediction.


def test_the_file_gives_each_class_as_calibrated_and_sides_put_back(exported):
    checkpoint, path = exported
    images = RNG.integers(0, 256, (5, 32, 32, 1), np.uint8)
    plain, mirrored = predictions(checkpoint, images), predictions(checkpoint, images[:, :, ::-1])
    session = onnxruntime.InferenceSession(str(path))
    names = [value.name for value in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"images": images}), strict=True))
    for output, name, temperature in (("probabilities", "expression", 2.0), ("fer2013", "fer2013", 0.5)):
        mean = (softmax(plain[name], -1) + softmax(mirrored[name], -1)) / 2
        shift = SHIFT if name == "fer2013" else np.zeros(len(WITH_CONTEMPT))
        np.testing.assert_allclose(found[output], softmax((np.log(mean) + shift) / temperature, -1), atol=1e-5)
    back = mirrored["landmarks"][:, [0, 3, 4, 1, 2]] * [-1, 1]
    np.testing.assert_allclose(found["landmarks"], (plain["landmarks"] + back) / 2, atol=1e-5)
    back = mirrored["blendshapes"][:, [0, 1, 3, 2]]
    np.testing.assert_allclose(found["blendshapes"], (plain["blendshapes"] + back) / 2, atol=1e-5)


def test_a_shift_needs_a_class_and_a_number_for_each(exported, tmp_path):
    checkpoint, _ = exported
    for shift, message in (
        ({"landmarks": [0.0]}, r"has no class 'landmarks'; one of expression, fer2013"),
        ({"fer2013": [0.0] * 8}, r"logit_shift of 'fer2013': has 8 numbers for 7 classes"),
    ):
        with pytest.raises(UserError, match=message):
            export_onnx(checkpoint, tmp_path / "model.onnx", logit_shift=shift)
    assert not (tmp_path / "model.onnx").exists()


def test_frequencies_of_the_training_split_adjust_and_the_temperature_follows(run):
    _, folder = run
    checkpoint, prepared = load_checkpoint(folder / "run"), load("ferplus", folder / "data")
    shifts = find_logit_shifts(checkpoint, prepared, {"expression": 0.3, "fer2013": -0.2})
    train_split, split = prepared.split("train"), prepared.split("validation")
    for name, tau, labels in (
        ("expression", 0.3, train_split.labels),
        ("fer2013", -0.2, train_split.columns["fer2013"]),
    ):
        counts = np.bincount(labels, minlength=checkpoint.outputs[name].shape[0])
        prior = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
        np.testing.assert_allclose(shifts[name], -tau * np.log(prior), rtol=1e-6)
    found = find_calibrations(checkpoint, split, shifts=shifts)
    assert {name: each.shift for name, each in found.items()} == shifts
    logits = predictions(checkpoint, decode_examples(split, (32, 32, 1)))["fer2013"]
    best = fit_temperature(logits + np.array(shifts["fer2013"]), split.columns["fer2013"])
    assert found["fer2013"].temperature == pytest.approx(best, rel=1e-3)
    for taus, message in (({"landmarks": 1.0}, "'landmarks' is no class"), ({"mood": 1.0}, "'mood' is no class")):
        with pytest.raises(UserError, match=message):
            find_logit_shifts(checkpoint, prepared, taus)


def test_any_class_of_the_model_can_answer(exported):
    _, path = exported
    image = RNG.integers(0, 256, (60, 80, 3), np.uint8)
    (first,) = Predictor(path, detector="none")(image)
    (second,) = Predictor(path, detector="none", output="fer2013")(image)
    assert tuple(first.probabilities) == WITH_CONTEMPT and tuple(second.probabilities) == BASIC
    assert first.outputs["fer2013"] == second.probabilities and second.outputs["expression"] == first.probabilities
    with pytest.raises(UserError, match=r"model.onnx has no class 'landmarks'; one of expression, fer2013"):
        Predictor(path, output="landmarks")


def test_json_and_csv_hold_every_output(exported):
    _, path = exported
    predictor = Predictor(path, detector="none")
    faces = predictor(RNG.integers(0, 256, (60, 80, 3), np.uint8))
    line = json.loads(outputs.json_line("a.png", faces))["faces"][0]["outputs"]
    assert list(line["fer2013"]) == list(BASIC) and list(line["blendshapes"]) == NAMES
    assert np.shape(line["landmarks"]) == (len(INDICES), 2)
    file = io.StringIO()
    table = outputs.Csv(file, predictor.classes, predictor.model.fields)
    table.write("a.png", faces)
    table.write("b.png", None)
    first, missing = csv.DictReader(io.StringIO(file.getvalue()))
    assert float(first["blendshapes_jawOpen"]) == line["blendshapes"]["jawOpen"]
    assert float(first["landmarks_4_y"]) == pytest.approx(line["landmarks"][4][1], abs=0.01)
    assert missing["fer2013_anger"] == "" and missing["flags"] == "unreadable"


def test_every_output_is_judged_on_bare_faces(run, exported):
    """Each class against its own label where the data has that, else against the words that both know."""
    _, folder = run
    split = load("ferplus", folder / "data").split("validation")
    images = decode_examples(split, (48, 48, 3))
    for name, other in (("expression", "fer2013"), ("fer2013", "expression")):
        predictor = Predictor(exported[1], detector="none", output=name)
        figures = judge_bare_faces(predictor, split)
        faces = [predictor(image)[0] for image in images]
        labels = [BASIC[label] for label in split.columns["fer2013"]]
        among = [name for name in faces[0].outputs[other] if name in labels]
        answers = [max(among, key=face.outputs[other].get) for face in faces]
        assert figures["outputs"][other]["accuracy"] == pytest.approx(np.mean(np.equal(answers, labels)))
        assert {"landmarks", "blendshapes"} <= figures["outputs"].keys()


@pytest.mark.parametrize("degrees", [0, 25])
def test_points_come_back_to_where_they_are_in_the_image(degrees):
    """A spot is found in the face as it was cut out, and taken back to the image."""
    spot = np.array([130.0, 90.0])
    y, x = np.mgrid[:200, :240]
    image = 255 * np.exp(-((x + 0.5 - spot[0]) ** 2 + (y + 0.5 - spot[1]) ** 2) / 50)
    image = np.repeat(image.astype(np.uint8)[..., None], 3, 2)
    turn = np.radians(degrees)
    eyes = np.array([[0, 0], [np.cos(turn), np.sin(turn)]], np.float32) * 20 + 100
    found = Detection((80, 60, 80, 70), 1.0, np.concatenate([eyes, np.zeros((3, 2), np.float32)]))
    size = 64
    cut = cut_face(image, found, 1.2, size, 1, align=True, equalize=False)[..., 0]
    moments = cv2.moments(np.where(cut > 60, cut, 0))
    where = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    normal = (where + 0.5) / size * 2 - 1
    place = find_place(image.shape, found, 1.2, align=True)
    np.testing.assert_allclose(place.to_image(normal[None])[0], spot, atol=0.6)


def test_eight_bits_keep_every_output(exported, tmp_path):
    _, path = exported
    images = RNG.integers(0, 256, (64, 32, 32, 1), np.uint8)
    proof = quantize(path, tmp_path / "int8.onnx", images, images[:16])
    assert set(proof["further_outputs"]) == {"fer2013", "landmarks", "blendshapes"}
    assert max(proof["further_outputs"].values()) < 0.1
    assert Predictor(tmp_path / "int8.onnx", output="fer2013").classes == BASIC


PAGE = """import fs from "node:fs";
    import { openModel } from "./model.js";
    import { pointsOf, wordsOf } from "./further.js";
    const read = async (name) => new Uint8Array(fs.readFileSync(new URL(name, import.meta.url)));
    const { data, width, height } = JSON.parse(fs.readFileSync(0));
    const model = await openModel(read);
    const [face] = await model.describeWhole({ data: Uint8ClampedArray.from(data), width, height, channels: 3 });
    face.place.angle = 0;
    const { outputs } = model.facts;
    console.log(JSON.stringify([pointsOf(face, outputs), wordsOf(face.outputs, outputs)]));"""


@pytest.mark.skipif(not shutil.which("node"), reason="no node on this machine")
def test_the_page_says_what_python_says(exported, tmp_path):
    _, path = exported
    write_page(page_files(path), tmp_path / "page")
    (tmp_path / "page" / "package.json").write_text('{"type": "module"}')
    (tmp_path / "page" / "test.js").write_text(PAGE)
    image = RNG.integers(0, 256, (32, 32, 3), np.uint8)
    given = json.dumps({"data": image.ravel().tolist(), "width": 32, "height": 32})
    done = subprocess.run(["node", "test.js"], cwd=tmp_path / "page", input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    points, words = json.loads(done.stdout)
    (face,) = Predictor(path, detector="none")(image)
    np.testing.assert_allclose(points, face.outputs["landmarks"], atol=1e-3)
    best = max(face.outputs["fer2013"], key=face.outputs["fer2013"].get)
    ranked = sorted(NAMES, key=lambda name: -face.outputs["blendshapes"][name])
    told = dict(words)
    assert set(told) == {"fer2013", "blendshapes"} and told["fer2013"].split()[0] == best
    assert [part.split()[0] for part in told["blendshapes"].split(", ")] == ranked


# Teachers.


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_distillation_is_hintons(temperature):
    logits, teacher = RNG.normal(size=(2, 6, 5)).astype(np.float32)
    context = LossContext("x", "teacher_x", Field("class", (5,)), np.zeros(0), 4)
    batch = {"teacher_x": softmax(teacher, -1)}
    found = make_loss("distillation", {"temperature": temperature}, context, "losses.x").apply(
        Outputs(None, {"x": logits}), batch, {}, {}
    )
    q, p = softmax(teacher.astype(float) / temperature, -1), softmax(logits.astype(float) / temperature, -1)
    np.testing.assert_allclose(found.value, temperature**2 * rel_entr(q, p).sum(-1).mean(), rtol=1e-4)
    np.testing.assert_allclose(log_softmax(teacher, -1), np.log(softmax(teacher, -1)), rtol=1e-4)
    batch["teacher_x"][2:] = 0  # of these no teacher says anything
    alone = make_loss("distillation", {"temperature": temperature}, context, "losses.x").apply(
        Outputs(None, {"x": logits}), batch, {}, {}
    )
    np.testing.assert_allclose(alone.value, temperature**2 * rel_entr(q, p)[:2].sum(-1).mean(), rtol=1e-4)


def test_a_student_learns_the_mean_of_its_teachers(run, exported, tmp_path, capsys):
    _, folder = run
    checkpoint, path = exported
    student = recipe(folder / "data")
    student.teachers = (str(folder / "run"), str(path))
    student.losses.teacher_expression = {"loss": "distillation", "output": "expression", "temperature": 2.0}
    student.losses.teacher_landmarks = {"loss": "smooth_l1", "output": "landmarks"}
    data = add_teachers(student, load_data(student))
    split = data.chosen.train
    assert capsys.readouterr().err.count("as a teacher; the answers are kept") == 2  # it may take minutes
    images = decode_examples(split, (32, 32, 1))
    plain, mirrored = predictions(checkpoint, images), predictions(checkpoint, images[:, :, ::-1])
    mean = (softmax(plain["expression"], -1) + softmax(mirrored["expression"], -1)) / 2
    arrays = target_arrays(student, split, (48, 48))
    wanted = (mean + softmax(np.log(mean) / 2.0, -1)) / 2  # the file answers at temperature 2
    np.testing.assert_allclose(arrays["teacher_expression"], wanted, atol=1e-4)
    back = (plain["landmarks"] + mirrored["landmarks"][:, [0, 3, 4, 1, 2]] * [-1, 1]) / 2
    np.testing.assert_allclose(arrays["teacher_landmarks"], back, atol=1e-4)
    (kept,) = data.prepared.directory.glob("teachers_*.npz")
    before = kept.stat().st_mtime_ns
    again = add_teachers(student, load_data(student)).chosen.train
    assert kept.stat().st_mtime_ns == before and "teacher" not in capsys.readouterr().err
    np.testing.assert_array_equal(again.columns["teacher_fer2013"], split.columns["teacher_fer2013"])
    student.train.epochs = 0.5
    student.init_from = str(folder / "run")
    train(student, tmp_path / "student")
    entry = next(entry for entry in history(tmp_path / "student") if entry["split"] == "train")
    assert entry["teacher_expression/loss"] < 0.5 and entry["teacher_landmarks/loss"] < 0.5


def test_the_angles_of_heads_that_augmentation_turns_are_refused():
    config = default()
    config.losses.pose = {"loss": "smooth_l1"}
    check_losses(config)
    config.augment.update(flip=0.5, rotate=12.0)
    with pytest.raises(UserError, match=r"^augment.flip: turns the head .* losses.pose .* switch flip and rotate off"):
        check_losses(config)


def test_teachers_that_teach_nothing_or_something_else_are_refused(run, exported, tmp_path):
    config, folder = run
    student = recipe(folder / "data")
    student.teachers = (str(folder / "run"),)
    with pytest.raises(UserError, match=r"teachers: no loss learns from them; add config.losses.teacher_expression"):
        check_losses(student)
    student.losses.teacher_expression = {"loss": "distillation", "output": "expression", "temperature": 0.0}
    with pytest.raises(UserError, match=r"losses.teacher_expression.temperature: 0.0; it must be above 0"):
        check_losses(student)
    student.teachers = ()
    student.losses.teacher_expression.temperature = 1.0
    with pytest.raises(UserError, match=r"losses.teacher_expression: learns from teachers, and there are none"):
        check_losses(student)
    other = onnx.load(exported[1])
    classes = next(entry for entry in other.metadata_props if entry.key == "classes")
    classes.value = json.dumps(json.loads(classes.value)[::-1])
    onnx.save(other, tmp_path / "other.onnx")
    student.teachers = (str(tmp_path / "other.onnx"),)
    with pytest.raises(UserError, match=r"teachers: expression is anger, .* in the data and .* to "):
        add_teachers(student, load_data(config))
