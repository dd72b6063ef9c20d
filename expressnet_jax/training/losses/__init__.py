"""LOSSES: name -> factory. A new loss is one file and one line here."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from expressnet_jax.errors import UserError
from expressnet_jax.training.losses.base import Loss, LossContext
from expressnet_jax.training.losses.centers import center_loss, island_loss, kernel_l2_loss, triplet_center_loss
from expressnet_jax.training.losses.classification import classification_loss
from expressnet_jax.training.losses.multilabel import binary_cross_entropy_loss
from expressnet_jax.training.losses.regression import concordance_loss, mean_squared_error_loss, smooth_l1_loss

LOSSES: dict[str, Callable[..., Loss]] = {
    **{name: partial(classification_loss, loss=name) for name in ("cross_entropy", "focal", "arcface", "cosface")},
    "center": center_loss,
    "island": island_loss,
    "triplet_center": triplet_center_loss,
    "kernel_l2": kernel_l2_loss,
    "concordance": concordance_loss,
    "mean_squared_error": mean_squared_error_loss,
    "smooth_l1": smooth_l1_loss,
    "binary_cross_entropy": binary_cross_entropy_loss,
}
# What a loss compares with: kinds of fields; none for a loss without a target.
TARGET_KINDS = {
    **dict.fromkeys(("cross_entropy", "focal", "arcface", "cosface", "center", "island", "triplet_center"), ("class",)),
    **dict.fromkeys(("concordance", "mean_squared_error", "smooth_l1"), ("vector", "points", "multilabel")),
    "binary_cross_entropy": ("multilabel",),
    "kernel_l2": (),
}
ON_FEATURES = ("center", "island", "triplet_center", "kernel_l2")  # their output, where the config names none
COMMON = ("loss", "output", "target", "weight", "soft_targets")  # options that the run reads, not the loss


def make_loss(name: str, options: Mapping[str, Any], context: LossContext, key: str) -> Loss:
    """Return a loss by name with its options and its weight.

    Raises:
      UserError: an unknown name or option, or a target of another kind; the line begins with `key`.
    """
    check_loss_name(name, key)
    valid = set(inspect.signature(LOSSES[name]).parameters) - {"context", "loss"}
    given = {option: value for option, value in options.items() if option not in COMMON}
    if wrong := sorted(set(given) - valid):
        raise UserError(f"{key}: {name} has no {wrong[0]!r}; it has {', '.join(sorted(valid)) or 'no options'}")
    kinds = TARGET_KINDS[name]
    if context.field is not None and kinds and context.field.kind not in kinds:
        raise UserError(
            f"{key}: {name} compares with a {' or '.join(kinds)}, and {context.target} is a {context.field.kind}"
        )
    try:
        loss = LOSSES[name](context, **given)
    except UserError as error:  # an option's value; the message begins with the option
        raise UserError(f"{key}.{error}") from error
    return loss._replace(weight=float(options.get("weight", 1.0)))


def check_loss_name(name: str, key: str) -> None:
    """Raise UserError for a loss that there is none of."""
    if name not in LOSSES:
        raise UserError(f"{key}: no loss {name!r}; one of {', '.join(LOSSES)}")
