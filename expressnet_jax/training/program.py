"""From a config to the functions of a run: objective, optimizer, and a training step for each of its phases."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from expressnet_jax.data.prepare import Split
from expressnet_jax.errors import UserError
from expressnet_jax.models.inspect import layer_order
from expressnet_jax.training.checkpoint import Checkpoint
from expressnet_jax.training.freezing import Learns, all_but, both, thawing
from expressnet_jax.training.network import image_shape, make_model, warm_start
from expressnet_jax.training.objectives import Objective, make_objective, rebalance
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.setup import Plan, joint_loss, soft_targets
from expressnet_jax.training.state import Beginning, begin
from expressnet_jax.training.step import TrainStep, make_train_step
from expressnet_jax.training.task import Task, supervised


class Program(NamedTuple):
    """The functions of a run.

    Attributes:
      beginning: key -> what the state is born with; `warm` are the variables that take the drawn ones' place, or None.
      phases: training steps, each with the number of the step from which on it serves.
    """

    model: nn.Module
    optimizer: optax.GradientTransformationExtraArgs
    beginning: Callable[[jax.Array], Beginning]
    warm: dict[str, Any] | None
    phases: tuple[tuple[int, TrainStep], ...]


def make_program(config: ConfigDict, train: Split, plan: Plan, origin: Checkpoint | None = None) -> Program:
    """Model, optimizer and step of a config, for the classes and the class counts of the training split. The state
    begins with what `origin` knows."""
    soft_targets(config, train)  # refused here, before anything compiles
    if config.augment.alternate and plan.total * config.train.batch_size >= 2**31:
        raise UserError("augment.alternate: a run of 2^31 examples can't count its epochs; use augment.flip=0.5")
    model, shape = make_model(config, len(train.classes)), image_shape(config)
    objective, joint = class_objective(config, train), joint_loss(config)
    task = lambda augmentation: supervised(model, objective, augmentation, len(train), joint)
    beginning = joint.begin(model, shape) if joint else begin(model, shape)
    return assemble(config, plan, model, beginning, warm_start(config, model, train.classes, origin), task)


def class_objective(config: ConfigDict, train: Split) -> Objective:
    """The loss of a config, rebalanced by the class counts of what it trains on."""
    counts = np.bincount(train.labels, minlength=len(train.classes))
    loss = config.loss
    return make_objective(
        loss.name,
        label_smoothing=loss.label_smoothing,
        focal_gamma=loss.focal_gamma,
        margin=loss.margin,
        scale=loss.scale,
        rebalance=rebalance(loss.rebalance, counts, beta=loss.effective_beta, tau=loss.logit_adjustment),
    )


def assemble(
    config: ConfigDict,
    plan: Plan,
    model: nn.Module,
    beginning: Callable[[jax.Array], Beginning],
    warm: dict[str, Any] | None,
    task: Callable[[dict[str, Any]], Task],
    learns: Learns | None = None,
) -> Program:
    """Optimizer and phases around a task, which is made for each phase's augmentation. `learns` limits what learns at
    all; the config's freezing comes on top."""
    opt, layers = config.optimizer, layer_order(model, image_shape(config))
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
    options = {"accumulate": config.train.accumulate, "sam": opt.sam, "ema": opt.ema}
    augment, sizes = config.augment.to_dict(), growth(config, plan)
    frozen = thawing(layers, opt.freeze_layers, steps(opt.freeze_epochs), steps(opt.thaw_epochs))
    phases = []
    for first in sorted({start for start, _ in (*sizes, *frozen) if start < plan.total}):
        size, held = (last_before(schedule, first) for schedule in (sizes, frozen))
        free = both(learns, all_but(held))
        step = make_train_step(task(augment | {"resize": size}), optimizer, schedule, learns=free, **options)
        phases.append((first, step))
    return Program(model, optimizer, beginning, warm, tuple(phases))


def last_before(starts: Sequence[tuple[int, Any]], step: int) -> Any:
    """Of (first step, value) in rising order, the value that holds at `step`."""
    return [value for first, value in starts if first <= step][-1]


def growth(config: ConfigDict, plan: Plan) -> list[tuple[int, int]]:
    """(first step, picture size or 0) of each phase of a run that begins with smaller pictures; whole dispatches."""
    starts = [round(share * plan.total / plan.per_dispatch) * plan.per_dispatch for share in config.train.grow_until]
    return list(zip([0, *starts], [*config.train.grow_sizes, config.augment.resize], strict=True))
