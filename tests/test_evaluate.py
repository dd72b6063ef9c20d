import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import batches_of, collect, collect_outputs, evaluate, write_json
from expressnet_jax.evaluation.metrics import classification_metrics

CLASSES = ("dark", "middle", "bright")


def by_brightness(images):
    """uint8[B,H,W,C] -> float32[B,3]: the nearer the mean is to 0, 128 or 255, the likelier the class."""
    mean = np.asarray(images, np.float32).mean((1, 2, 3))[:, None]
    weight = np.exp(-(((mean - np.array([0, 128, 255])) / 60) ** 2))
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 101)
    centre = np.array([30, 128, 220])[labels] + rng.normal(0, 40, 101)
    images = np.clip(centre[:, None, None, None] + rng.normal(0, 5, (101, 6, 5, 1)), 0, 255).astype(np.uint8)
    return images, labels


@pytest.mark.parametrize("batch_size", [1, 7, 64, 101, 300])
def test_every_example_comes_once_whatever_the_batch_size(examples, batch_size):
    images, labels = examples
    probabilities, collected, index = collect(by_brightness, batches_of(images, labels, batch_size))
    np.testing.assert_array_equal(index, np.arange(101))
    np.testing.assert_array_equal(collected, labels)
    np.testing.assert_allclose(probabilities, by_brightness(images), rtol=1e-6)


def test_outputs_by_name_come_from_one_look_at_each_batch(examples):
    images, labels = examples
    looks = []

    def predict(batch):
        looks.append(len(batch))
        return {"mean": batch.mean((1, 2, 3)), "class": by_brightness(batch), "unasked": None}

    found = collect_outputs(predict, ["class", "mean"], batches_of(images, labels, 32))
    assert len(looks) == 4 and list(found) == ["class", "mean"]
    np.testing.assert_allclose(found["mean"], images.mean((1, 2, 3)))
    np.testing.assert_allclose(found["class"], by_brightness(images), rtol=1e-6)


def test_figures_do_not_depend_on_the_padding(examples):
    small = evaluate(by_brightness, batches_of(*examples, 7), CLASSES)
    large = evaluate(by_brightness, batches_of(*examples, 64), CLASSES)
    assert small == large
    assert small == classification_metrics(by_brightness(examples[0]), examples[1], CLASSES)
    assert 0.5 < small["accuracy"] < 1


def test_batches_have_one_shape_and_mask_what_is_filled_up(examples):
    batches = list(batches_of(*examples, 64))
    assert [batch["inputs"].shape for batch in batches] == [(64, 6, 5, 1)] * 2
    assert batches[1]["mask"].sum() == 37 and not batches[1]["mask"][37:].any()
    assert batches[1]["inputs"].dtype == np.uint8 and batches[1]["label"].shape == (64,)


def test_order_of_the_batches_does_not_matter(examples):
    batches = list(batches_of(*examples, 7))
    forward, backward = collect(by_brightness, batches), collect(by_brightness, batches[::-1])
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_jax_function_gives_what_numpy_gives(examples):
    in_jax = lambda images: jnp.asarray(by_brightness(images))
    assert evaluate(in_jax, batches_of(*examples, 16), CLASSES) == evaluate(
        by_brightness, batches_of(*examples, 16), CLASSES
    )


def test_deduplicated_figures_are_those_without_the_leaked_examples(examples):
    images, labels = examples
    leaked = np.array([0, 3, 50, 100])
    figures = evaluate(by_brightness, batches_of(images, labels, 16), CLASSES, leaked=leaked)
    rest = np.setdiff1d(np.arange(101), leaked)
    expected = classification_metrics(by_brightness(images[rest]), labels[rest], CLASSES)
    assert figures["count"] == 101
    assert figures["deduplicated"] == expected and expected["count"] == 97


def test_without_an_audit_nothing_is_said_of_duplicates_and_an_empty_list_is_a_clean_bill(examples):
    assert "deduplicated" not in evaluate(by_brightness, batches_of(*examples, 16), CLASSES)
    clean = evaluate(by_brightness, batches_of(*examples, 16), CLASSES, leaked=[])
    assert clean["deduplicated"]["accuracy"] == clean["accuracy"]


def test_all_leaked_leaves_nothing(examples):
    assert evaluate(by_brightness, batches_of(*examples, 16), CLASSES, leaked=range(101))["deduplicated"] is None


def test_an_example_that_comes_twice_is_refused(examples):
    batches = list(batches_of(*examples, 64))
    with pytest.raises(UserError, match="example 0 comes twice"):
        collect(by_brightness, [*batches, batches[0]])


def test_bad_input_is_refused(examples):
    images, labels = examples
    with pytest.raises(UserError, match="nothing to evaluate"):
        collect(by_brightness, [])
    with pytest.raises(UserError, match="101 images but 5 labels"):
        batches_of(images, labels[:5], 8)
    with pytest.raises(UserError, match="batch size 0"):
        batches_of(images, labels, 0)
    with pytest.raises(UserError, match="one row an image"):
        collect(lambda batch: by_brightness(batch)[:-1], batches_of(images, labels, 8))


def test_json_is_whole_readable_and_keeps_its_order(tmp_path):
    content = {"b": np.float32(0.5), "a": np.eye(2, dtype=int), "text": "[\n 1\n]", "names": ["é", "x"], "empty": []}
    path = write_json(tmp_path / "new" / "result.json", content)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {**content, "b": 0.5, "a": [[1, 0], [0, 1]]}
    assert list(json.loads(text)) == list(content)
    assert "[1, 0]" in text and '["é", "x"]' in text
    assert os.listdir(path.parent) == ["result.json"]


def test_a_failed_write_leaves_the_older_file(tmp_path, monkeypatch):
    path = write_json(tmp_path / "result.json", {"accuracy": 0.5})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UserError, match=r"result\.json: cannot be written \(No space left on device\)"):
        write_json(path, {"accuracy": 0.6})
    assert json.loads(path.read_text()) == {"accuracy": 0.5}
    assert os.listdir(tmp_path) == ["result.json"]


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "result.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
