"""From a config to the parts of a run. Everything that can be wrong is found here, before anything compiles."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from expressnet_jax.config import SMALLEST_SEEN, check_values
from expressnet_jax.data import audit, prepare, sampling, selection
from expressnet_jax.data.datasets import DATASETS
from expressnet_jax.data.decode import decode_examples
from expressnet_jax.data.fields import Field
from expressnet_jax.data.pipeline import EvalLoader, TrainLoader, choose_reader, make_eval_batches, make_train_loader
from expressnet_jax.data.prepare import Prepared, Split
from expressnet_jax.data.readers import hold
from expressnet_jax.data.remarks import remarks
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.tta import TTA
from expressnet_jax.process import expanded
from expressnet_jax.training.data_identity import Learned
from expressnet_jax.training.network import compute_dtype, image_shape, make_model
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.targets import check_losses, further_metrics, selecting_metric, split_fields, target_arrays

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")  # what can select the best checkpoint; the highest wins


class StepCounts(NamedTuple):
    """A run in steps."""

    total: int
    per_epoch: float
    evaluate_every: int
    save_every: int
    log_every: int
    steps_per_call: int


class TrainData(NamedTuple):
    """What a run learns from and what selects its best checkpoint."""

    prepared: Prepared
    chosen: selection.Splits
    audit: dict[str, Any] | None

    def sample_images(self, image_shape: tuple[int, ...], most: int = 256) -> np.ndarray:
        """Return the first selection images or clips, uint8[n,*image_shape]."""
        first = self.chosen.select.subset(np.arange(min(most, len(self.chosen.select))))
        return decode_examples(first, image_shape)

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) of the stored images, the largest where they differ."""
        facts = self.prepared.facts["splits"][self.chosen.train_name]
        return facts["height"][1], facts["width"][1]

    def fields(self, main: str) -> dict[str, Field]:
        """Every target of the training split by name; its class is called `main`."""
        return split_fields(self.chosen.train, self.prepared.facts.get("notes"), main)

    @property
    def learned(self) -> Learned:
        """What is recorded of the data in every checkpoint."""
        return Learned(self.prepared, self.chosen.train_name, self.chosen.train, self.chosen.select)

    @property
    def leaked(self) -> list[int] | None:
        """Selection examples with a near-duplicate in train; None without an audit or an official selection split."""
        known = self.audit is not None and self.chosen.select_name in self.audit["leaked"]
        return self.audit["leaked"][self.chosen.select_name] if known else None  # type: ignore[index]


def check(config: ConfigDict, metrics: Sequence[str] = METRICS) -> None:
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


def load_data(config: ConfigDict) -> TrainData:
    """The prepared data set of a config, its two splits and its audit. Generated faces are prepared on first use."""
    data = config.data
    prepared = find_prepared(config, data.name, data.source, key="data.name")
    stored = prepared.facts["notes"].get("frames", 0)
    if stored != data.frames:
        holds = f"clips of {stored} frames" if stored else "images, no clips"
        raise UserError(
            f"data.frames: {data.frames}, but {prepared.name} holds {holds}; use --config.data.frames={stored}"
        )
    names = ("train_split", "validation_split", "holdout", "folds", "fold", "drop_leaks")
    chosen = selection.select_splits(prepared, **{name: data[name] for name in names}, seed=config.seed)
    return TrainData(prepared, chosen, audit.load_audit(prepared))


def find_prepared(config: ConfigDict, name: str, source: str = "", *, key: str) -> Prepared:
    """The data set of that name in the config's data folder; prepared now from `source`, or if its faces are generated.

    Raises:
      UserError: there is none; the line begins with `key`.
    """
    folder = expanded(config.data.dir) if config.data.dir else prepare.default_data_dir()
    plain = name.partition("@")[0]
    if plain not in DATASETS and not (folder / plain).is_dir():
        own = "or what `expressnet prepare folder --source PATH --name NAME` has stored"
        raise UserError(f"{key}: no data set {name!r} in {folder}; one of {', '.join(DATASETS)}, {own}")
    if name == "synthetic" or (source and plain == name):
        options = {"skip_bad": config.data.skip_bad} | config.data.options.to_dict()
        prepared = hold(prepare.prepare(name, Path(source) if source else None, folder, **options))
        for line in remarks(prepared.name, prepared.facts["notes"]):
            print(line, file=sys.stderr)
        return prepared
    return hold(prepare.load(name, folder))


def count_steps(config: ConfigDict, num_examples: int) -> StepCounts:
    """Epochs to steps. Several steps a dispatch only where the device is faster than Python, that is not on a CPU."""
    batch = config.train.batch_size
    if batch > num_examples:
        raise UserError(f"train.batch_size: {batch} is more than the {num_examples} training examples")
    per_epoch = num_examples / batch
    steps = lambda epochs: max(round(epochs * per_epoch), 1)
    total = steps(config.train.epochs)
    steps_per_call = config.train.steps_per_call or (1 if jax.default_backend() == "cpu" else best_divisor(total))
    return StepCounts(
        total,
        per_epoch,
        steps(config.eval.every_epochs),
        steps(config.checkpoint.every_epochs),
        config.log.every_steps,
        steps_per_call,
    )


def best_divisor(total: int, most: int = 32, least: int = 8) -> int:
    """The largest number of steps a dispatch that divides the run, so that its last dispatch needs no compiling."""
    return next((n for n in range(most, least - 1, -1) if total % n == 0), most // 2)


def make_loaders(config: ConfigDict, data: TrainData, plan: StepCounts, mesh: Mesh) -> tuple[TrainLoader, EvalLoader]:
    """The training batches and the selection batches."""
    train, batch = data.chosen.train, config.train.batch_size
    sampler = (
        sampling.Balanced(train.labels, batch, config.seed, config.data.balance)
        if config.data.balance
        else sampling.Uniform(len(train), batch, config.seed)
    )
    images = {"shape": image_shape(config), "threads": config.data.threads}
    feed = make_train_loader(
        train,
        sampler,
        mesh,
        num_steps=plan.total,
        steps_per_call=plan.steps_per_call,
        reader=config.data.reader,
        targets=target_arrays(config, train, data.stored_size),
        **images,
    )
    return feed, make_eval_loader(config, data.chosen.select, mesh)


def make_eval_loader(config: ConfigDict, split: Split, mesh: Mesh) -> EvalLoader:
    """A split in batches of about eval.batch_size that the mesh divides evenly."""
    parts = mesh.shape["data"]
    rounded = -(-min(config.eval.batch_size, max(len(split), 1)) // parts) * parts
    images = {"shape": image_shape(config), "threads": config.data.threads}
    return make_eval_batches(split, rounded, shared=True, **images)
