"""A grid of config keys: `optimizer.learning_rate=0.01,0.02` -> the runs of a sweep, each a config."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from expressnet_jax.config import set_key
from expressnet_jax.errors import UserError

_COMMA = re.compile(r",(?![^(\[]*[)\]])")  # none inside of brackets: (24, 32) is one value
Grid = dict[str, tuple[Any, ...]]


class Point(NamedTuple):
    """One run of a sweep: its number, what it changes, and its whole config."""

    number: int
    changes: dict[str, Any]
    config: ConfigDict

    @property
    def name(self) -> str:
        """The folder of the run."""
        return f"{self.number:03d}"

    @property
    def title(self) -> str:
        """What the run changes, as KEY=VALUE with the keys' last words."""
        return " ".join(f"{key.rpartition('.')[2]}={plain(value)}" for key, value in self.changes.items())


def parse_grid(texts: Sequence[str]) -> Grid:
    """Return key -> values of texts like "model.dropout=0,0.1"; numbers, true, false and (24, 32) as such.

    Raises:
      UserError: no "=", no value, a value twice, or a key twice.
    """
    grid: Grid = {}
    for text in texts:
        key, separator, values = text.partition("=")
        if not separator or not key or not values:
            raise UserError(f"--grid {text}: write KEY=VALUE,VALUE, such as optimizer.learning_rate=0.01,0.02")
        if key in grid:
            raise UserError(f"--grid {text}: {key} is there already; give all of its values at once")
        grid[key] = tuple(_parse_value(each) for each in _COMMA.split(values))
    return check_grid(grid)


def check_grid(grid: Mapping[str, Sequence[Any]]) -> Grid:
    """Return the grid with its values as tuples.

    Raises:
      UserError: no key, a key without a value, or a value twice.
    """
    if not grid:
        raise UserError("--grid: give KEY=VALUE,VALUE at least once, such as optimizer.learning_rate=0.01,0.02")
    for key, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise UserError(f"--grid {key}: give a list of values")
        if twice := [each for i, each in enumerate(values) if each in values[:i]]:
            raise UserError(f"--grid {key}: {plain(twice[0])} is there twice")
    return {key: tuple(values) for key, values in grid.items()}


def _parse_value(text: str) -> Any:
    """Return a number, bool or tuple that a text writes, else the text."""
    text = text.strip()
    if text in ("True", "False"):
        return text == "True"
    try:
        value = json.loads(re.sub(r"^\((.*?),?\)$", r"[\1]", text))
    except json.JSONDecodeError:
        return text
    return tuple(value) if isinstance(value, list) else value


def plain(value: Any) -> str:
    """Return a value as a command line would have it."""
    return str(value).replace(" ", "")


def grid_points(config: ConfigDict, grid: Grid) -> list[Point]:
    """Return every combination of values as a separate run, the last key's values changing fastest.

    Raises:
      UserError: no such key, or a value of another kind.
    """
    points = []
    for number, values in enumerate(itertools.product(*grid.values())):
        changes, own = dict(zip(grid, values, strict=True)), config.copy_and_resolve_references()
        for key, value in changes.items():
            set_key(own, key, value, "--grid")
        points.append(Point(number, changes, own))
    return points
