"""Refuse a config that no run can use, before any data is read and anything compiles."""

from collections.abc import Sequence
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from expressnet_jax.config import SMALLEST_SEEN, check_values
from expressnet_jax.data.pipeline import choose_reader
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.tta import TTA
from expressnet_jax.training.network import compute_dtype, image_shape, make_model
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.targets import check_losses, further_metrics, selecting_metric

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")  # what can select the best checkpoint; the highest wins


def check_config(config: ConfigDict, metrics: Sequence[str] = METRICS) -> None:
    """Raises UserError for anything wrong that needs no data to see. Nothing is read, compiled or written.

    `metrics` are what can choose the best checkpoint of the task.
    """
    check_values(config)
    shape = image_shape(config)
    compute_dtype(config.train.dtype)
    choose_reader(config.data.reader, 0)
    make_schedule(config.optimizer.schedule, 0.1, 10)
    make_optimizer(config.optimizer.name, optax.constant_schedule(0.1))
    check_losses(config)
    if config.optimizer.schedule == "plateau" and config.optimizer.decay_factor >= 1:
        raise UserError(f"optimizer.decay_factor: {config.optimizer.decay_factor} lowers nothing; use less than 1")
    check_model(config, shape)
    if config.augment.alternating_flip and (config.augment.flip or config.data.balance):
        raise UserError("augment.alternating_flip: mirrors by epoch; it needs augment.flip=0 and data.balance=0")
    valid = (*metrics, *further_metrics(config, metrics))
    for key, value, names in (("metric", selecting_metric(config), valid), ("tta", config.eval.tta, TTA)):
        if value not in names:
            raise UserError(f"eval.{key}: no {config.eval[key]!r}; one of {', '.join(names)}")
    _check_package("log.tensorboard", config.log.tensorboard, "tensorboardX", "'expressnet-jax[tensorboard]'")


def _check_package(key: str, wanted: str | bool, package: str, install: str) -> None:
    if wanted and not find_spec(package):
        raise UserError(f"{key}: needs {package}; pip install {install}, or switch {key} off")


def check_model(config: ConfigDict, shape: tuple[int, ...]) -> None:
    """The network can be built. If it is trained on crops and evaluated on whole images, they have the same size to
    its parameters.

    Raises:
      UserError: one of them is not so; the line begins with the key.
    """
    model, (*frames, size, _, channels), crop = make_model(config, 2), shape, config.augment.crop
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
    shapes = lambda side: jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *frames, side, side, channels)))
    try:
        whole = shapes(size)
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        given = config.model.options.to_dict()
        raise UserError(f"model.options: no {config.model.name} can be built with {given} ({error})") from error
    for key, side in seen:
        if shapes(side) != whole:
            raise UserError(f"{key}: this model takes images of one size only; leave out {key}={side}")
