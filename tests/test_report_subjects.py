"""What a report can be about: shipped models, baselines, checkpoints; and the examples and votes that come with it."""

from dataclasses import replace

import numpy as np
import pytest

from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from expressnet_jax.inference.predictor import load_model
from expressnet_jax.report.context import QUICK, Context
from expressnet_jax.report.examples import load_examples, restrict
from expressnet_jax.report.figures import figures_section
from expressnet_jax.report.raw_votes import with_votes
from expressnet_jax.report.shuffled import shuffled_subject
from expressnet_jax.report.subject import BATCH, load_subject


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return prepare("synthetic", None, folder, num_train=60, num_validation=30, num_test=0, size=24)


@pytest.fixture(scope="module")
def tiny():
    return load_subject("tiny")


def test_a_shipped_model_is_predicted_in_batches_of_one_size(tiny):
    images = np.random.default_rng(0).integers(0, 256, (BATCH + 3, *tiny.image_shape), np.uint8)
    sizes = []
    counted = replace(tiny, predict=lambda part: sizes.append(len(part)) or tiny.predict(part))
    found = counted.probabilities(images)
    np.testing.assert_allclose(found, load_model("tiny")(images), atol=1e-5)
    assert sizes == [BATCH, BATCH] and tiny.attention is not None and tiny.facts["kind"] == "ONNX"


def test_predictions_are_kept_of_these_examples_and_no_others(prepared, tiny, tmp_path):
    """Two models that know other classes get other samples of one size, and share the cache of a third one."""
    every = load_examples(prepared, "synthetic", tiny.classes, tiny.image_shape, "train")
    halves = [every.subset(np.arange(start, 60, 2)) for start in (0, 1)]
    contexts = [Context(tiny, None, [half], QUICK, tmp_path) for half in halves]
    first, second = (context.probabilities(tiny, half) for context, half in zip(contexts, halves, strict=True))
    assert np.abs(first - second).max() > 0.1 and len(list(tmp_path.iterdir())) == 2


def test_a_baseline_is_fitted_to_the_split_train(prepared, tmp_path):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    subject = load_subject("hog+svm", [prepared])
    examples = load_examples(prepared, "synthetic", subject.classes, subject.image_shape, "train")
    right = (subject.probabilities(examples.images).argmax(1) == examples.labels).mean()
    assert right > 0.9 and examples.images.shape == (60, 48, 48, 1)
    assert shuffled_subject(subject) is None
    (judged,) = figures_section(Context(subject, None, [examples], QUICK, tmp_path))["data"]
    assert judged["accuracy"] == pytest.approx(right) and judged["use"].startswith(
        "the model was trained on these images"
    )
    unseen = load_examples(prepared, "synthetic", subject.classes, subject.image_shape, "validation")
    (judged,) = figures_section(Context(subject, None, [unseen], QUICK, tmp_path))["data"]
    assert judged["use"] == "not seen in fitting and selected nothing"


def test_shuffled_weights_give_other_answers(tiny):
    images = np.random.default_rng(0).integers(0, 256, (4, *tiny.image_shape), np.uint8)
    other = shuffled_subject(tiny)
    assert np.abs(other.probabilities(images) - tiny.probabilities(images)).max() > 0.05
    assert other.identity != tiny.identity and len(other.onnx) == pytest.approx(len(tiny.onnx), rel=0.01)


def test_answers_are_among_the_classes_that_both_know(prepared):
    classes = ("contempt", "happy", "sad", "other")
    examples = load_examples(prepared, "synthetic", classes, (24, 24, 1), "validation")
    assert examples.classes == ("happy", "sad") and examples.model_classes_left_out == ("contempt", "other")
    stored = prepared.split("validation")
    names = [stored.classes[label] for label in stored.labels]
    assert len(examples) == sum(name in ("happiness", "sadness") for name in names) == 30 - examples.left_out
    words = {"happy": "happiness", "sad": "sadness"}
    assert [words[examples.classes[i]] for i in examples.labels] == [names[i] for i in examples.index]
    rows = np.array([[0.5, 0.3, 0.1, 0.1]])
    np.testing.assert_allclose(restrict(rows, classes, examples.classes), [[0.75, 0.25]])
    another = restrict(rows, ("sadness", "anger", "fear", "happiness"), ("happy", "sad", "contempt"))
    np.testing.assert_allclose(another, [[1 / 6, 5 / 6, 0]], rtol=1e-6)


def test_a_sample_has_every_class_in_its_share(prepared):
    classes = prepared.classes
    examples = load_examples(prepared, "synthetic", classes, (24, 24, 1), "train")
    part = examples.sample(30)
    assert len(part) == 30 and len(set(part.index.tolist())) == 30 and (np.diff(part.index) > 0).all()
    whole, half = (np.bincount(each.labels, minlength=7) for each in (examples, part))
    assert np.abs(half - whole / 2).max() <= 1
    assert (part.images == examples.images[np.isin(examples.index, part.index)]).all()


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("cat", "happy"), "the model knows cat, happy.*fewer than two in common"),
        (("x", "y"), "fewer than two in common"),
    ],
)
def test_too_few_classes_in_common_are_refused(prepared, classes, words):
    with pytest.raises(UserError, match=words):
        load_examples(prepared, "synthetic", classes, (24, 24, 1))


def test_one_class_alone_and_no_labels_are_refused(prepared, monkeypatch):
    split = prepared.split("validation")
    for labels, words in (
        (np.full(30, 3, np.int32), "every usable image .* is 'happiness'"),
        (np.full(30, -1), "no labels"),
    ):
        changed = split.relabelled(split.classes, labels)
        monkeypatch.setattr(type(prepared), "split", lambda self, name, changed=changed: changed)
        with pytest.raises(UserError, match=words):
            load_examples(prepared, "synthetic", split.classes, (24, 24, 1), "validation")


def test_votes_are_joined_by_key(prepared, tmp_path):
    examples = load_examples(prepared, "synthetic", ("happy", "sad"), (24, 24, 1), "train")
    path = tmp_path / "votes.csv"
    keys = examples.keys[:3]
    path.write_text(f"key,sadness,happiness,unknown\n{keys[0]},2,6,2\n{keys[1]},5,0,5\n{keys[2]},0,0,10\n")
    found = with_votes(examples, path).columns
    np.testing.assert_allclose(found["votes"][:2], [[0.75, 0.25], [0, 1]])
    np.testing.assert_allclose(found["agreement"][:2], [0.6, 0.5])
    assert np.isnan(found["votes"][2:]).all() and np.isnan(found["agreement"][2:]).all()
    path.write_text("key,happiness\nnobody,3\n")
    assert "votes" not in with_votes(examples, path).columns
    path.write_text(f"key,happiness\n{keys[0]},3\n")
    with pytest.raises(UserError, match="no column for sad of synthetic"):
        with_votes(examples, path)
    path.write_text("name,count\na,1\n")
    with pytest.raises(UserError, match="has neither a column 'key' nor FER"):
        with_votes(examples, path)


def test_fer_plus_tables_are_joined_by_row(prepared, tmp_path):
    names = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    path = tmp_path / "fer2013new.csv"
    path.write_text(names + "Training,a.png,0,7,0,3,0,0,0,0,0,0\nPublicTest,b.png,1,1,0,8,0,0,0,0,0,0\n")
    examples = load_examples(prepared, "synthetic", ("happy", "sad"), (24, 24, 1), "train")
    keys = np.array([f"row{i}" for i in range(3, 3 + len(examples))])  # row3 is the second image, of PublicTest
    found = with_votes(replace(examples, keys=keys), path).columns
    np.testing.assert_allclose(found["votes"][0], [1 / 9, 8 / 9])
    assert found["agreement"][0] == pytest.approx(0.8) and np.isnan(found["agreement"][1:]).all()
