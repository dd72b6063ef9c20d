"""What a run takes over from a checkpoint: sizes, channels, classes, and what does not fit."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.models.network import Head
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.checkpoints.transfer import transfer_weights
from weights import drawn_weights, logits

logits_of = jax.jit(logits, static_argnums=0)
OPTIONS = {"widths": (4, 8), "depths": (1, 1), "stem_width": 4}
CLASSES = ("anger", "happy", "neutral")


def checkpoint_of(name="expressnet_tiny", shape=(32, 32, 1), classes=CLASSES, head="linear", **options):
    model = create_model(name, {"expression": Head((len(classes),), head)}, **options)
    variables = drawn_weights(model, (1, *shape), seed=5)
    metadata = {"model": {"name": name, "options": options}, "classes": list(classes), "image_shape": list(shape)}
    return Checkpoint(Path("runs/old"), 3, model, dict(variables), metadata)


def moved(checkpoint, *, classes=CLASSES, shape=(32, 32, 1), head="linear", **wanted):
    wanted = {**checkpoint.metadata["model"], **wanted}
    model = create_model(wanted["name"], {"expression": Head((len(classes),), head)}, **wanted["options"])
    return model, transfer_weights(checkpoint, wanted, model, classes, shape, seed=1)


IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1)).astype(np.float32)


def test_the_same_network_for_the_same_classes_is_the_same_function():
    old = checkpoint_of(**OPTIONS)
    model, new = moved(old)
    np.testing.assert_array_equal(logits_of(model, new, IMAGES), logits_of(old.model, old.variables, IMAGES))


def test_gray_becomes_rgb_and_back_with_the_same_answer_to_gray_images():
    gray = checkpoint_of(**OPTIONS)
    rgb_model, rgb = moved(gray, shape=(32, 32, 3))
    expected = logits_of(gray.model, gray.variables, IMAGES)
    np.testing.assert_allclose(logits_of(rgb_model, rgb, np.repeat(IMAGES, 3, -1)), expected, rtol=1e-4, atol=1e-5)
    coloured = gray._replace(model=rgb_model, variables=rgb)
    model, back = moved(coloured)
    np.testing.assert_allclose(logits_of(model, back, IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_columns_of_the_head_move_by_the_meaning_of_their_name():
    old = checkpoint_of(**OPTIONS)
    model, new = moved(old, classes=("neutral", "fear", "happiness"))
    before, after = jax.device_get((old.variables["params"]["head"], new["params"]["head"]))
    np.testing.assert_array_equal(after["kernel"][:, [0, 2]], before["kernel"][:, [2, 1]])
    np.testing.assert_array_equal(after["bias"][[0, 2]], before["bias"][[2, 1]])
    draw = lambda key: model.init(key, jnp.zeros((1, 32, 32, 1)))["params"]["head"]
    fresh = jax.jit(draw)(jax.random.key(1))
    np.testing.assert_array_equal(after["kernel"][:, 1], fresh["kernel"][:, 1])


def test_another_kind_of_head_begins_anew():
    people = checkpoint_of(head="cosine", classes=("an", "bo"), **OPTIONS)
    _, new = moved(people, classes=("anger", "fear"))
    assert new["params"]["head"]["kernel"].shape == (12, 2) and "bias" in new["params"]["head"]
    same = jax.tree.map(np.array_equal, new["params"]["backbone"], people.variables["params"]["backbone"])
    assert all(jax.tree.leaves(same))


def test_other_image_sizes_where_the_network_averages_over_positions():
    old = checkpoint_of(**OPTIONS)
    model, new = moved(old, shape=(100, 100, 1))
    assert logits_of(model, new, np.zeros((1, 100, 100, 1))).shape == (1, 3)


def test_what_does_not_fit_is_one_line_with_the_remedy():
    old = checkpoint_of(**OPTIONS)
    with pytest.raises(UserError, match=r"is a expressnet_tiny, not a resnet18; use --config.model.name=expressnet_"):
        moved(old, name="resnet18", options={})
    with pytest.raises(UserError, match=r"has model.options \{.*\(4, 8\).*\}, the config"):
        moved(old, options=OPTIONS | {"widths": (4, 16)})
    with pytest.raises(UserError, match=r"is for inputs of 48x48x1, and its .* is \(.*use the same data.size"):
        moved(checkpoint_of("plain_cnn", (48, 48, 1)), shape=(64, 64, 1))
