"""What readers that go by a list share: its rows with their place, codes -> labels, numbers in range, files that exist.

A place is "FILE row N", N as an editor counts; every message opens with it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from expressnet_jax.data.datasets.tables import Table, encoding_of
from expressnet_jax.errors import UserError


def csv_rows(path: Path, columns: Sequence[str], header: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (place, column -> text) of every row of a table that has at least these columns, in any case of letters.

    header: the column names of copies that come without a header line; it is not used where the first line has one.
    """
    wanted = {name.lower(): name for name in columns}
    names: list[str] = []
    for line, values in Table(path, wanted).rows():
        if not names:
            first = [wanted.get(value.lower(), value) for value in values]
            names = first if set(columns) <= set(first) else list(header)
            if len(names) != len(first):
                raise UserError(f"{path.name} row {line}: it has {', '.join(first)}; it needs {', '.join(columns)}")
            if names == first:
                continue
        if len(values) < len(names):
            place = f"{path.name} row {line}"
            raise UserError(f"{place}: {len(values)} columns, not {len(names)}; fetch the file again")
        yield f"{path.name} row {line}", dict(zip(names, values, strict=False))


def text_rows(path: Path, words: int) -> Iterator[tuple[str, list[str]]]:
    """Yield (place, words) of every line that isn't empty; each must have exactly this many words."""
    with path.open(encoding=encoding_of(path), errors="replace") as file:
        for number, line in enumerate(file, start=1):
            values = line.split()
            if values and len(values) != words:
                raise UserError(f"{path.name} row {number}: {len(values)} words, not {words}; fetch the file again")
            if values:
                yield f"{path.name} row {number}", values


def name_of(code: str, codes: Mapping[int, str], place: str) -> str:
    """Return the name of a data set's own code as text ("6", "6.0").

    Raises:
      UserError: there is no such code.
    """
    with suppress(ValueError):
        value = float(code)
        if value.is_integer() and int(value) in codes:
            return codes[int(value)]
    raise UserError(f"{place}: label {code!r} is not one of {', '.join(map(str, codes))}")


def label_of(code: str, codes: Mapping[int, str], classes: Sequence[str], place: str) -> int:
    """Return the position in `classes` of a data set's own code, whose names are all among them."""
    return classes.index(name_of(code, codes, place))


def number(text: str, name: str, low: float, high: float, place: str) -> float:
    """Convert text to a number from low to high."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not low <= value <= high:
        raise UserError(f"{place}: {name} is {text!r}, not a number from {low:g} to {high:g}")
    return value


def require_files(wanted: Iterable[tuple[str, Path]], remedy: str) -> None:
    """Raise a UserError that names the first (place, file) that isn't there and says how many aren't."""
    folders: dict[Path, set[str]] = {}
    absent, total = [], 0
    for place, path in wanted:
        total += 1
        if path.parent not in folders:
            there = path.parent.is_dir()
            folders[path.parent] = {entry.name for entry in path.parent.iterdir()} if there else set()
        if path.name not in folders[path.parent]:
            absent.append((place, path))
    if absent:
        place, path = absent[0]
        raise UserError(f"{place}: no {path} ({len(absent):,} of {total:,} listed files are missing); {remedy}")


def first_dir(*candidates: Path) -> Path | None:
    """Return the first candidate that is a folder."""
    return next((path for path in candidates if path.is_dir()), None)


def first_file(*candidates: Path) -> Path | None:
    """Return the first candidate that is a file."""
    return next((path for path in candidates if path.is_file()), None)
