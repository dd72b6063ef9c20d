"""The folder of one run: who may write in it, what was asked for in it, and where its files are."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expressnet_jax.errors import UserError

# What may differ when a run goes on: how long it is watched and where it runs, not what it computes.
FREE_TO_CHANGE = ("data.dir", "data.source", "data.reader", "data.threads", "log", "mesh", "checkpoint", "export")
FREE_TO_CHANGE += ("eval.tta", "eval.mistakes", "eval.batch_size", "train.steps_per_dispatch")


class RunFolder:
    """Holds `workdir` for one process at a time and refuses to mix two different runs in it.

    Raises:
      UserError: the folder can't be written, another process trains in it, or it holds a run with another config.
    """

    def __init__(self, workdir: Path, config: Mapping[str, Any]):
        self.path = Path(workdir)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise UserError(f"--workdir {workdir}: {error.strerror}; give a folder that can be written") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"--workdir {workdir}: another run trains in it; wait for it or give another") from error
        self._claim(config)

    def _claim(self, config: Mapping[str, Any]) -> None:
        stored = self.path / "config.json"
        if stored.exists():
            changed = differences(json.loads(stored.read_text()), json.loads(json.dumps(config)))
            if changed:
                raise UserError(
                    f"--workdir {self.path}: holds a run with another config ({'; '.join(changed[:3])});"
                    " give another --workdir, or the same config to go on"
                )
        temporary = stored.with_suffix(".tmp")
        temporary.write_text(json.dumps(config, indent=2))
        os.replace(temporary, stored)

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def close(self) -> None:
        self._lock.close()


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`key was X, now Y` for every key that decides what is computed."""
    old, new = flatten(old), flatten(new)
    free = lambda key: any(key == name or key.startswith(name + ".") for name in FREE_TO_CHANGE)
    changed = [key for key in sorted(old.keys() | new.keys()) if not free(key) and old.get(key) != new.get(key)]
    return [f"{key} was {old.get(key)}, now {new.get(key)}" for key in changed]
