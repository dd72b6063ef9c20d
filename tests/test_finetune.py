"""Fine-tuning on one's own faces: what is cut and kept, what is learned, and what is said about it."""

import argparse
import csv
import math
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest

from expressnet_jax.config import default
from expressnet_jax.data import synthetic
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.selection import select_splits
from expressnet_jax.data.store import load
from expressnet_jax.errors import Interrupted, UserError
from expressnet_jax.finetune import commands as command
from expressnet_jax.finetune import comparison, crop_faces
from expressnet_jax.finetune.commands import Request, add_command
from expressnet_jax.finetune.comparison import repeated, sign_test
from expressnet_jax.finetune.crop_faces import CropSettings, store_faces
from expressnet_jax.finetune.recipe import make_config, scale
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.detector import Detector, make_detector
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.models.registry import create_model
from expressnet_jax.runtime.onnx_predict import onnx_predict
from expressnet_jax.training.checkpoints.manager import Checkpoints, saved_steps
from expressnet_jax.training.checkpoints.reading import describe, load_checkpoint
from expressnet_jax.training.state import TrainState
from expressnet_jax.training.step import make_predict_fn
from weights import drawn_weights

pytest_plugins = ["run_fixtures"]

GREEN = (40, 220, 40)
SIDE = 32
CUTTING = CropSettings("marker", 960, True, SIDE, 1)


class Marker:
    """A detector that finds what is not green; `calls` counts the images that it was shown."""

    def __init__(self):
        self.calls = 0

    def make(self, name, **options):
        return Detector(self.find, 1.0)

    def find(self, image):
        self.calls += 1
        other = (np.abs(image.astype(int) - GREEN).sum(2) > 60).astype(np.uint8)
        count, _, boxes, _ = cv2.connectedComponentsWithStats(other)
        return [Detection(tuple(map(float, boxes[i][:4])), 0.9) for i in range(1, count) if boxes[i][4] > 100]


def face(index, side, style="a"):
    return synthetic.generate(index, size=side, style=style).image[..., 0]


def photograph(path, *pasted):
    """A green image with gray faces at (left, top)."""
    canvas = np.full((200, 300, 3), GREEN, np.uint8)
    for image, (left, top) in pasted:
        canvas[top : top + len(image), left : left + len(image)] = image[..., None]
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), canvas[..., ::-1])
    return path


def album(root, classes=("happy", "bored"), count=5):
    """Photographs with one face each."""
    for j, name in enumerate(classes):
        for i in range(count):
            photograph(root / name / f"{i}.png", (face(10 * j + i, 96), (20 + i, 30)))
    return root


def cut(root, folder, marker=None, cutting=CUTTING):
    samples = crop_faces.list_photographs(root)
    return samples, store_faces(samples, folder, cutting, (marker or Marker()).make)


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Faces.


def test_the_largest_face_is_cut_and_shrinks_to_the_mean_of_its_pixels(tmp_path):
    large, small = face(1, 96), face(2, 48)
    photograph(tmp_path / "in/happy/a b.png", (small, (10, 10)), (large, (120, 60)))
    photograph(tmp_path / "in/bored/small.png", (small, (10, 10)))
    _, (other, one) = cut(tmp_path / "in", tmp_path / "out")
    assert crop_faces.summary([one, other], {}) == "2 faces from 2 photographs, the largest of 1 that show several"
    assert (one.status, one.faces, one.box, other.faces) == ("face", 2, [120, 60, 96, 96], 1)
    assert one.crop.startswith("happy/a_b-") and one.crop.endswith(".png")
    stored = cv2.imread(str(tmp_path / "out" / one.crop), cv2.IMREAD_UNCHANGED)
    assert stored.shape == (2 * SIDE, 2 * SIDE)
    mean = large.reshape(SIDE, 3, SIDE, 3).mean((1, 3))
    np.testing.assert_allclose(cv2.resize(stored, (SIDE, SIDE), interpolation=cv2.INTER_AREA), mean, atol=1.5)
    kept = cv2.imread(str(tmp_path / "out" / other.crop), cv2.IMREAD_UNCHANGED)
    assert kept.shape == (SIDE, SIDE), "a face of 48 pixels is not enlarged to 64, to be shrunk again"


def test_images_that_are_faces_stay_as_they_are_in_the_networks_channels(tmp_path):
    gray = face(3, SIDE)
    for name in ("happy", "bored"):
        (tmp_path / "in" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "in" / name / "0.png"), gray)
    for channels, shape in ((1, (SIDE, SIDE)), (3, (SIDE, SIDE, 3))):
        samples = crop_faces.list_photographs(tmp_path / "in")
        cutting = CropSettings("none", 960, True, SIDE, channels)
        seen = store_faces(samples, tmp_path / f"out{channels}", cutting, make_detector)
        stored = cv2.imread(str(tmp_path / f"out{channels}" / seen[0].crop), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(stored, np.broadcast_to(gray[..., None], shape) if channels == 3 else gray)


def test_what_was_read_is_not_read_again_and_what_changed_is(tmp_path):
    root, out, marker = album(tmp_path / "in"), tmp_path / "out", Marker()
    photograph(root / "happy" / "empty.png")
    _, first = cut(root, out, marker)
    assert marker.calls == 11 and [each.status for each in first].count("no face") == 1
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    with (out / "read.jsonl").open("a") as file:
        file.write('{"key": "happy/0.png", "wo')  # a torn line
    assert cut(root, out, marker)[1] == first and marker.calls == 11
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before

    photograph(root / "happy" / "1.png", (face(99, 96), (0, 0)))
    (out / first[0].crop).unlink()
    (root / "bored" / "4.png").unlink()
    _, second = cut(root, out, marker)
    assert marker.calls == 13, "the one that changed, and the one whose face is gone"
    assert len(list(out.rglob("*.png"))) == 9 and not (out / first[4].crop).exists()
    changed = [old.key for old in first for new in second if old.key == new.key and old.sha256 != new.sha256]
    assert changed == ["happy/1.png"]
    cut(root, out, marker, CUTTING._replace(align=False))
    assert marker.calls == 23


def test_a_run_that_is_stopped_while_it_finds_faces_goes_on(tmp_path):
    root, marker = album(tmp_path / "in"), Marker()

    class Stopping(Marker):
        def find(self, image):
            if self.calls >= 4:
                raise KeyboardInterrupt
            return super().find(image)

    with pytest.raises(KeyboardInterrupt):
        cut(root, tmp_path / "out", Stopping())
    done = len((tmp_path / "out/read.jsonl").read_text().splitlines())
    assert 0 < done <= 4
    _, seen = cut(root, tmp_path / "out", marker)
    assert marker.calls == 10 - done and [each.status for each in seen] == ["face"] * 10


def test_what_takes_no_part_is_named(tmp_path):
    root = album(tmp_path / "in")
    photograph(root / "happy" / "empty.png")
    (root / "happy" / "torn.jpg").write_bytes(b"\xff\xd8\xff no image")
    for name in ("happy/phone.heic", "notes.txt", "bored/.hidden", "__MACOSX/happy/x.db"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"something")
    samples, seen = cut(root, tmp_path / "out/faces")
    notes = {}
    crop_faces.list_photographs(root, notes=notes)
    others = notes["left out"]
    assert others == {"happy/phone.heic": "text", "notes.txt": "text"} and notes["litter"] == 2
    listed = crop_faces.write_lists(samples, seen, others, tmp_path / "out")
    rows = {row["image"]: row for row in table(tmp_path / "out/faces.csv")}
    assert len(rows) == 14 and next(iter(rows.values()))["class"] == "bored"
    assert {name: row["status"] for name, row in rows.items() if row["status"] != "face"} == {
        "happy/empty.png": "no face",
        "happy/torn.jpg": "unreadable",
        "happy/phone.heic": "other file",
        "notes.txt": "other file",
    }
    assert "marker finds none" in rows["happy/empty.png"]["reason"] and "torn.jpg" in rows["happy/torn.jpg"]["reason"]
    assert rows["happy/0.png"]["left"] == "20.0" and rows["happy/0.png"]["width"] == "96.0"
    assert [row["path"] for row in table(listed)] == [each.crop for each in seen if each.crop]
    assert list(table(listed)[0]) == ["path", "label", "sha256"]
    line = crop_faces.summary(seen, others)
    assert line.startswith("10 faces from 12 photographs; left out: 1 without a face (happy/empty.png), 1 that can't")
    assert crop_faces.counts(seen, others, 2) == {
        "face": 10,
        "no face": 1,
        "unreadable": 1,
        "other file": 2,
        "litter": 2,
    }


def test_persons_of_a_csv_are_held_out_whole(tmp_path):
    root = album(tmp_path, count=10)
    rows = [(f"{name}/{i}.png", name, f"person {i // 2}") for name in ("happy", "bored") for i in range(10)]
    source = root / "list.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "subject"), *rows])
    samples, seen = cut(source, tmp_path / "out/faces")
    listed = crop_faces.write_lists(samples, seen, {}, tmp_path / "out")
    chosen = select_splits(prepare("folder", listed, tmp_path / "data", name="mine"), holdout=0.2)
    sides = [set(map(str, split.subjects)) for split in (chosen.train, chosen.select)]
    assert not sides[0] & sides[1] and sides[0] | sides[1] == {f"person {i}" for i in range(5)}
    assert chosen.train.classes == ("bored", "happy")


def test_known_words_become_the_taxonomys_classes(tmp_path):
    root = album(tmp_path / "in", ("Happy", "1_sad", "smile"), count=2)
    samples, seen = cut(root, tmp_path / "out/faces")
    assert crop_faces.classes_of(samples) == {"Happy": "happiness", "1_sad": "sadness", "smile": "happiness"}
    listed = crop_faces.write_lists(samples, seen, {}, tmp_path / "out")
    prepared = prepare("folder", listed, tmp_path / "data", name="mine")
    assert prepared.classes == BASIC
    assert np.bincount(prepared.split("all").labels, minlength=7).tolist() == [0, 0, 0, 4, 2, 0, 0]


def test_a_class_without_faces_or_with_too_few_is_refused(tmp_path):
    root = album(tmp_path / "in")
    for i in range(6):
        photograph(root / "afraid" / f"{i}.png")
    samples, seen = cut(root, tmp_path / "out")
    with pytest.raises(UserError, match=r"^afraid: no face in any of its 6 images, .*; --detector none takes"):
        crop_faces.check_classes(samples, seen, CUTTING)
    for i in range(4):
        photograph(root / "afraid" / f"{i}.png", (face(i, 96), (0, 0)))
    samples, seen = cut(root, tmp_path / "out")
    with pytest.raises(UserError, match=r"^afraid: 4 faces are too few .* at least 5, or leave the class out"):
        crop_faces.check_classes(samples, seen, CUTTING)
    shutil.move(root / "afraid", tmp_path / "afraid")
    shutil.move(root, tmp_path / "train")
    (tmp_path / "both").mkdir()
    shutil.move(tmp_path / "train", tmp_path / "both/train")
    album(tmp_path / "both/test", ("happy", "angry"))
    samples, seen = cut(tmp_path / "both", tmp_path / "other")
    with pytest.raises(UserError, match=r"^angry: 0 faces of train are too few"):
        crop_faces.check_classes(samples, seen, CUTTING)


# The recipe and its figures.


EXPOSURES = {"under": lambda x: 0.3 * x, "over": lambda x: 255 - 0.3 * (255 - x), "flat": lambda x: 90 + 0.3 * x}


def exposed(index, exposure, darker=1.0):
    """A face photographed in one of three ways: what a network can learn in seconds."""
    return (darker * EXPOSURES[exposure](face(index, SIDE).astype(float))).astype(np.uint8)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A checkpoint that calls under-exposed faces happiness and over-exposed ones sadness: a network of drawn weights,
    whose head is fitted to its features by least squares."""
    images = np.stack([exposed(i, name) for name in ("under", "over") for i in range(100)])[..., None]
    targets = 4.0 * np.eye(7)[np.repeat([BASIC.index("happiness"), BASIC.index("sadness")], 100)] - 2
    model = create_model("plain_cnn", 7, dropout=0.1)
    params = drawn_weights(model, images.shape)["params"]
    features = jax.jit(lambda x: model.apply({"params": params}, x, method="features"))(images.astype(np.float32))
    mean, scale = np.mean(features, 0), np.std(features, 0) + 1e-3
    rows = np.c_[(features - mean) / scale, np.ones(len(images))]
    weights = np.linalg.solve(rows.T @ rows + 20 * np.eye(rows.shape[1]), rows.T @ targets)
    kernel = (weights[:-1] / scale[:, None]).astype(np.float32)
    params["head"] = {"kernel": kernel, "bias": (weights[-1] - mean @ kernel).astype(np.float32)}

    config = default().to_dict()
    config["model"] |= {"name": "plain_cnn", "dropout": 0.1}
    folder = tmp_path_factory.mktemp("start")
    with Checkpoints(folder, describe(config, BASIC, (SIDE, SIDE, 1))) as checkpoints:
        state = TrainState(jnp.int32(1), jax.tree.map(jnp.asarray, params), {}, {}, {})
        checkpoints.save_best(state, {"accuracy": 1.0})
    return load_checkpoint(folder)


QUICK = {
    f"augment.{name}": 0.0 for name in ("rotate", "zoom", "brightness", "contrast", "random_erasing")
}  # to compile


def request(data, output, start, **changes):
    overrides = QUICK | {"train.epochs": 24.0, "data.holdout": 0.3} | changes.pop("overrides", {})
    return Request(data, output, str(start.path), "none", 960, True, overrides)._replace(**changes)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, start):
    """Photographs by a darker lens in folders of known and unknown names, fine-tuned -> (request, report)."""
    folder = tmp_path_factory.mktemp("tuned")
    for name, exposure in {"Happy": "under", "1_sad": "over", "bored": "flat"}.items():
        (folder / "photographs" / name).mkdir(parents=True)
        for i in range(30):
            cv2.imwrite(str(folder / "photographs" / name / f"{i}.png"), exposed(500 + i, exposure, darker=0.4))
    asked = request(folder / "photographs", folder / "output", start)
    return asked, command.finetune(asked)


def test_it_learns_what_the_checkpoint_could_not_know(tuned):
    _, report = tuned
    assert report["before"]["classes"] == list(BASIC) and report["after"]["classes"] == ["1_sad", "Happy", "bored"]
    assert (report["before"]["count"], report["before"]["left_out"], report["after"]["count"]) == (20, 10, 30)
    assert report["before"]["accuracy"] <= 0.6 and report["after"]["accuracy"] >= 0.9
    assert report["after"]["per_class"]["bored"]["recall"] >= 0.8
    assert report["change"]["came_right"] >= 8 and report["change"]["p_value"] < 0.05
    told = comparison.table(report)
    assert "better than chance explains" in told and "chose the epoch as well" in told and "95 % interval" in told


def test_the_onnx_file_predicts_what_the_checkpoint_predicts(tuned):
    asked, report = tuned
    checkpoint = load_checkpoint(asked.output / "runs" / report["run"])
    data = load("own_faces", asked.output / "data")
    heldout = select_splits(data, holdout=0.3).select
    images = decode_all(heldout, SIDE, 1)
    exported = onnx_predict(asked.output / "model.onnx")
    probabilities = exported(images)
    expected = np.asarray(make_predict_fn(checkpoint.model)(checkpoint.variables, images))
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    assert exported.classes == ("1_sad", "Happy", "bored")
    assert np.mean(probabilities.argmax(1) == heldout.labels) == pytest.approx(report["after"]["accuracy"])
    # A photograph as prediction reads it is the image that was learned from.
    path = asked.data / "Happy" / "3.png"
    (found,) = Predictor(asked.output / "model.onnx", detector="none")(path)
    direct = exported(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[None, ..., None])[0]
    np.testing.assert_allclose(list(found.probabilities.values()), direct, atol=1e-6)


def test_once_more_finds_no_face_and_trains_no_step(tuned, capsys):
    asked, report = tuned
    before = {path: path.stat().st_mtime_ns for path in asked.output.rglob("*.png")}
    steps = saved_steps(asked.output / "runs" / report["run"] / "checkpoints")
    marker = Marker()
    assert command.finetune(asked, marker.make) == report
    assert marker.calls == 0 and "finished before" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in asked.output.rglob("*.png")} == before
    assert saved_steps(asked.output / "runs" / report["run"] / "checkpoints") == steps


def test_stopped_after_the_training_it_goes_on_with_the_report(tuned, capsys):
    asked, report = tuned
    written = (asked.output / "model.onnx").read_bytes()
    for name in ("report.json", "model.onnx"):
        (asked.output / name).unlink()
    assert command.finetune(asked) == report
    assert "nothing to train" in capsys.readouterr().err
    assert (asked.output / "model.onnx").read_bytes() == written


def test_a_report_never_stands_next_to_another_runs_file(tmp_path, monkeypatch):
    """Killed between both, the earlier settings would find their report and take the file for theirs."""
    report = tmp_path / "report.json"
    report.write_text("{}")

    def export(checkpoint, path, images):
        assert not report.exists()
        raise KeyboardInterrupt

    trained = SimpleNamespace(image_shape=(8, 8, 1))
    experiment = SimpleNamespace(finish=lambda folder: (trained, None), sample_images=lambda shape: None)
    monkeypatch.setattr("expressnet_jax.training.loop.train", lambda *arguments: experiment)
    monkeypatch.setattr("expressnet_jax.export.onnx_export.export_onnx", export)
    with pytest.raises(KeyboardInterrupt):
        command.learn(None, None, None, tmp_path, tmp_path, {})


def test_a_short_run_for_few_and_no_longer_than_needed_for_many(start, array_split):
    for count, steps in ((12, 150), (400, 250), (200_000, 3000)):
        config = make_config(start, {}, array_split(count, size=1))
        batch = config.train.batch_size
        assert batch <= count and batch % 4 == 0
        assert round(config.train.epochs * count / batch) == steps
        assert config.eval.every_epochs == pytest.approx(config.train.epochs / 5)


def test_an_absent_class_is_not_shielded_by_logit_adjustment(start, array_split):
    split = array_split(200)
    config = default()
    scale(config, split)
    assert (config.losses.expression.class_weighting, config.data.balance) == ("logit_adjustment", 0.0)
    config = default()
    scale(config, split.subset(np.flatnonzero(split.labels != 2)))
    assert (config.losses.expression.class_weighting, config.data.balance) == ("none", 1.0)


def test_the_recipe_keeps_the_checkpoints_network_and_what_is_set_comes_last(start):
    config = make_config(start, {"optimizer.learning_rate": 0.5, "train.epochs": 7, "model.dropout": 0.0})
    assert (config.model.name, config.model.dropout, config.data.size, config.augment.crop) == (
        "plain_cnn",
        0.0,
        SIDE,
        0,
    )
    assert (config.optimizer.learning_rate, config.train.epochs, config.augment.flip) == (0.5, 7, 0.5)
    with pytest.raises(UserError, match=r"--set: no key 'train.epoch'; did you mean train.epochs\?"):
        make_config(start, {"train.epoch": 3})
    with pytest.raises(UserError, match=r"--set: train.epochs='many' is no float"):
        make_config(start, {"train.epochs": "many"})


def test_the_sign_test_is_the_binomial_test():
    for came, went in ((0, 0), (1, 0), (9, 2), (5, 5), (30, 60), (700, 600)):
        expected = binomtest(came, came + went).pvalue if came + went else 1.0
        assert sign_test(came, went) == pytest.approx(expected, rel=1e-9)
        assert math.isclose(sign_test(came, went), sign_test(went, came))


def test_held_out_faces_that_training_has_too_are_counted(array_split):
    split = array_split(40, size=48)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 3)[..., None] for image in split.images])
    smooth = np.stack([cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)[..., None] for image in smooth])
    smooth[30] = smooth[2]  # a copy
    smooth[31] = smooth[3][:, ::-1]  # a mirrored one
    smooth[32] = np.clip(smooth[4].astype(int) + np.random.default_rng(1).integers(-9, 10, smooth[4].shape), 0, 255)
    smooth[36] = smooth[35]  # twice among the held-out ones
    whole = type(split)(smooth, split.labels, np.arange(100, 140), classes=split.classes)
    assert repeated(whole.subset(range(30)), whole.subset(range(30, 40))) == [130, 131, 132]


@pytest.mark.parametrize(
    ("change", "expected"),
    [((3, 2), "too few to tell from chance; the interval is 37 points"), ((2, 20), "worse. Keep the checkpoint")],
)
def test_honest_words(tuned, change, expected):
    report = tuned[1] | {"repeated": 0, "change": dict(zip(("came_right", "went_wrong"), change, strict=True))}
    report["change"]["p_value"] = sign_test(*change)
    report["after"] = report["after"] | {"accuracy_interval": [0.5, 0.87]}
    assert expected in comparison.table(report)


def test_without_a_class_in_common_there_is_no_before(tuned):
    report = tuned[1] | {"before": None, "change": None}
    assert "no before to compare with" in comparison.table(report) and "\nbefore" not in comparison.table(report)


# The command.


def call(*arguments):
    """(arguments) -> what `expressnet finetune` does with them."""
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()

    def make(name, run, text, uses_jax=True):
        sub = subparsers.add_parser(name, help=text)
        sub.set_defaults(run=run, uses_jax=uses_jax)
        return sub

    add_command(make)
    parsed = parser.parse_args(["finetune", *map(str, arguments)])
    assert parsed.uses_jax
    return parsed.run(parsed)


def test_the_command_says_what_it_wrote_and_how_to_use_it(tuned, capsys):
    asked, report = tuned
    options = ["--detector", "none", "--init_from", asked.init_from, "--epochs", "24", "--holdout", "0.3"]
    options += [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]
    assert call("--data", asked.data, "--output", asked.output, *options) == 0
    out = capsys.readouterr().out
    assert f"{100 * report['after']['accuracy']:.1f} %" in out
    assert (
        out.splitlines()[-1]
        == f"use it: expressnet predict photo.jpg --model {asked.output}/model.onnx --detector none"
    )


def test_after_ctrl_c_it_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    for stop, status, text in (
        (Interrupted(signal.SIGTERM, 40), 143, "stopped at step 40 by SIGTERM; the same command resumes"),
        (KeyboardInterrupt(), 130, "stopped; the same command resumes with what is in"),
    ):
        monkeypatch.setattr(command, "finetune", lambda request, stop=stop: (_ for _ in ()).throw(stop))
        assert call("--data", tmp_path, "--output", tmp_path / "o") == status
        assert text in capsys.readouterr().err


def zipped(root):
    return Path(shutil.make_archive(str(root), "zip", album(root)))


def one_class(root):
    return album(root, ("happy", "Happy"), 1)


def empty_class(root):
    (album(root, ("happy", "sad"), 1) / "angry").mkdir()
    return root


def three_persons(root):
    rows = [(path.relative_to(root), path.parent.name, i % 3) for i, path in enumerate(album(root).rglob("*.png"))]
    with (root / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "person"), *rows])
    return root / "list.csv"


def only_test(root):
    album(root / "test", ("happy", "sad"), 1)
    return root


WRONG = {
    "no folder": (lambda root: root / "none", {}, "no such folder"),
    "no classes": (lambda root: photograph(root / "a.png").parent, {}, "no class folders with images"),
    "archive": (zipped, {}, "in.zip: a zip archive; unpack it and give the folder that comes out"),
    "one class": (one_class, {}, "every image is of one class, happiness; a classifier needs two"),
    "empty class": (empty_class, {}, "the class folder angry/ holds no image"),
    "only test": (only_test, {}, "there is no train/ next to test/"),
    "detector": (album, {"detector": "viola"}, "detector: no 'viola'; one of centerface"),
    "checkpoint": (album, {"init_from": "nowhere"}, "nowhere: no such folder; give a run's --workdir"),
    "holdout": (album, {"overrides": {"data.holdout": 1.5}}, "--holdout: 1.5 is not a share"),
    "persons": (
        three_persons,
        {"overrides": {"data.holdout": 0.2}},
        "is one person in 5, and there are 3; give a larger",
    ),
    "own key": (album, {"overrides": {"data.name": "x"}}, "--set: data.name follows from the other options"),
    "epochs": (album, {"overrides": {"train.epochs": -1}}, "train.epochs: -1.0; it must be above 0"),
    "value": (album, {"overrides": {"train.batch_size": 0}}, "train.batch_size: 0; it must be at least 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_line_and_nothing_is_written(case, tmp_path, start):
    make, changes, expected = WRONG[case]
    (tmp_path / "in").mkdir()
    asked = request(make(tmp_path / "in"), tmp_path / "out", start, **changes)
    with pytest.raises(UserError) as error:
        command.finetune(asked)
    assert expected in str(error.value) and "\n" not in str(error.value)
    assert not asked.output.exists()


def test_without_a_shipped_checkpoint_it_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "SHIPPED", tmp_path / "none")
    asked = Request(album(tmp_path / "in"), tmp_path / "out", None, "none", 960, True, {})
    with pytest.raises(UserError, match=r"--init_from: no checkpoint came .*; give a run's workdir"):
        command.finetune(asked)
    assert not asked.output.exists()


def test_an_output_that_is_something_else_is_left_alone(tmp_path, start, tuned):
    data, holiday = album(tmp_path / "in"), tmp_path / "holiday"
    holiday.mkdir()
    (holiday / "letter.txt").write_text("dear")
    for output, expected in (
        (holiday, "holds something else; give a new or an empty folder"),
        (holiday / "letter.txt", "is a file; give a folder"),
        (data / "out", "lies in --data"),
        (tuned[0].output, "holds the fine-tuning on"),
    ):
        before = sorted(os.walk(tmp_path))
        with pytest.raises(UserError, match=expected):
            command.finetune(request(data, output, start))
        assert sorted(os.walk(tmp_path)) == before


def test_one_process_at_a_time(tmp_path, start):
    asked = request(album(tmp_path / "in"), tmp_path / "out", start)
    with (
        command.claimed(asked, CUTTING),
        pytest.raises(UserError, match="another process works in it"),
        command.claimed(asked, CUTTING),
    ):
        pass
    with command.claimed(asked, CUTTING) as output:
        assert output == Path(asked.output)
