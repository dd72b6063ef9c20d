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
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.pipeline import Feed, OrderedBatches, choose_reader, make_feed, ordered_batches
from expressnet_jax.data.prepare import Prepared, Split
from expressnet_jax.data.readers import hold
from expressnet_jax.data.remarks import remarks
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.tta import TTA
from expressnet_jax.process import expanded
from expressnet_jax.training.data_identity import Learned
from expressnet_jax.training.feature_losses import JointLoss, make_distance
from expressnet_jax.training.network import compute_dtype, image_shape, make_model
from expressnet_jax.training.objectives import MARGINS, make_objective, rebalance
from expressnet_jax.training.optimizers import make_optimizer, make_schedule

TARGETS = ("label", "votes", "both")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1")  # what can select the best checkpoint; the highest wins


class Plan(NamedTuple):
    """A run in steps."""

    total: int
    per_epoch: float
    evaluate_every: int
    save_every: int
    log_every: int
    per_dispatch: int


class Data(NamedTuple):
    """What a run learns from and what selects its best checkpoint."""

    prepared: Prepared
    chosen: selection.Chosen
    audit: dict[str, Any] | None

    def pictures(self, image_shape: tuple[int, int, int], most: int = 256) -> np.ndarray:
        """The first selection pictures, uint8[n,H,W,C]."""
        first = self.chosen.select.subset(np.arange(min(most, len(self.chosen.select))))
        return decode_all(first, image_shape[0], image_shape[2])

    @property
    def learned(self) -> Learned:
        """What is recorded of the data in every checkpoint."""
        return Learned(self.prepared, self.chosen.train_name, self.chosen.train, self.chosen.select)

    @property
    def leaked(self) -> list[int] | None:
        """Selection examples with a near-duplicate in train; None without an audit or an official selection split."""
        known = self.audit is not None and self.chosen.select_name in self.audit["leaked"]
        return self.audit["leaked"][self.chosen.select_name] if known else None


def check(config: ConfigDict, metrics: Sequence[str] = METRICS) -> None:
    """Raises UserError for anything wrong that needs no data to see. Nothing is read, compiled or written.

    `metrics` are what can choose the best checkpoint of the task.
    """
    check_values(config)
    shape = image_shape(config)
    compute_dtype(config.train.dtype)
    check_targets(config)
    choose_reader(config.data.reader, 0)
    make_schedule(config.optimizer.schedule, 0.1, 10)
    make_optimizer(config.optimizer.name, optax.constant_schedule(0.1))
    make_objective(config.loss.name, rebalance=rebalance(config.loss.rebalance, np.ones(2)))
    if config.optimizer.schedule == "plateau" and config.optimizer.decay_factor >= 1:
        raise UserError(f"optimizer.decay_factor: {config.optimizer.decay_factor} lowers nothing; use less than 1")
    check_model(config, shape)
    if (config.loss.name in MARGINS) != (config.model.head == "cosine"):
        raise UserError(
            f"loss.name: {config.loss.name} with model.head {config.model.head}; {' and '.join(MARGINS)} go with"
            " model.head=cosine, the others with linear"
        )
    joint_loss(config)
    if config.augment.alternate and (config.augment.flip or config.data.balance):
        raise UserError("augment.alternate: mirrors by epoch; it needs augment.flip=0 and data.balance=0")
    for key, valid in (("metric", metrics), ("tta", TTA)):
        if config.eval[key] not in valid:
            raise UserError(f"eval.{key}: no {config.eval[key]!r}; one of {', '.join(valid)}")
    _check_package("export", config.export, "jax2onnx", "jax2onnx onnx")
    _check_package("log.tensorboard", config.log.tensorboard, "tensorboardX", "'expressnet-jax[tensorboard]'")


def _check_package(key: str, wanted: str | bool, package: str, install: str) -> None:
    if wanted and not find_spec(package):
        raise UserError(f"{key}: needs {package}; pip install {install}, or switch {key} off")


def check_model(config: ConfigDict, shape: tuple[int, int, int]) -> None:
    """The network can be built. If it is trained on crops and evaluated on whole pictures, they have the same size to
    its parameters.

    Raises:
      UserError: one of them is not so; the line begins with the key.
    """
    model, (size, _, channels), crop = make_model(config, 2), shape, config.augment.crop
    if crop > size:
        raise UserError(f"augment.crop: {crop} pixels do not fit into pictures of data.size {size}")
    sizes, until = config.train.grow_sizes, config.train.grow_until
    if len(sizes) != len(until) or list(until) != sorted(until):
        raise UserError(
            f"train.grow_sizes: {sizes}; give one share of the run for each in grow_until, rising, not {until}"
        )
    seen = [("augment.crop", crop), ("augment.resize", config.augment.resize)]
    seen = [(key, side) for key, side in [*seen, *(("train.grow_sizes", side) for side in sizes)] if side]
    for key, side in seen:
        if side < SMALLEST_SEEN:
            raise UserError(f"{key}: {side} pixels are too few; give at least {SMALLEST_SEEN}")
    shapes = lambda side: jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, side, side, channels)))
    try:
        whole = shapes(size)
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        given = config.model.options.to_dict()
        raise UserError(f"model.options: no {config.model.name} can be built with {given} ({error})") from error
    for key, side in seen:
        if shapes(side) != whole:
            raise UserError(f"{key}: this model takes pictures of one size only; leave out {key}={side}")


def load_data(config: ConfigDict) -> Data:
    """The prepared data set of a config, its two splits and its audit. Generated faces are prepared on first use."""
    data = config.data
    prepared = find_prepared(config, data.name, data.source, key="data.name")
    names = ("train_split", "select_split", "holdout", "folds", "fold", "drop_leaks")
    chosen = selection.choose(prepared, **{name: data[name] for name in names}, seed=config.seed)
    return Data(prepared, chosen, audit.load_audit(prepared))


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


def make_plan(config: ConfigDict, num_examples: int) -> Plan:
    """Epochs to steps. Several steps a dispatch only where the device is faster than Python, that is not on a CPU."""
    batch = config.train.batch_size
    if batch > num_examples:
        raise UserError(f"train.batch_size: {batch} is more than the {num_examples} training examples")
    per_epoch = num_examples / batch
    steps = lambda epochs: max(round(epochs * per_epoch), 1)
    total = steps(config.train.epochs)
    per_dispatch = config.train.steps_per_dispatch or (1 if jax.default_backend() == "cpu" else best_divisor(total))
    return Plan(
        total,
        per_epoch,
        steps(config.eval.every_epochs),
        steps(config.checkpoint.every_epochs),
        config.log.every_steps,
        per_dispatch,
    )


def best_divisor(total: int, most: int = 32, least: int = 8) -> int:
    """The largest number of steps a dispatch that divides the run, so that its last dispatch needs no compiling."""
    return next((n for n in range(most, least - 1, -1) if total % n == 0), most // 2)


def make_feeds(config: ConfigDict, data: Data, plan: Plan, mesh: Mesh) -> tuple[Feed, OrderedBatches]:
    """The training batches and the selection batches."""
    train, batch = data.chosen.train, config.train.batch_size
    sampler = (
        sampling.Balanced(train.labels, batch, config.seed, config.data.balance)
        if config.data.balance
        else sampling.Uniform(len(train), batch, config.seed)
    )
    pictures = {"size": config.data.size, "channels": config.data.channels, "threads": config.data.threads}
    feed = make_feed(
        train,
        sampler,
        mesh,
        num_steps=plan.total,
        steps_per_dispatch=plan.per_dispatch,
        reader=config.data.reader,
        votes=soft_targets(config, train),
        **pictures,
    )
    return feed, evaluation_batches(config, data.chosen.select, mesh)


def evaluation_batches(config: ConfigDict, split: Split, mesh: Mesh) -> OrderedBatches:
    """A split in batches of about eval.batch_size that the mesh divides evenly."""
    parts = mesh.shape["data"]
    rounded = -(-min(config.eval.batch_size, max(len(split), 1)) // parts) * parts
    pictures = {"size": config.data.size, "channels": config.data.channels, "threads": config.data.threads}
    return ordered_batches(split, rounded, shared=True, **pictures)


def soft_targets(config: ConfigDict, split: Split) -> np.ndarray | None:
    """float32[N,K]: the votes, or the mean of them and the label; None where the label alone is learned.

    Raises:
      UserError: votes of a split that has none.
    """
    targets = check_targets(config)
    if targets == "label":
        return None
    if split.votes is None:
        raise UserError(f"loss.targets: {config.data.name} has no votes; use loss.targets=label")
    labels = np.eye(len(split.classes), dtype=np.float32)[split.labels]
    return split.votes if targets == "votes" else (split.votes + labels) / 2


def joint_loss(config: ConfigDict) -> JointLoss | None:
    """The terms beside the classification loss and their weights; None where there are none.

    Raises:
      UserError: an unknown distance, or terms that the task or the head has no use for.
    """
    loss, plain = config.loss, {"distance": "none", "regularisation_weight": 0.0, "classification_weight": 1.0}
    options = {"center_rate": loss.center_rate, "island_weight": loss.island_weight, "margin": loss.distance_margin}
    distance = make_distance(loss.distance, **options)
    changed = [key for key, value in plain.items() if loss[key] != value]
    if not changed:
        return None
    if config.task != "classification":
        raise UserError(
            f"loss.{changed[0]}: belongs to classification, not to {config.task}; leave it at {plain[changed[0]]}"
        )
    if loss.distance in ("center", "island") and config.model.head == "cosine":
        raise UserError(
            f"loss.distance: {loss.distance} would shrink features whose length model.head=cosine does not see; use"
            " joint or none"
        )
    return JointLoss(distance, loss.classification_weight, loss.regularisation_weight, loss.distance_weight)


def check_targets(config: ConfigDict) -> str:
    """loss.targets, if it is one of those there are."""
    if config.loss.targets not in TARGETS:
        raise UserError(f"loss.targets: no {config.loss.targets!r}; one of {', '.join(TARGETS)}")
    return config.loss.targets
