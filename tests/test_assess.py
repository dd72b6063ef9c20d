"""A checkpoint on a split: the label spaces meet by name, every example counts once, leaks are told apart."""

import dataclasses

import jax
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from expressnet_jax.config import default
from expressnet_jax.data.audit import audit, leaked_examples
from expressnet_jax.data.decode import decode_all, decode_example
from expressnet_jax.data.fields import Field
from expressnet_jax.data.label_matching import match_labels
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.selection import Splits
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.error_gallery import png_uri
from expressnet_jax.evaluation.evaluate import summarise
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.checkpoints.ensemble import ensemble
from expressnet_jax.training.checkpoints.evaluate_checkpoint import (
    CheckpointEvaluation,
    evaluate_checkpoint,
    write_report,
)
from expressnet_jax.training.checkpoints.evaluate_data import evaluate_data
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.classification import check_selecting
from expressnet_jax.training.train_data import TrainData
from runs import write_images
from weights import drawn_weights
from weights import logits as logits_of

SHAPE = (32, 32, 1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A plain CNN with random weights that calls five emotions by other names and in another order."""
    classes = ("Sad", "neutral", "happy", "angry", "contempt")
    model = create_model("plain_cnn", len(classes))
    metadata = {"classes": classes, "image_shape": SHAPE, "config": {"data": {"name": "another"}}}
    return Checkpoint(tmp_path_factory.mktemp("none"), 12, model, drawn_weights(model, (1, *SHAPE)), metadata)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Five images each of four emotions; the model knows three of them."""
    folder = tmp_path_factory.mktemp("assess")
    images = write_images(folder / "images", {"test": 5}, classes=("anger", "fear", "happiness", "neutral"), size=40)
    return prepare("folder", images, folder / "data", name="four")


def test_labels_meet_by_name_or_taxonomy(prepared, checkpoint):
    split = prepared.split("test")
    known, labels = match_labels(split, checkpoint.classes)
    assert len(known) == 15 and "fear" not in {split.classes[i] for i in known.labels}
    names = {"anger": "angry", "happiness": "happy", "neutral": "neutral"}
    assert [checkpoint.classes[i] for i in labels] == [names[split.classes[i]] for i in known.labels]
    assert list(known.indices) == [i for i, label in enumerate(split.labels) if split.classes[label] != "fear"]


def test_names_of_no_emotion_meet_as_they_are(array_split):
    split = array_split(20)
    for classes in (split.classes[::-1], split.classes):
        known, labels = match_labels(split, classes)
        assert [classes[i] for i in labels] == [split.classes[i] for i in split.labels] and len(known) == 20


def test_a_class_that_is_there_by_its_own_name_is_no_other_one_of_its_meaning(array_split):
    own = ("happiness", "joy", "anger")  # as `labels=own` keeps them apart
    split = dataclasses.replace(array_split(20), classes=own, labels=np.arange(20) % 3)
    for classes in (own, own[::-1]):
        known, labels = match_labels(split, classes)
        assert [classes[i] for i in labels] == [own[i] for i in known.labels]


def test_nothing_in_common_is_refused(prepared):
    with pytest.raises(UserError, match=r"no class in common: data .*anger.*; model cat, dog"):
        match_labels(prepared.split("test"), ("cat", "dog"))


@pytest.mark.parametrize("batch_size", [1, 4, 256])
def test_the_figures_are_those_of_scikit_learn_whatever_the_batch(prepared, checkpoint, batch_size):
    split = prepared.split("test")
    result = evaluate_checkpoint(checkpoint, split, batch_size=batch_size)
    known, labels = match_labels(split, checkpoint.classes)
    logits = checkpoint.model.apply(checkpoint.variables, decode_all(known, 32, 1).astype(np.float32)).heads[
        "expression"
    ]
    np.testing.assert_allclose(result.probabilities, jax.nn.softmax(logits), rtol=1e-5, atol=1e-6)
    predicted = np.asarray(logits).argmax(1)
    assert result.figures["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert result.figures["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert result.figures["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert result.figures["count"] == 15 and result.figures["left_out"] == 5
    assert result.figures["step"] == 12 and result.figures["tta"] == "none"
    assert len(result.split) == len(result.labels) == 15


def test_flip_is_the_mean_over_the_mirror_image(prepared, checkpoint):
    split = prepared.split("test")
    known, _ = match_labels(split, checkpoint.classes)
    images = decode_all(known, 32, 1).astype(np.float32)
    both = [jax.nn.softmax(logits_of(checkpoint.model, checkpoint.variables, x)) for x in (images, images[:, :, ::-1])]
    result = evaluate_checkpoint(checkpoint, split, tta="flip")
    np.testing.assert_allclose(result.probabilities, sum(both) / 2, rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match="no test-time augmentation is called 'mirror'"):
        evaluate_checkpoint(checkpoint, split, tta="mirror")


@pytest.mark.parametrize(
    ("inputs", "line"),
    [(["waveform"], "tta: flip is of images; the network takes waveform"), (["image", "pose"], "with one input")],
)
def test_only_images_are_mirrored(prepared, checkpoint, inputs, line):
    taken = {name: Field(name, (8,)).to_json() for name in inputs}
    with pytest.raises(UserError, match=line):
        evaluate_checkpoint(
            checkpoint._replace(metadata=checkpoint.metadata | {"inputs": taken}), prepared.split("test"), tta="flip"
        )


def test_an_output_without_labels_where_it_selects_is_refused(prepared):
    config, field, split = default(), Field("vector", (2,), ("valence", "arousal")), prepared.split("test")
    config.eval.metric, learned = "valence_arousal/ccc", {"valence_arousal": field}
    values = np.full((len(split), 2), np.nan, np.float32)
    known = split.with_targets(learned, {"valence_arousal": values})
    data = lambda select: TrainData(prepared, Splits(split, select, "test", "test", 0), None)
    with pytest.raises(UserError, match="compares the output valence_arousal with a target of that name, and"):
        check_selecting(config, data(split), learned)
    with pytest.raises(UserError, match="can't be measured on test: its examples have no valence_arousal"):
        check_selecting(config, data(known), learned)
    values[0] = 0.5
    check_selecting(config, data(known), learned)
    config.eval.metric = "expression/accuracy"
    check_selecting(config, data(split), learned)


def test_an_ensemble_is_the_mean_of_the_probabilities(prepared, checkpoint):
    other = create_model("expressnet_tiny", len(checkpoint.classes))
    second = checkpoint._replace(model=other, variables=drawn_weights(other, (1, *SHAPE), seed=1))
    split = prepared.split("test")
    alone = [evaluate_checkpoint(each, split).probabilities for each in (checkpoint, second)]
    result = evaluate_data([checkpoint, second], prepared, "four", split="test")
    np.testing.assert_allclose(result.probabilities, np.mean(alone, 0), rtol=1e-5, atol=1e-6)
    assert result.figures["checkpoint"].count(str(checkpoint.path)) == 2
    assert ensemble([checkpoint]) is checkpoint
    fewer = checkpoint._replace(metadata=checkpoint.metadata | {"classes": checkpoint.classes[:4]})
    with pytest.raises(UserError, match="has other outputs than"):
        ensemble([checkpoint, fewer])


def test_the_gallery_of_clips_shows_the_frame_amid_each(prepared, checkpoint, tmp_path):
    split, shape = prepared.split("test").subset(np.arange(2)), (3, 16, 16, 1)
    probabilities, labels = np.eye(5, dtype=np.float32)[[0, 1]], np.array([1, 1])
    figures = summarise(probabilities, labels, split.indices, checkpoint.classes)
    clips = checkpoint._replace(metadata=checkpoint.metadata | {"image_shape": shape})
    write_report(CheckpointEvaluation(figures, probabilities, labels, split, {}), clips, tmp_path, "clips")
    frame = decode_example(split.encoded(0), shape)[1]
    assert png_uri(frame) in (tmp_path / "error_gallery.html").read_text(encoding="utf-8")


def test_leaked_positions_are_those_of_the_full_split(prepared, checkpoint):
    split = prepared.split("test")
    known, _ = match_labels(split, checkpoint.classes)
    leaked = [int(known.indices[-1]), int(known.indices[0])]
    result = evaluate_checkpoint(checkpoint, split, leaked=leaked)
    assert result.figures["deduplicated"]["count"] == 13 and result.figures["count"] == 15


def test_leaks_are_known_of_an_audited_set(tmp_path):
    images = write_images(tmp_path / "images", {"train": 3, "test": 2})
    (images / "test/anger/0.png").write_bytes((images / "train/anger/1.png").read_bytes())
    prepared = prepare("folder", images, tmp_path / "data", name="leaky")
    assert leaked_examples(prepared, "test") is None
    audit(prepared)
    assert leaked_examples(prepared, "test") == [0]
