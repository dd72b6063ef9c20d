"""Command-line flags of a training run, where a wrong one ends in one line that names the right ones."""

import difflib
import json
import re
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

from expressnet_jax.cli_args import BOOLEANS
from expressnet_jax.config import FREE, default, flatten, free_section
from expressnet_jax.config_file import check_file, config_error
from expressnet_jax.errors import UserError, one_line

_USAGE = "python -m expressnet_jax.main --config configs/NAME.py --workdir DIR [--config.train.batch_size=64 ...]"
_FLAGS = ("config", "workdir", "dry_run", "target", "distributed")


def parse(argv: Sequence[str]) -> list[str]:
    """Run absl's flag parser for app.run: exit status 2 and one line on anything wrong, 0 after --help."""
    if {"-h", "-help", "--help"} & set(argv[1:]):
        print(f"usage: {_USAGE}\n\nflags:")
        print("\n".join(f"  --{name:<12} {flags.FLAGS[name].help}" for name in _FLAGS))
        print("\nkeys of a config and their defaults:")
        print("\n".join(f"  --config.{key}={value!r}" for key, value in flatten(default().to_dict()).items()))
        print("\nbelow these, any key may be new: " + ", ".join(f"--config.{section}" for section in FREE))
        sys.exit(0)
    try:
        return _parse(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _parse(argv: Sequence[str]) -> list[str]:
    file = check(argv)
    argv, options = take_options(argv)
    sys.argv = argv  # where ml_collections looks for overrides
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(one_line(error, 500)) from error
    except Exception as error:  # the config file is the user's program: anything can come out of it
        raise UserError(config_error(error, file)) from error
    if len(rest) > 1:
        raise UserError(f"{rest[1]}: not a flag; usage: {_USAGE}")
    for name in ("config", "workdir"):
        if not flags.FLAGS[name].value and not (name == "workdir" and flags.FLAGS.dry_run):
            raise UserError(f"--{name} is missing; usage: {_USAGE}")
    for key, value in options.items():
        set_option(flags.FLAGS.config, key, value)
    return rest


def take_options(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments without those that set an option of a model, a data set or a method, and these by key.

    Such a key may be new, which the parser of config flags does not allow.
    """
    rest, options, i = [], {}, 0
    while i < len(argv):
        match = re.match(rf"--?config\.((?:{'|'.join(map(re.escape, FREE))})[^=]+)(?:=(.*))?$", argv[i])
        if match and (match[2] is not None or i + 1 < len(argv)):
            i += match[2] is None
            options[match[1]] = match[2] if match[2] is not None else argv[i]
        else:
            rest.append(argv[i])
        i += 1
    return rest, options


def set_option(config: ConfigDict, key: str, text: str) -> None:
    """Set `model.options.widths` to "(16, 32)" or "[16, 32]", `model.options.attention` to "cbam"."""
    *groups, name = key.split(".")
    try:
        value = json.loads(re.sub(r"^\((.*?),?\)$", r"[\1]", BOOLEANS.get(text, text)))
    except json.JSONDecodeError:
        value = text
    options = free_section(config, groups)
    with options.ignore_type():
        options[name] = tuple(value) if isinstance(value, list) else value


def check(argv: Sequence[str]) -> str:
    """Return the name of the config file.

    Raises:
      UserError: that file is not there, or an override names a key that no config has.
    """
    file = ""
    for i, argument in enumerate(argv):
        if match := re.match(r"--?config(?:=(.*))?$", argument):
            file = match[1] if match[1] is not None else argv[i + 1] if i + 1 < len(argv) else ""
            check_file(file)
        elif match := re.match(r"--?(?:no)?config\.([^=]+)", argument):
            _check_key(match[1])
    return file


def _check_key(key: str) -> None:
    section: ConfigDict | object = default()
    for i, name in enumerate(names := key.split(".")):
        if isinstance(section, ConfigDict) and name in section:
            section = section[name]
            continue
        if key.startswith(FREE):
            return
        valid = list(section) if isinstance(section, ConfigDict) else []
        close = difflib.get_close_matches(name, valid, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        where = ".".join(names[:i]) or "config"
        raise UserError(f"--config.{key}: {where} has no key {name!r}; {hint}it has {', '.join(valid) or 'no keys'}")
