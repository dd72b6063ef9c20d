"""Every config that is shipped can be run: it loads, is complete, and says how."""

import importlib.util
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from expressnet_jax.config import augment_faces, classification_loss, default, flatten
from expressnet_jax.config_file import load_config
from expressnet_jax.config_values import check_values
from expressnet_jax.data.datasets import DATASETS
from expressnet_jax.data.datasets.synthetic import columns
from expressnet_jax.data.fields import Field, target_fields
from expressnet_jax.data.labels import BASIC
from expressnet_jax.errors import UserError
from expressnet_jax.tasks import TASKS
from expressnet_jax.training.mesh import make_mesh
from expressnet_jax.training.network import input_names, input_shape, make_model
from expressnet_jax.training.program import count_steps, make_program
from expressnet_jax.training.state import init_state
from expressnet_jax.training.step import make_multi_step
from expressnet_jax.training.targets import learned_fields, main_target, make_heads
from expressnet_jax.training.validate import check_config
from weights import SMALLER, TWO_STAGES

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
# The same code, traced in a tenth of the time.
SHALLOW = SMALLER | {f"expressnet_{size}": TWO_STAGES for size in ("tiny", "small", "base")}


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_says_with_which_command_it_is_run(path):
    text = load(path).__doc__
    commands = [
        " ".join(found) for found in re.findall(r"(expressnet prepare|python -m expressnet_jax\.main) ([^\n]*)", text)
    ]
    assert any(
        f"--config configs/{path.name}" in command.replace(":", " ") and "--workdir " in command for command in commands
    )
    config = load(path).get_config()
    needs_source = config.data.name != "synthetic"
    prepares = any(
        command.startswith("expressnet prepare") or "--config.data.source" in command for command in commands
    )
    assert prepares == needs_source


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_its_values_are_valid(path, monkeypatch):
    monkeypatch.setattr("expressnet_jax.training.validate.find_spec", lambda name: True)
    config = load(path).get_config()
    check_config(config, import_module(TASKS[config.task]).METRICS)
    assert config.data.name in DATASETS or "--name " + config.data.name in load(path).__doc__
    assert load(path).get_config().to_dict() == config.to_dict()
    with pytest.raises(AttributeError):
        config.train.batchsize = 3  # locked: a key that no run reads can't be set


def batch_shapes(config, split, fields):
    """The shapes of the arrays of one step in a call."""
    main, shape = main_target(config), input_shape(config, split)
    of_step = lambda shape, dtype: jax.ShapeDtypeStruct((1, config.train.batch_size, *shape), dtype)
    inputs = shape if isinstance(shape, dict) else {input_names(config)[0]: shape}
    batch = {name: of_step(each, np.uint8 if len(each) > 2 else np.float32) for name, each in inputs.items()}
    batch["index"] = of_step((), np.int32)
    votes = config.losses[main].soft_targets == "votes"
    batch[main] = of_step((len(BASIC),), np.float32) if votes else batch["index"]
    if "fer2013" in fields:
        batch["fer2013"] = batch["index"]
    return {name: of_step(field.shape, np.float32) for name, field in fields.items()} | batch


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_makes_a_plan_and_a_step_that_can_be_traced(path, array_split):
    config = load(path).get_config()
    options = config.model.options
    options.update({key: value for key, value in SHALLOW.get(config.model.name, {}).items() if key not in options})
    split = array_split(config.train.batch_size * 4, size=12)
    known = {"openface": (35,), "landmarks": (6, 3), "points": (20, 3), "tokens": (48,)}
    split.columns.update({name: np.zeros((len(split), *shape), np.float32) for name, shape in known.items()})
    split = replace(split, targets={"tokens": Field("tokens", (48,))})
    plan = count_steps(config, len(split))
    assert plan.total == round(config.train.epochs * 4) and plan.evaluate_every >= 1 and plan.save_every >= 1
    main = main_target(config)
    fields = {main: Field("class", (len(split.classes),), split.classes)}
    if config.data.name == "synthetic":
        known = {
            name: np.zeros((1, *shape))
            for name, (shape, dtype) in columns(config.data.frames).items()
            if dtype is not str
        }
        fields = target_fields(split.classes, known)
    elif config.data.name == "ferplus":
        fields |= {"fer2013": Field("class", (7,), BASIC), "landmarks": Field("points", (6, 2))}
        fields |= {"blendshapes": Field("vector", (4,))}
        split = replace(split, columns={"fer2013": split.labels})
    elif "action_units" in config.losses:
        fields |= {"action_units": Field("multilabel", (12,))}
    elif "blendshapes" in config.losses:
        fields |= {"blendshapes": Field("vector", (4,))}
    elif config.data.name == "goemotions":
        fields |= {"emotions": Field("multilabel", (7,), BASIC)}
    model = make_model(config, make_heads(config, learned_fields(config, fields)))
    program = make_program(config, model, fields, split, plan)
    state = jax.eval_shape(
        lambda: init_state(program.init_fn, program.optimizer, make_mesh(), ema=config.optimizer.ema > 0)
    )
    batch = batch_shapes(config, split, fields)
    for _, phase in program.phases:
        after, metrics = jax.eval_shape(make_multi_step(phase), state, None, batch)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), state
        )
        assert {name: leaf.shape for name, leaf in metrics.items()} == dict.fromkeys(metrics, (1,))


def test_there_are_configs():
    assert {"quickstart", "fer2013", "plain_cnn_fer2013"} <= {path.stem for path in CONFIGS}


def test_the_defaults_are_valid_and_locked():
    check_values(default())
    with pytest.raises(AttributeError):
        default().model.nmae = "x"


@pytest.mark.parametrize("size", [48, 64, 100, 224])
def test_the_face_augmentation_fits_its_size(size):
    config = default()
    config.data.size = size
    augment_faces(config)
    assert config.augment.crop + 2 * config.augment.pad == size and config.augment.crop % 4 == 0
    check_config(config)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("ferplus_heads", "small, tiny"),
        ("meld_faces", "both"),
        ("geometry_ict", "pointnet"),
        ("action_units", "bp4d"),
        ("landmarks_fer2013", "landmark_mlp"),
        ("speedrun_fer2013", "gpu"),
    ],
)
def test_a_wrong_word_after_the_colon_is_refused(name, right):
    with pytest.raises(UserError, match=f"no form 'tinny'; one of {right}"):
        load_config(Path(__file__).parents[1] / f"configs/{name}.py:tinny")


def test_flatten():
    assert flatten({"a": 1, "b": {"c": {"d": 2}, "e": {}}}) == {"a": 1, "b.c.d": 2}


@pytest.mark.parametrize("key", ["train.epochs", "optimizer.clip", "augment.zoom"])
def test_not_a_number_is_refused_for_every_key(key):
    config = default()
    config.update_from_flattened_dict({key: float("nan")})
    with pytest.raises(UserError, match=key):
        check_values(config)


WRONG_VALUES = {
    "train.epochs: inf; it must be a finite number": {"train.epochs": float("inf")},
    "train.progressive_sizes: 'a'; it must be": {"train.progressive_sizes": ("a",), "train.progressive_until": (0.5,)},
    "losses.expression.weight: 'None'; it must be a number": {"losses.expression.weight": "None"},
    "losses.expression.label_smoothing: 'abc'; it must be a number": {"losses.expression.label_smoothing": "abc"},
    "losses.points.beta: True; it must be a number": {"losses.points": {"loss": "smooth_l1", "beta": True}},
    "losses.points.beta: 0.0; it must be above 0": {"losses.points": {"loss": "smooth_l1", "beta": 0.0}},
    "losses.expression.label_smoothing: 1.5; .* at most 1": {"losses.expression.label_smoothing": 1.5},
    "evals.lfw: 3; it takes data and split alone": {"evals.lfw": 3},
    r"evals.lfw: {.*'splits': 'test'.*}; it takes data and split": {"evals.lfw": {"data": "lfw", "splits": "test"}},
    "evals.lfw: belongs to task=classification": {
        "task": "identity",
        "losses": ConfigDict({"identity": classification_loss()}),
        "evals.lfw": {"data": "lfw"},
    },
}


@pytest.mark.parametrize("message", WRONG_VALUES)
def test_a_value_of_another_kind_is_refused_before_data_is_read(message):
    config = default()
    config.unlock()
    for key, value in WRONG_VALUES[message].items():
        *groups, name = key.split(".")
        section = config
        for group in groups:
            section = section[group]
        with section.ignore_type():
            section[name] = value
    with pytest.raises(UserError, match=message):
        check_config(config)
