"""Which keys and which numbers a config can have."""

import math

from ml_collections import ConfigDict

from expressnet_jax.config import FREE, default, flatten
from expressnet_jax.errors import UserError

# Which numbers a key can be: (least, most, is the least itself allowed). All others: 0 or more.
AT_LEAST_0, POSITIVE, SHARE = (0, math.inf, True), (0, math.inf, False), (0, 1, True)
_COUNT = (1, math.inf, True)
_RANGES = {
    **dict.fromkeys(["train.batch_size", "train.accumulate", "eval.batch_size", "data.threads"], _COUNT),
    **dict.fromkeys(["checkpoint.keep", "log.every_steps", "mesh.model"], _COUNT),
    **dict.fromkeys(
        ["train.epochs", "eval.every_epochs", "checkpoint.every_epochs", "optimizer.decay_factor"], POSITIVE
    ),
    **dict.fromkeys(
        ["model.dropout", *(f"augment.{name}" for name in ("flip", "shadow", "random_erasing", "cutout", "degrade"))],
        SHARE,
    ),
    **dict.fromkeys(
        ["augment.random_resized_crop", "augment.zoom", "data.balance", "optimizer.momentum", "optimizer.ema"], SHARE
    ),
    **dict.fromkeys(["optimizer.layer_decay", "data.flip_labels"], SHARE),
    "augment.mirror_flow": SHARE,
    "augment.speed": (0, 0.5, True),
    "train.progressive_until": SHARE,
    "adapt.holdout": (0, 1, False),
    "mesh.data": (-1, math.inf, True),
    "data.fold_seed": (-1, 2**31 - 1, True),
    "model.modality_dropout": (0, 1, True),
    "seed": (0, 2**31 - 1, True),
}

_LISTS_OF_NUMBERS = ("train.progressive_sizes", "train.progressive_until", "optimizer.step_epochs", "log.profile_steps")


def check_values(config: ConfigDict) -> None:
    """Raise UserError for a config with a key too many or too few, and for a number that no run can use."""
    if not isinstance(config, ConfigDict):
        raise UserError("config: get_config() must return what expressnet_jax.config.default() gives, with changes")
    known, given = flatten(default().to_dict()), flatten(config.to_dict())
    known = {key: value for key, value in known.items() if not key.startswith("losses.") or key in given}
    if missing := sorted(known.keys() - given.keys()):
        raise UserError(f"config: {missing[0]} is missing; begin get_config() with expressnet_jax.config.default()")
    if extra := sorted(key for key in given.keys() - known.keys() if not key.startswith(FREE)):
        raise UserError(f"config: no run reads {extra[0]}; remove it")
    for key in known:
        values = given[key] if isinstance(given[key], tuple | list) else (given[key],)
        for value in values:
            if isinstance(value, int | float):
                check_bounds(value, key, _RANGES.get(key, AT_LEAST_0))
            elif key in _LISTS_OF_NUMBERS:
                raise UserError(f"{key}: {value!r}; it must be a number")


def check_bounds(value: float, key: str, bounds: tuple[float, float, bool]) -> None:
    """Raise UserError for a number that isn't finite, or not within (least, most, is the least itself allowed)."""
    least, most, closed = bounds
    if value == math.inf:
        raise UserError(f"{key}: {value}; it must be a finite number")
    if not (least < value <= most or (closed and value == least)):
        bound = "" if most == math.inf else f" and at most {most}"
        raise UserError(f"{key}: {value}; it must be {'at least' if closed else 'above'} {least}{bound}")
