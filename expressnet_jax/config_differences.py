"""What differs between the configs of two runs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from expressnet_jax.config import default, flatten

# What may differ when a run is resumed: how it is logged and where it runs, not what it computes.
FREE_TO_CHANGE = (
    *("data.dir", "data.source", "data.reader", "data.threads", "log", "mesh", "checkpoint", "export"),
    *("eval.tta", "eval.error_gallery", "eval.batch_size", "train.steps_per_call"),
)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], free: Sequence[str] = FREE_TO_CHANGE) -> list[str]:
    """Return `key was X, now Y` for every key but the `free` ones. A key younger than the run had its default."""
    plain = lambda config: _without_identities(_plain(flatten(config)))
    old, new = with_defaults(plain(old)), plain(new)
    may = lambda key: any(key == name or key.startswith(name + ".") for name in free)
    changed = [key for key in sorted(old.keys() | new.keys()) if not may(key) and old.get(key) != new.get(key)]
    return [f"{key} was {old.get(key)}, now {new.get(key)}" for key in changed]


def with_defaults(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flattened config with every key that it is too old to have, at its default.

    A config that names losses has those and no others: one without the default loss has left it out.
    """
    own = [key for key in flat if key.startswith("losses.")]
    without = "losses.expression." if own and not any(key.startswith("losses.expression.") for key in own) else None
    known = _plain(flatten(default().to_dict()))
    return {key: value for key, value in known.items() if not without or not key.startswith(without)} | _plain(flat)


def _plain(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as JSON has them: lists for tuples."""
    return json.loads(json.dumps(flat))


def _without_identities(flat: dict[str, Any]) -> dict[str, Any]:
    """Drop identities: `folder@0123456789ab` is compared as `folder`: what is in it is compared by itself, in
    `check_same`."""
    names = ("data.name", "adapt.target")
    return flat | {name: flat[name].partition("@")[0] for name in names if name in flat}
