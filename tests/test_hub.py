"""The folder for the Hugging Face hub: its card read by the hub's own library, its weights by hand, its predictions."""

import json
import runpy
import sys

import cv2
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from expressnet_jax import Predictor
from expressnet_jax.cli import main
from expressnet_jax.config import default
from expressnet_jax.data.labels import BASIC
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.metrics import classification_metrics
from expressnet_jax.export.hub import card, check_folder, header
from expressnet_jax.models.registry import create_model
from expressnet_jax.runtime.onnx_predict import OnnxPredictor
from expressnet_jax.training.checkpoints.inference import write_inference_checkpoint
from expressnet_jax.training.checkpoints.reading import Checkpoint, describe, load_checkpoint
from weights import drawn_weights

SHAPE = (32, 32, 1)


def draw_checkpoint(step=7, data="synthetic"):
    config = default()
    config.model.name, config.data.name, config.data.dir = "plain_cnn", data, "/somebody/prepared"
    model = create_model("plain_cnn", len(BASIC))
    return Checkpoint(
        None, step, model, drawn_weights(model, (1, *SHAPE)), describe(config.to_dict(), BASIC, SHAPE, model=model)
    )


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A folder that the command has written, the figures that it was given, and the checkpoint."""
    root = tmp_path_factory.mktemp("hub")
    write_inference_checkpoint(draw_checkpoint(), root / "run")
    labels = np.arange(70) % 7
    probabilities = (np.random.default_rng(0).dirichlet(np.ones(7), 70) + np.eye(7)[labels]) / 2
    figures = classification_metrics(probabilities, labels, BASIC)
    figures |= {"data": "synthetic@0123456789ab", "split": "test", "step": 7, "tta": "none"}
    (root / "test.json").write_text(json.dumps(figures))
    given = ["export", "--checkpoint", root / "run", "--hub", root / "my-model", "--results", root / "test.json"]
    assert main([str(each) for each in given]) == 0
    return root / "my-model", figures, load_checkpoint(root / "run")


def read_tensors(path):
    """The format by its description: a length, a JSON header, little-endian arrays."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    named = {name: each for name, each in json.loads(content[8:start]).items() if name != "__metadata__"}
    place = lambda each: slice(*(start + end for end in each["data_offsets"]))
    return {name: np.frombuffer(content[place(each)], "<f4").reshape(each["shape"]) for name, each in named.items()}


def test_the_hubs_library_reads_the_card(hub):
    folder, figures, _ = hub
    card = pytest.importorskip("huggingface_hub").ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.library_name, card.data.model_name) == (
        "apache-2.0",
        "expressnet_jax",
        "my-model",
    )
    assert card.data.pipeline_tag == "image-classification" and "onnx" in card.data.tags
    found = {
        (each.dataset_name, each.dataset_split, each.metric_type): each.metric_value for each in card.data.eval_results
    }
    expected = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "f1": "macro_f1"}
    assert found == {("synthetic", "test", kind): round(figures[key], 4) for kind, key in expected.items()}
    assert "| synthetic, test | 70 |" in card.text and "**predicts the label that annotators gave" in card.text


def test_the_weights_are_those_of_the_model_and_predict_the_same(hub):
    folder, _, checkpoint = hub
    tensors = read_tensors(folder / "model.safetensors")
    assert {tuple(name.split(".")) for name in tensors} == set(flatten_dict(checkpoint.variables))
    face = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    variables = unflatten_dict({tuple(name.split(".")): value for name, value in tensors.items()})
    logits = checkpoint.model.apply(variables, face[None]).heads["expression"]
    predictor = Predictor.from_folder(folder, detector="none")
    np.testing.assert_allclose(predictor.probabilities(face[None]), jax.nn.softmax(logits), atol=1e-5)
    config = json.loads((folder / "config.json").read_text())
    assert [config["id2label"][str(number)] for number in range(7)] == list(predictor.classes) == list(BASIC)
    assert "/somebody" not in (folder / "config.json").read_text() + (folder / "README.md").read_text()


def test_the_example_runs(hub, tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((64, 64), 128, np.uint8))
    monkeypatch.setattr(sys, "argv", ["example.py", str(tmp_path / "gray.png")])
    runpy.run_path(str(hub[0] / "example.py"))
    assert capsys.readouterr().out == ""  # there is no face in it


def test_weights_from_other_images_have_their_terms():
    top = header(draw_checkpoint(data="fer2013"), [], "m")
    assert (top["license"], top["license_name"]) == (
        "other",
        "terms-of-the-training-images",
    ) and "model-index" not in top


@pytest.mark.parametrize(
    ("change", "about", "note"),
    [
        ({"split": "holdout of all"}, {}, "Of images held out of training: it selected the checkpoint"),
        (
            {"trained_on": {"images": 60, "without_labels": 0, "of": 70, "others": 10, "accuracy_on_others": 0.5}},
            {},
            "warning: 60 of the 70 images have the very pixels of training images, so the figures of synthetic, test"
            " are too good; accuracy on the 10 others: 50.00 %",
        ),
        ({}, {"logit_shifts": "{}"}, "the figures are without that"),
    ],
)
def test_the_card_says_why_its_figures_may_be_too_good(hub, change, about, note):
    stored = OnnxPredictor((hub[0] / "model.onnx").read_bytes(), "m").metadata
    assert (
        note in card(hub[2], stored | about, [hub[1] | change], "m") and note not in (hub[0] / "README.md").read_text()
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"step": 8}, "is about step 8 and 7 classes, the checkpoint is of step 7 and 7; evaluate this one"),
        ({"weights": "0" * 64, "checkpoint": "runs/b"}, "is about other weights, those of runs/b; evaluate "),
        ({"accuracy": ...}, "no figures of expressnet evaluate --json; give such a file"),
    ],
)
def test_figures_of_another_checkpoint_are_refused_and_nothing_is_written(hub, tmp_path, capsys, change, expected):
    figures = {key: value for key, value in (hub[1] | change).items() if value is not ...}
    (tmp_path / "f.json").write_text(json.dumps(figures))
    given = ["export", "--checkpoint", hub[2].path, "--hub", tmp_path / "new", "--results", tmp_path / "f.json"]
    assert main([str(each) for each in given]) == 2
    assert expected in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_what_is_missing_is_named(hub, tmp_path, capsys):
    assert main(["export", "--checkpoint", str(hub[2].path)]) == 2
    assert "--output: give the .onnx file that is to be written, or a folder with --hub" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no model\.onnx in it; give a folder of expressnet export --hub"):
        Predictor.from_folder(tmp_path)


def test_files_of_others_in_the_folder_are_kept(hub, tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert main(["export", "--checkpoint", str(hub[2].path), "--hub", str(tmp_path)]) == 2
    assert "README.md is there already; give a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    check_folder(hub[0])


def test_two_outputs_of_one_name_are_refused(hub, tmp_path, capsys):
    names = ["--output", str(tmp_path / "m.onnx"), "--int8", str(tmp_path / "m.onnx"), "--data", "synthetic"]
    assert main(["export", "--checkpoint", str(hub[2].path), *names]) == 2
    assert "m.onnx: the name of two outputs; give each its own" in capsys.readouterr().err


def test_a_slim_checkpoint_that_is_there_is_said_before_anything_is_written(hub, tmp_path, capsys):
    output = tmp_path / "m.onnx"
    words = ["export", "--checkpoint", str(hub[2].path), "--output", str(output), "--slim", str(tmp_path)]
    assert main(words) == 2 and not output.exists()
    assert f"--slim {tmp_path}: is there already" in capsys.readouterr().err
