"""A config file as Python: run, checked to be one, and changed by key."""

import traceback
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ml_collections import ConfigDict

from expressnet_jax.config import default, set_key
from expressnet_jax.errors import UserError, one_line


def load_config(file: str | Path = "", changes: Mapping[str, Any] = MappingProxyType({})) -> ConfigDict:
    """Return what `get_config` of a config file gives, with `changes` by key: {"train.epochs": 3}.

    FILE:ARGUMENT hands `get_config` the argument. Without a file the config is `expressnet_jax.config.default()`.

    Raises:
      UserError: no such file, something wrong in it, no such key, or a value of another kind.
    """
    config = _run_file(str(file)) if file else default()
    for key, value in changes.items():
        set_key(config, key, value, "config")
    return config


def _run_file(given: str) -> ConfigDict:
    check_file(given)
    path, _, argument = given.partition(":")
    try:
        spec = spec_from_file_location("config_file_of_a_run", path)
        if spec is None or spec.loader is None:
            raise UserError("no Python file; give one of configs/")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config(argument) if argument else module.get_config()
    except Exception as error:  # the config file is the user's program: anything can come out of it
        raise UserError(config_error(error, given)) from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config {given}: get_config() must return what expressnet_jax.config.default() gives")
    return config


def check_file(name: str) -> None:
    """Raise UserError for a config file that is not there; it names those of configs/."""
    path = Path(name.split(":")[0])
    if not path.is_file():
        there = sorted(str(p) for p in Path("configs").glob("*.py"))
        hint = f"there are {', '.join(there)}" if there else "the recipes are in configs/ of the project's repository"
        raise UserError(f"--config {name}: no such file; {hint}")


def config_error(error: Exception, file: str) -> str:
    """Return where in the config file it went wrong, and how, in one line."""
    path = Path(file.split(":")[0]).resolve()
    if isinstance(error, UserError):  # the file's own words about what was asked of it
        return f"--config {file}: {one_line(error, 500)}"
    if isinstance(error, SyntaxError):
        return f"--config {file} line {error.lineno}: {one_line(error.msg)}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path]
    if lines:
        return f"--config {file} line {lines[-1]}: {type(error).__name__}: {one_line(error, 500)}"
    if isinstance(error, AttributeError) and "get_config" in str(error):
        return f"--config {file}: it has no function get_config(); begin with a copy of one in configs/"
    return f"--config {file}: {type(error).__name__}: {one_line(error, 500)}"
