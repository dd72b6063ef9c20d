"""The prepared sets of a data folder as a person manages them: listed with their size and last use, and removed."""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from expressnet_jax.data.readers import in_use, last_used, lock_of
from expressnet_jax.data.store import FACTS, PARTIAL, SOURCES, Stored, stored_sets
from expressnet_jax.errors import UserError
from expressnet_jax.io import read_json

_INTERRUPTED = "interrupted"  # how the identity of a leftover begins
_DAY = 24 * 3600


@dataclass(frozen=True)
class Entry:
    """A prepared set, or what an interrupted preparation or removal has left of one.

    Attributes:
      path: the folder that holds it.
      examples: split -> number, nothing for a leftover.
      bytes: its size on the disk.
      used: seconds since the epoch of its last use or preparation.
      stored: the set, or None for a leftover.
    """

    name: str
    identity: str
    path: Path
    source: str
    examples: dict[str, int]
    bytes: int
    used: float
    stored: Stored | None = None

    @property
    def label(self) -> str:
        return f"{self.name}@{self.identity}"

    @property
    def figures(self) -> dict[str, Any]:
        """Return it as plain JSON-able values."""
        plain = {key: value for key, value in vars(self).items() if key != "stored"}
        finished = self.stored is not None
        return plain | {"path": str(self.path), "finished": finished, "used": _time(self.used, "%FT%TZ", time.gmtime)}


def entries(data_dir: Path) -> list[Entry]:
    """Return all sets and leftovers below a data folder, by their names, the last used one of a name last."""
    if not data_dir.is_dir():
        return []
    names = [path.name for path in data_dir.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [_entry(stored) for name in names for stored in stored_sets(name, data_dir)]
    found += [_leftover(path) for path in data_dir.glob(f".*{PARTIAL}")]
    return sorted(found, key=lambda entry: (entry.name, entry.used))


def named(found: Sequence[Entry], name: str) -> list[Entry]:
    """Return the entries that NAME, or NAME@ID with the first digits of an identity, says.

    Raises:
      UserError: there is none; it lists those that there are.
    """
    plain, _, identity = name.partition("@")
    matching = [entry for entry in found if entry.name == plain and entry.identity.startswith(identity)]
    if not matching:
        valid = ", ".join(entry.label for entry in found) or "there is none yet"
        raise UserError(f"{name}: no such prepared set; one of: {valid}")
    return matching


def only(found: Sequence[Entry], name: str) -> Entry:
    """Return the one entry that a name says.

    Raises:
      UserError: there is none, or more than one.
    """
    matching = named(found, name)
    if len(matching) > 1:
        raise UserError(f"{name}: several prepared sets are called so; one of: {', '.join(e.label for e in matching)}")
    return matching[0]


def idle(found: Sequence[Entry], days: float | None) -> list[Entry]:
    """Return those that nothing has used for so many days; all for None."""
    return [entry for entry in found if days is None or entry.used < time.time() - days * _DAY]


def remove(entry: Entry) -> None:
    """Take an entry from the disk. It is out of sight before the first of its files goes.

    Raises:
      UserError: another process reads or prepares it, or the disk does not allow it.
    """
    try:
        if entry.stored:
            _remove_set(entry, entry.stored)
        else:
            with FileLock(lock_of(entry.path), timeout=0):
                shutil.rmtree(entry.path)
    except Timeout as error:
        raise UserError(f"{entry.label}: another process prepares it; wait for it, or stop it first") from error
    except OSError as error:
        raise UserError(f"{error.filename or entry.path}: can't be removed ({error.strerror})") from error


def table(found: Sequence[Entry]) -> str:
    """Return the entries as text, a line each, and their sum."""
    rows = [("name", "examples", "size", "last used", "source")]
    for entry in found:
        counts = ", ".join(f"{split} {count:,}" for split, count in entry.examples.items()) or "not whole"
        rows.append((entry.label, counts, size(entry.bytes), _time(entry.used), entry.source))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(f"{row[i]:<{width}}" for i, width in enumerate(widths)), row[4]]).rstrip() for row in rows]
    return "\n".join([*lines, f"{len(found):,} in all, {size(sum(entry.bytes for entry in found))}"])


def size(count: float) -> str:
    """Return a number of bytes as a person reads it."""
    units = ("B", "KiB", "MiB", "GiB")
    power = next((i for i in range(3) if count < 1024 ** (i + 1)), 3)
    return f"{count / 1024**power:.{1 if power else 0}f} {units[power]}"


def _entry(stored: Stored) -> Entry:
    facts = read_json(stored.directory / FACTS) or {}
    examples = {split: known["examples"] for split, known in facts.get("splits", {}).items()}
    path = stored.directory if stored.of_the_time_before else stored.home
    identity = stored.identity if facts or not stored.of_the_time_before else "damaged"
    used = max(last_used(stored.home) or 0, stored.prepared)
    source = stored.source or facts.get("source") or ""
    return Entry(stored.name, identity, path, source, examples, _bytes(path), used, stored)


def _leftover(path: Path) -> Entry:
    name, *key = path.name.removeprefix(".").removesuffix(PARTIAL).split(".")
    source = (read_json(path / "origin.json") or {}).get("source") or ""
    return Entry(name, "-".join([_INTERRUPTED, *key]), path, source, {}, _bytes(path), path.stat().st_mtime)


def _remove_set(entry: Entry, stored: Stored) -> None:
    """Rename the set to a leftover, check once more that no process began to read it, and remove that."""
    reading = UserError(f"{entry.label}: another process reads it; wait until that has ended")
    if in_use(stored.home):
        raise reading
    top = stored.home if stored.of_the_time_before else stored.home.parent
    hidden = top.parent / f".{entry.name}.{entry.identity}{PARTIAL}"
    os.replace(entry.path, hidden)
    if in_use(stored.home if stored.of_the_time_before else hidden):
        os.replace(hidden, entry.path)
        raise reading
    for record in (top / SOURCES).glob("*.json"):
        if (read_json(record) or {}).get("identity") == entry.identity:
            record.unlink(missing_ok=True)
    shutil.rmtree(hidden)
    for folder in (top / SOURCES, top):
        with suppress(OSError):  # there is more in it
            folder.rmdir()


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _time(seconds: float, form: str = "%F %H:%M", clock=time.localtime) -> str:
    return time.strftime(form, clock(seconds))
