"""What a run learns, by name: the fields of its targets, the heads and losses for them, and their values.

Shapes: N examples, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax import Array
from ml_collections import ConfigDict

from expressnet_jax.data.fields import EXPRESSION, Field, check_target, target_column, target_fields
from expressnet_jax.data.prepared import Split
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluators import SELECTING
from expressnet_jax.models.network import Head
from expressnet_jax.training.losses import LOSSES, check_loss_name, make_loss
from expressnet_jax.training.losses.base import Loss, LossContext
from expressnet_jax.training.losses.classification import MARGINS

PREFIX = "teacher_"  # of targets that other networks give (see `teachers`)
_SOFT_TARGETS = ("label", "votes", "both")


def _loss_options(config: ConfigDict) -> dict[str, dict[str, Any]]:
    """Return the options of every loss of a config by its name, with its output and its target; that of the main target
    comes first.

    Raises:
      UserError: no loss at all, one without a name, or a name that there is none of.
    """
    found: dict[str, Any] = {}
    main = main_target(config)
    for name, options in sorted(config.losses.to_dict().items(), key=lambda item: item[0] != main):
        key = f"losses.{name}"
        if not isinstance(options, Mapping) or "loss" not in options:
            raise UserError(f'{key}: name its loss, as in config.{key} = {{"loss": "smooth_l1"}}')
        check_loss_name(options["loss"], f"{key}.loss")
        target = options.get("target", name) if LOSSES[options["loss"]].targets else ""
        output = "features" if LOSSES[options["loss"]].on_features else target
        found[name] = {"target": target, "output": output, **options}
    if not found:
        raise UserError("losses: a run without a loss learns nothing; begin with losses.expression")
    return found


def split_fields(split: Split, notes: Mapping[str, Any] | None = None, main: str = EXPRESSION) -> dict[str, Field]:
    """Return every target that a split has by name; its class is called `main`."""
    fields = target_fields(split.classes, split.columns, notes, split.targets)
    return {main if name == EXPRESSION else name: field for name, field in fields.items()}


def main_target(config: ConfigDict) -> str:
    """Return what a run calls the class of an example: `expression`, or `identity` in an identity run."""
    return "identity" if config.task == "identity" else EXPRESSION


def learned_fields(config: ConfigDict, fields: Mapping[str, Field]) -> dict[str, Field]:
    """Return the fields that the losses of a config learn, by the name of the output; the class first.

    Raises:
      UserError: the data set has no such target, or two losses learn different targets by one output.
    """
    learned: dict[str, Field] = {}
    for name, options in _loss_options(config).items():
        if not options["target"]:
            continue
        field = check_target(options["target"], fields, f"losses.{name}.target")
        if field.kind == "points" and field.shape[-1] != 2:
            raise UserError(f"losses.{name}.target: {options['target']} has a depth; points in images can be learned")
        output = options["output"]
        if output != "features" and learned.setdefault(output, field) != field:
            raise UserError(f"losses.{name}.output: {output} learns another target already; give it its own name")
    return dict(sorted(learned.items(), key=lambda item: item[0] != main_target(config)))


def make_heads(config: ConfigDict, learned: Mapping[str, Field]) -> dict[str, Head]:
    """Return a head for each output; `model.head` is that of the class."""
    main, kind = main_target(config), config.model.head
    scale = float(config.losses[main].scale) if kind == "cosine" and main in config.losses else 1.0
    special = {main: {"kind": kind, "scale": scale}}
    return {name: Head(field.shape, **special.get(name, {})) for name, field in learned.items()}


def class_labels(split: Split, fields: Mapping[str, Field], main: str) -> dict[str, np.ndarray]:
    """Return the labels int[N] of every target that is a class, -1 where an example has none; none of those that are
    probabilities."""
    names = [name for name, field in fields.items() if field.kind == "class"]
    found = {name: split.labels if name == main else split.columns[name] for name in names}
    return {name: labels for name, labels in found.items() if labels.ndim == 1}


def build_losses(
    config: ConfigDict,
    fields: Mapping[str, Field],
    labels: Mapping[str, np.ndarray],
    features: int,
    constrain: Callable[[Array], Array] | None = None,
) -> dict[str, Loss]:
    """Return the losses of a config, for a training split whose classes have these `labels` (see `class_labels`).

    Raises:
      UserError: an unknown option, or a target of another kind than the loss compares with.
    """
    losses = {}
    for name, options in _loss_options(config).items():
        field = fields.get(options["target"])
        counts, partial = np.zeros(0, np.int64), False
        own = labels.get(options["target"], labels.get(options["output"]))
        if field is not None and field.kind == "class" and own is not None:
            counts = np.bincount(own[own >= 0], minlength=field.shape[0])
            partial = bool((own < 0).any())
        context = LossContext(options["output"], options["target"], field, counts, features, partial)
        if constrain and options["target"] == main_target(config):
            context = context._replace(constrain=constrain)
        losses[name] = make_loss(options["loss"], options, context, f"losses.{name}")
    return losses


def target_arrays(config: ConfigDict, split: Split, size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """Return the values of all targets that the losses need: classes int32[N], or float32[N,K] where votes are
    learned; everything else float32[N,...].

    `size` is (height, width) of the stored images, which points are measured in.

    Raises:
      UserError: votes of a split that has none.
    """
    arrays: dict[str, np.ndarray] = {}
    fields = split_fields(split, main=main_target(config))
    for loss, options in _loss_options(config).items():
        name, wanted = options["target"], options.get("soft_targets", "label")
        if name == main_target(config):
            if name not in arrays or "soft_targets" in options:
                votes = soft_targets(wanted, config.data.name, split)
                arrays[name] = split.labels.astype(np.int32) if votes is None else votes
        elif name:
            if wanted != "label":
                raise UserError(f"losses.{loss}.soft_targets: {config.data.name} has no votes on {name}; use label")
            arrays[name] = target_column(name, fields[name], split.columns, size)
    return arrays


def soft_targets(wanted: str, data: str, split: Split) -> np.ndarray | None:
    """Return float32[N,K]: the votes, or the mean of them and the label; None where the label alone is learned.

    Raises:
      UserError: votes of a split that has none.
    """
    if wanted == "label":
        return None
    if split.votes is None:
        raise UserError(f"losses.expression.soft_targets: {data} has no votes; use soft_targets=label")
    labels = np.eye(len(split.classes), dtype=np.float32)[split.labels]
    return split.votes if wanted == "votes" else (split.votes + labels) / 2


def selecting_metric(config: ConfigDict) -> str:
    """Return the name of what selects the best checkpoint, as evaluations call it: the main target's stand alone."""
    return config.eval.metric.removeprefix(f"{main_target(config)}/")


def further_metrics(config: ConfigDict, metrics: Sequence[str]) -> list[str]:
    """Return what else can select the best checkpoint: metrics of further outputs, and of further data sets."""
    found: dict[str, Any] = {}
    for options in _loss_options(config).values():
        for kind in LOSSES[options["loss"]].targets:
            if kind in SELECTING and options["output"] not in ("features", main_target(config)):
                found |= dict.fromkeys(f"{options['output']}/{metric}" for metric in SELECTING[kind])
    return [*found, *(f"{name}/{metric}" for name in config.evals for metric in metrics)]


def class_losses(num_classes: int, name: str = "cross_entropy", **options: Any) -> dict[str, Loss]:
    """Return the loss of the common network, `expression`, over equally frequent classes."""
    field = class_fields(num_classes)[EXPRESSION]
    context = LossContext(EXPRESSION, EXPRESSION, field, np.ones(num_classes), 1)
    return {EXPRESSION: make_loss(name, options, context, "losses.expression")}


def class_fields(num_classes: int) -> dict[str, Field]:
    """Return the target of the common network, `expression`."""
    return {EXPRESSION: Field("class", (num_classes,))}


def _check_teachers(config: ConfigDict) -> None:
    """Raise UserError where teachers are named and no loss learns from them, or the other way round."""
    taught = [name for name, options in _loss_options(config).items() if options["target"].startswith(PREFIX)]
    if config.teachers and config.task != "classification":
        raise UserError(f"teachers: belong to task=classification, not to {config.task}; remove them")
    if config.teachers and not taught:
        example = 'config.losses.teacher_expression = {"loss": "distillation", "output": "expression"}'
        raise UserError(f"teachers: no loss learns from them; add {example}")
    if taught and not config.teachers:
        raise UserError(f"losses.{taught[0]}: learns from teachers, and there are none; name some in config.teachers")


def _check_pose(config: ConfigDict) -> None:
    """Raise UserError where augmentation turns or mirrors heads whose angles are learned."""
    turning = [name for name in ("flip", "alternating_flip", "rotate") if config.augment[name]]
    for loss, options in _loss_options(config).items() if turning else ():
        if options["target"] == "pose":
            raise UserError(
                f"augment.{turning[0]}: turns the head in the image, but not the angles that losses.{loss} learns;"
                f" switch {' and '.join(turning)} off"
            )


def check_losses(config: ConfigDict) -> None:
    """Raise UserError for anything wrong with the losses of a config that needs no data to see."""
    main = main_target(config)
    _check_teachers(config)
    _check_pose(config)
    for name, options in _loss_options(config).items():
        key, kinds = f"losses.{name}", LOSSES[options["loss"]].targets
        shape = (2, 2) if kinds == ("points",) else (2,)
        field = Field(kinds[0], shape) if kinds else None
        context = LossContext(options["output"], options["target"], field, np.ones(2), 1)
        make_loss(options["loss"], options, context, key)
        if options.get("soft_targets", "label") not in _SOFT_TARGETS:
            raise UserError(f"{key}.soft_targets: no {options['soft_targets']!r}; one of {', '.join(_SOFT_TARGETS)}")
        cosine = options["output"] == main and config.model.head == "cosine"
        if kinds == ("class",) and options["output"] != "features" and (options["loss"] in MARGINS) != cosine:
            raise UserError(
                f"{key}.loss: {options['loss']} with model.head {config.model.head}; {' and '.join(MARGINS)} go with"
                " model.head=cosine, the others with linear"
            )
        if options["loss"] in ("center", "island") and config.model.head == "cosine":
            raise UserError(
                f"{key}.loss: {options['loss']} would shrink features whose length model.head=cosine does not see; use"
                " triplet_center"
            )
        if config.task != "classification" and name != main:
            raise UserError(f"{key}: belongs to task=classification, not to {config.task}; remove it")
