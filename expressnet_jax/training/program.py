"""From a config to the functions of a run: objective, optimizer, and a training step for each of its phases."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import optax
from jax import Array
from ml_collections import ConfigDict

from expressnet_jax.data.fields import Field
from expressnet_jax.data.prepared import Split
from expressnet_jax.errors import UserError
from expressnet_jax.models.inspect import layer_order
from expressnet_jax.models.network import Network, Shape, zero_inputs
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.forward import check_maps
from expressnet_jax.training.losses.base import init_losses
from expressnet_jax.training.network import input_shape, pretrained_variables
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.optimizers.freezing import TrainableMask, gradual_unfreezing, intersect, trainable_except
from expressnet_jax.training.state import InitialVariables, make_init_fn
from expressnet_jax.training.step import LossProgram, TrainStep, make_train_step, supervised
from expressnet_jax.training.targets import build_losses, class_labels, main_target


class StepCounts(NamedTuple):
    """A run in steps."""

    total: int
    per_epoch: float
    evaluate_every: int
    save_every: int
    log_every: int
    steps_per_call: int


class TrainProgram(NamedTuple):
    """The functions of a run.

    Attributes:
      init_fn: key -> what the state is born with.
      pretrained: the variables that take the drawn ones' place, or None.
      phases: training steps, each with the number of the step from which on it serves.
    """

    model: Network
    optimizer: optax.GradientTransformationExtraArgs
    init_fn: Callable[[jax.Array], InitialVariables]
    pretrained: dict[str, Any] | None
    phases: tuple[tuple[int, TrainStep], ...]


def make_program(
    config: ConfigDict,
    model: Network,
    fields: Mapping[str, Field],
    train: Split,
    plan: StepCounts,
    origin: Checkpoint | None = None,
    constrain: Callable[[Array], Array] | None = None,
) -> TrainProgram:
    """Return model, optimizer and steps of a config whose losses learn `fields` from a training split. The state
    begins with what `origin` knows."""
    if config.augment.alternating_flip and plan.total * config.train.batch_size >= 2**31:
        raise UserError("augment.alternating_flip: a run of 2^31 examples can't count its epochs; use augment.flip=0.5")
    shape = input_shape(config, train)
    labels = class_labels(train, fields, main_target(config))
    losses = build_losses(config, fields, labels, _feature_size(model, shape), constrain)
    check_maps(losses, model, shape)
    loss_program = lambda augmentation: supervised(model, losses, augmentation, fields, len(train))
    init_fn = make_init_fn(model, shape, partial(init_losses, losses))
    pretrained = pretrained_variables(config, model, train.classes, origin, shape)
    return build_program(config, plan, model, init_fn, pretrained, loss_program, shape=shape)


def _feature_size(model: Network, shape: Shape) -> int:
    """Return D of a network."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), zero_inputs(shape)))
    return shapes["params"]["head"]["kernel"].shape[0]


def build_program(
    config: ConfigDict,
    plan: StepCounts,
    model: Network,
    init_fn: Callable[[jax.Array], InitialVariables],
    pretrained: dict[str, Any] | None,
    loss_program: Callable[[dict[str, Any]], LossProgram],
    trainable: TrainableMask | None = None,
    shape: Shape | None = None,
) -> TrainProgram:
    """Return optimizer and phases around a loss program, which is made for each phase's augmentation. `trainable`
    limits what learns at all; the config's freezing comes on top. `shape` is that of the inputs, where the config alone
    doesn't say."""
    opt, layers = config.optimizer, layer_order(model, input_shape(config) if shape is None else shape)
    steps = lambda epochs: round(epochs * plan.per_epoch)
    boundaries = [steps(epochs) for epochs in opt.step_epochs]
    schedule = make_schedule(
        opt.schedule, opt.learning_rate, plan.total, steps(opt.warmup_epochs), boundaries, opt.decay_factor
    )
    plateau = {
        "factor": opt.decay_factor,
        "patience": max(round(opt.patience_epochs), 1),
        "accumulation_size": math.ceil(plan.per_epoch),
    }
    optimizer = make_optimizer(
        opt.name,
        schedule,
        momentum=opt.momentum,
        weight_decay=opt.weight_decay,
        clip=opt.clip,
        layer_decay=opt.layer_decay,
        layers=layers,
        plateau=plateau if opt.schedule == "plateau" else None,
    )
    options = {"accumulate": config.train.accumulate, "remat": config.train.remat, "sam": opt.sam, "ema": opt.ema}
    augment, sizes = config.augment.to_dict(), resolution_schedule(config, plan)
    frozen = gradual_unfreezing(layers, opt.freeze_layers, steps(opt.freeze_epochs), steps(opt.unfreeze_every_epochs))
    phases = []
    for first in sorted({start for start, _ in (*sizes, *frozen) if start < plan.total}):
        size, held = (active_at(schedule, first) for schedule in (sizes, frozen))
        free = intersect(trainable, trainable_except(held))
        step = make_train_step(loss_program(augment | {"resize": size}), optimizer, schedule, trainable=free, **options)
        phases.append((first, step))
    return TrainProgram(model, optimizer, init_fn, pretrained, tuple(phases))


def count_steps(config: ConfigDict, num_examples: int) -> StepCounts:
    """Convert epochs to steps."""
    batch = config.train.batch_size
    if batch > num_examples:
        raise UserError(f"train.batch_size: {batch} is more than the {num_examples} training examples")
    per_epoch = num_examples / batch
    steps = lambda epochs: max(round(epochs * per_epoch), 1)
    every = steps(config.eval.every_epochs), steps(config.checkpoint.every_epochs)
    plan = StepCounts(steps(config.train.epochs), per_epoch, *every, config.log.every_steps, 1)
    return plan._replace(steps_per_call=choose_steps_per_call(config, plan))


def choose_steps_per_call(config: ConfigDict, plan: StepCounts) -> int:
    """Return the steps of a dispatch: several only where the device is faster than Python, that is not on a CPU, and
    never more than lie between two evaluations or two checkpoints, which come between dispatches."""
    if config.train.steps_per_call or jax.default_backend() == "cpu":
        return config.train.steps_per_call or 1
    return best_divisor(plan.total, min(32, max(plan.total, 1), plan.evaluate_every, plan.save_every))


def best_divisor(total: int, most: int = 32) -> int:
    """Return the number of steps a dispatch, `most` or down to a quarter of it, that divides the run, so that its last
    dispatch needs no compiling; where none does, the one whose last dispatch lacks fewest."""
    return min(range(most, max(most // 4, 1) - 1, -1), key=lambda n: -total % n)


def active_at(starts: Sequence[tuple[int, Any]], step: int) -> Any:
    """Return the value that holds at `step`, of (first step, value) in rising order."""
    return [value for first, value in starts if first <= step][-1]


def resolution_schedule(config: ConfigDict, plan: StepCounts) -> list[tuple[int, int]]:
    """Return (first step, image size or 0) of each phase of a run that begins with smaller images; whole dispatches."""
    starts = [
        round(share * plan.total / plan.steps_per_call) * plan.steps_per_call
        for share in config.train.progressive_until
    ]
    return list(zip([0, *starts], [*config.train.progressive_sizes, config.augment.resize], strict=True))
