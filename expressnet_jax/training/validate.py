"""Refuse a config that no run can use, before any data is read and anything compiles."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from expressnet_jax.config import SMALLEST_SEEN
from expressnet_jax.config_values import check_values
from expressnet_jax.data.augment import POINT_GEOMETRIES, VISUAL
from expressnet_jax.data.pipeline import choose_reader
from expressnet_jax.data.sound_augment import SOUND_AUGMENTATIONS
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.tta import TTA, check_views
from expressnet_jax.models.network import Network, Shape, zero_inputs
from expressnet_jax.models.registry import input_kind
from expressnet_jax.trackers import TRACKERS
from expressnet_jax.training.network import (
    column_names,
    compute_dtype,
    input_names,
    input_shape,
    make_model,
    media_shapes,
)
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.targets import check_losses, further_metrics, selecting_metric

# What can select the best checkpoint; the highest wins.
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")


def check_config(config: ConfigDict, metrics: Sequence[str] = METRICS) -> None:
    """Raise UserError for anything wrong that needs no data to see. Nothing is read, compiled or written.

    `metrics` are what can choose the best checkpoint of the task.
    """
    check_values(config)
    media_shapes(config)
    compute_dtype(config.train.dtype)
    choose_reader(config.data.reader, 0)
    make_schedule(config.optimizer.schedule, 0.1, 10)
    make_optimizer(config.optimizer.name, optax.constant_schedule(0.1))
    check_losses(config)
    _check_evals(config)
    if config.optimizer.schedule == "plateau" and config.optimizer.decay_factor >= 1:
        raise UserError(f"optimizer.decay_factor: {config.optimizer.decay_factor} lowers nothing; use less than 1")
    make_model(config, 2)
    if not column_names(config):
        check_model(config, input_shape(config))
    check_kinds(config)
    if config.augment.alternating_flip and (config.augment.flip or config.data.balance):
        raise UserError("augment.alternating_flip: mirrors by epoch; it needs augment.flip=0 and data.balance=0")
    valid = (*metrics, *further_metrics(config, metrics))
    for key, value, names in (("metric", selecting_metric(config), valid), ("tta", config.eval.tta, TTA)):
        if value not in names:
            raise UserError(f"eval.{key}: no {config.eval[key]!r}; one of {', '.join(names)}")
    for name, tracker in TRACKERS.items():
        _check_package(f"log.{name}", config.log[name], tracker.package, f"'expressnet-jax[{tracker.extra}]'")


def _check_evals(config: ConfigDict) -> None:
    """Raise UserError for a further data set that is described by other keys than those that a run reads."""
    for name, wanted in config.evals.to_dict().items():
        valid = isinstance(wanted, dict) and all(isinstance(value, str) for value in wanted.values())
        if not valid or wanted.keys() - {"data", "split"}:
            example = '{"data": "lfw_expression", "split": "all"}'
            raise UserError(
                f"evals.{name}: {wanted}; it takes data and split alone, as in config.evals.{name} = {example}"
            )
        if config.task != "classification":
            raise UserError(f"evals.{name}: belongs to task=classification, not to {config.task}; remove it")


def _check_package(key: str, wanted: str | bool, package: str, install: str) -> None:
    if wanted and not find_spec(package):
        raise UserError(f"{key}: needs {package}; pip install {install}, or switch {key} off")


def check_kinds(config: ConfigDict) -> None:
    """Raise UserError for a setting that is not about what the network takes."""
    names, augment = input_names(config), config.augment.to_dict()
    visual = any(name in VISUAL for name in names)
    models = [config.model.name, *(given["name"] for given in config.model.encoders.to_dict().values())]
    about_points = POINT_GEOMETRIES if any(input_kind(name) == "points" for name in models) else ()
    about_images = [name for name in augment if name not in (*SOUND_AUGMENTATIONS, *about_points, "mixup")]
    for kind, present, keys in (("images", visual, about_images), ("sound", "waveform" in names, SOUND_AUGMENTATIONS)):
        if not present and (wrong := next((key for key in keys if augment[key]), None)):
            raise UserError(f"augment.{wrong}: changes {kind}, but the network takes {', '.join(names)}; leave it out")
    if config.augment.mixup and (tokens := [name for name in names if name == "tokens"]):
        raise UserError(f"augment.mixup: there is nothing between two texts, and the network takes {tokens[0]}; use 0")
    check_views(names, config.eval.tta, "eval.tta")


def check_model(config: ConfigDict, shape: Shape) -> None:
    """Check that the network can be built. If it is trained on crops and evaluated on whole images, they have the same
    size to its parameters.

    Raises:
      UserError: one of them is not so; the line begins with the key.
    """
    model = make_model(config, 2)
    if not isinstance(shape, tuple) or len(shape) < 3:
        _initial_shapes(config, model, shape)
        return
    (*frames, size, _, channels), crop = shape, config.augment.crop
    if crop > size:
        raise UserError(f"augment.crop: {crop} pixels do not fit into images of data.size {size}")
    sizes, until = config.train.progressive_sizes, config.train.progressive_until
    if len(sizes) != len(until) or list(until) != sorted(until):
        raise UserError(
            f"train.progressive_sizes: {sizes}; give one share of the run for each in progressive_until, rising, not"
            f" {until}"
        )
    seen = [("augment.crop", crop), ("augment.resize", config.augment.resize)]
    seen = [(key, side) for key, side in [*seen, *(("train.progressive_sizes", side) for side in sizes)] if side]
    for key, side in seen:
        if side < SMALLEST_SEEN:
            raise UserError(f"{key}: {side} pixels are too few; give at least {SMALLEST_SEEN}")
    shapes = lambda side: _initial_shapes(config, model, (*frames, side, side, channels))
    whole = shapes(size)
    for key, side in seen:
        if shapes(side) != whole:
            raise UserError(f"{key}: this model takes images of one size only; leave out {key}={side}")


def _initial_shapes(config: ConfigDict, model: Network, shape: Shape) -> Any:
    """Return the shapes of a network's parameters.

    Raises:
      UserError: it can't be built for such inputs.
    """
    try:
        return jax.eval_shape(lambda: model.init(jax.random.key(0), zero_inputs(shape)))
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        given = config.model.options.to_dict()
        raise UserError(f"model.options: no {config.model.name} can be built with {given} ({error})") from error
