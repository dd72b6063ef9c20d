"""LOSSES: name -> LossKind. A new loss is one file and one line here."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from expressnet_jax.config_values import AT_LEAST_0, POSITIVE, SHARE, check_bounds
from expressnet_jax.errors import UserError
from expressnet_jax.training.losses.attention import attention_consistency_loss, attention_diversity_loss
from expressnet_jax.training.losses.base import Loss, LossContext
from expressnet_jax.training.losses.centers import center_loss, island_loss, kernel_l2_loss, triplet_center_loss
from expressnet_jax.training.losses.classification import classification_loss
from expressnet_jax.training.losses.distillation import distillation_loss
from expressnet_jax.training.losses.multilabel import binary_cross_entropy_loss
from expressnet_jax.training.losses.regression import concordance_loss, mean_squared_error_loss, smooth_l1_loss


class LossKind(NamedTuple):
    """A loss by name.

    Attributes:
      make: (context, **options) -> Loss.
      targets: the kinds of fields that it compares with; none for a loss without a target.
      on_features: whether it compares the features, where the config names no output.
    """

    make: Callable[..., Loss]
    targets: tuple[str, ...]
    on_features: bool = False


_VALUES = ("vector", "points", "multilabel")
LOSSES: dict[str, LossKind] = {
    "cross_entropy": LossKind(partial(classification_loss, loss="cross_entropy"), ("class",)),
    "focal": LossKind(partial(classification_loss, loss="focal"), ("class",)),
    "arcface": LossKind(partial(classification_loss, loss="arcface"), ("class",)),
    "cosface": LossKind(partial(classification_loss, loss="cosface"), ("class",)),
    "distillation": LossKind(distillation_loss, ("class",)),
    "center": LossKind(center_loss, ("class",), on_features=True),
    "island": LossKind(island_loss, ("class",), on_features=True),
    "triplet_center": LossKind(triplet_center_loss, ("class",), on_features=True),
    "kernel_l2": LossKind(kernel_l2_loss, (), on_features=True),
    "attention_consistency": LossKind(attention_consistency_loss, ("class",)),
    "attention_diversity": LossKind(attention_diversity_loss, ()),
    "concordance": LossKind(concordance_loss, _VALUES),
    "mean_squared_error": LossKind(mean_squared_error_loss, _VALUES),
    "smooth_l1": LossKind(smooth_l1_loss, _VALUES),
    "binary_cross_entropy": LossKind(binary_cross_entropy_loss, ("multilabel",)),
}
_BOUNDS = {
    "label_smoothing": SHARE,
    "effective_beta": (0, 1 - 1e-9, True),
    "margin": (0, 1.5, True),
    **dict.fromkeys(("scale", "beta", "temperature"), POSITIVE),
}
_COMMON = ("loss", "output", "target", "weight", "soft_targets")  # options that the run reads, not the loss


def make_loss(name: str, options: Mapping[str, Any], context: LossContext, key: str) -> Loss:
    """Return a loss by name with its options and its weight.

    Raises:
      UserError: an unknown name or option, or a target of another kind; the line begins with `key`.
    """
    check_loss_name(name, key)
    parameters = inspect.signature(LOSSES[name].make).parameters
    defaults = {option: each.default for option, each in parameters.items() if option not in ("context", "loss")}
    given = {option: value for option, value in options.items() if option not in _COMMON}
    if wrong := sorted(set(given) - set(defaults)):
        raise UserError(f"{key}: {name} has no {wrong[0]!r}; it has {', '.join(sorted(defaults)) or 'no options'}")
    for option, default in {**defaults, "weight": 1.0}.items():
        if isinstance(default, float):
            _check_number(options.get(option, default), key, option)
    kinds = LOSSES[name].targets
    if context.field is not None and kinds and context.field.kind not in kinds:
        raise UserError(
            f"{key}: {name} compares with a {' or '.join(kinds)}, and {context.target} is a {context.field.kind}"
        )
    try:
        loss = LOSSES[name].make(context, **given)
    except UserError as error:  # an option's value; the message begins with the option
        raise UserError(f"{key}.{error}") from error
    return loss._replace(weight=float(options.get("weight", 1.0)))


def _check_number(value: Any, key: str, option: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{key}.{option}: {value!r}; it must be a number")
    check_bounds(value, f"{key}.{option}", _BOUNDS.get(option, AT_LEAST_0))


def check_loss_name(name: str, key: str) -> None:
    """Raise UserError for a loss that there is none of."""
    if name not in LOSSES:
        raise UserError(f"{key}: no loss {name!r}; one of {', '.join(LOSSES)}")
