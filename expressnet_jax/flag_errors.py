"""Command-line flags of a training run, where a wrong one ends in one line that names the right ones."""

import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from expressnet_jax.config import default
from expressnet_jax.errors import UserError

USAGE = "python -m expressnet_jax.main --config configs/NAME.py --workdir DIR [--config.train.batch_size=64 ...]"


def parse(argv: Sequence[str]) -> list[str]:
    """absl's flag parser for app.run: exit status 2 and one line on anything wrong."""
    try:
        check(argv)
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise UserError(f"{rest[1]}: not a flag; usage: {USAGE}")
        for name in ("config", "workdir"):
            if flags.FLAGS[name].value is None:
                raise UserError(f"--{name} is missing; usage: {USAGE}")
    except (UserError, flags.Error, ValueError, TypeError, AttributeError, KeyError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    return rest


def check(argv: Sequence[str]) -> None:
    """Raises UserError for a config file that is not there, and for an override of a key that no config has."""
    for i, argument in enumerate(argv):
        if match := re.match(r"--?config(?:=(.*))?$", argument):
            _check_file(match[1] if match[1] is not None else argv[i + 1] if i + 1 < len(argv) else "")
        elif match := re.match(r"--?(?:no)?config\.([^=]+)", argument):
            _check_key(match[1])


def _check_file(name: str) -> None:
    path = Path(name.split(":")[0])
    if not path.is_file():
        there = sorted(str(p) for p in Path("configs").glob("*.py"))
        raise UserError(f"--config {name}: no such file; there are {', '.join(there) or 'none in configs/'}")


def _check_key(key: str) -> None:
    section: ConfigDict | object = default()
    for i, name in enumerate(names := key.split(".")):
        if isinstance(section, ConfigDict) and name in section:
            section = section[name]
            continue
        if names[:i] in (["model", "options"], ["data", "options"]):
            return
        valid = list(section) if isinstance(section, ConfigDict) else []
        close = difflib.get_close_matches(name, valid, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        where = ".".join(names[:i]) or "config"
        raise UserError(f"--config.{key}: {where} has no key {name!r}; {hint}it has {', '.join(valid) or 'no keys'}")
