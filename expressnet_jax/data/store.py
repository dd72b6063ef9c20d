"""Where prepared data sets live: each by its content, so that no preparation replaces what another process reads.

DATA_DIR/NAME/IDENTITY/VERSION/   a prepared set (see `prepared`); the identity is a hash of what is in it
DATA_DIR/NAME/IDENTITY/used       an empty file whose modification time is that of the last use
DATA_DIR/NAME/sources/KEY.json    the set that a source with its options was prepared as, and a fingerprint of its files
DATA_DIR/NAME/VERSION/            a set that was prepared before there were identities
DATA_DIR/.NAME.KEY.partial/       what is being prepared, or what an interrupted preparation left
"""

import errno
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from expressnet_jax.data.datasets import DATASETS, FORMAT_VERSION
from expressnet_jax.data.fingerprint import short_hash
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.data.readers import READERS
from expressnet_jax.errors import UserError
from expressnet_jax.io import read_json
from expressnet_jax.process import expanded

FACTS, SOURCES = "facts.json", "sources"
PARTIAL = ".partial"  # how the hidden folder of an unfinished preparation ends


@dataclass(frozen=True)
class Origin:
    """What is to be prepared.

    Attributes:
      dataset: the name of the reader.
      source: the resolved path of the user's file or folder, or "" where the images are made.
      options: those that are not the defaults, without the name.
      fingerprint: of the source's files (see `source_fingerprint`).
    """

    dataset: str
    source: str
    options: dict[str, Any]
    fingerprint: str

    @property
    def key(self) -> str:
        """What stays the same when the content of the source changes."""
        return short_hash([self.dataset, self.source, self.options])

    @property
    def plain(self) -> dict[str, Any]:
        """The attributes as JSON gives them back."""
        return json.loads(json.dumps(vars(self)))


@dataclass(frozen=True)
class Stored:
    """A prepared set on the disk. `records` are of the sources that it was prepared from, the latest last."""

    name: str
    directory: Path
    records: tuple[dict[str, Any], ...]

    @property
    def home(self) -> Path:
        """The folder that is of this set alone; of one of the time before, that of its name."""
        return self.directory.parent

    @property
    def of_the_time_before(self) -> bool:
        return self.home.name == self.name

    @cached_property
    def identity(self) -> str:
        return self.open().identity if self.of_the_time_before else self.home.name

    @property
    def prepared(self) -> float:
        """Seconds since the epoch when it was last asked to be prepared."""
        times = [record["prepared"] for record in self.records]
        return max(times, default=0.0) or (self.directory / FACTS).stat().st_mtime

    @property
    def source(self) -> str:
        return self.records[-1]["source"] if self.records else ""

    def open(self) -> Prepared:
        """Read its facts.

        Raises:
          UserError: they are damaged.
        """
        path = self.directory / FACTS
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error}); run: {_command(self.name)}") from error
        return Prepared(self.name, self.directory, tuple(facts["classes"]), facts, self.source or facts.get("source"))


def default_data_dir() -> Path:
    """Return $EXPRESSNET_DATA, or expressnet_data in the home directory."""
    try:
        return expanded(os.environ.get("EXPRESSNET_DATA") or "~/expressnet_data")
    except UserError as error:
        raise UserError(f"{error}; or set EXPRESSNET_DATA to where prepared data lives") from error


def load(name: str, data_dir: Path) -> Prepared:
    """Return a set that has been prepared before: the last one of NAME, or the one that NAME@IDENTITY says.

    Raises:
      UserError: there is none, with the command that prepares it, or no such identity, with those that there are.
    """
    plain, _, wanted = name.partition("@")
    found = stored_sets(plain, data_dir)
    if not found:
        raise UserError(f"{plain} is not prepared in {data_dir}; run: {_command(plain)}")
    matching = [each for each in found if each.identity.startswith(wanted)] if wanted else found[-1:]
    if len(matching) != 1:
        valid = ", ".join(f"{plain}@{each.identity}" for each in found)
        raise UserError(
            f"{name}: {'several are called so' if matching else 'no such set'} in {data_dir}; one of {valid}"
        )
    return matching[0].open()


def find(name: str, data_dir: Path, origin: Origin) -> Prepared | None:
    """Return what was prepared from these very files with these options, or None."""
    record = read_json(_record(name, data_dir, origin)) or {}
    same = record.get("fingerprint") == origin.fingerprint
    return with_identity(name, data_dir, record["identity"]) if same else None


def changed_since(name: str, data_dir: Path, origin: Origin) -> str | None:
    """Return the identity that this source had when it was prepared with other files in it, or None."""
    record = read_json(_record(name, data_dir, origin)) or {}
    return record.get("identity") if record.get("fingerprint") != origin.fingerprint else None


def with_identity(name: str, data_dir: Path, identity: str) -> Prepared | None:
    """Return the set of that content if it is whole."""
    with suppress(UserError):
        return next((each.open() for each in stored_sets(name, data_dir) if each.identity == identity), None)
    return None


def remember(name: str, data_dir: Path, origin: Origin, identity: str) -> None:
    """Record what a source was prepared as; `load` then takes it as the last one that was prepared."""
    path = _record(name, data_dir, origin)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = origin.plain | {"identity": identity, "prepared": time.time()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def adopt(made: Path, final: Path, overwrite: bool) -> None:
    """Give a prepared set its place. What is there already has the same content and stays, unless `overwrite`; its
    readers are then those of the new one."""
    final.parent.mkdir(parents=True, exist_ok=True)
    replaced = made.with_name(".replaced")  # no name of a set begins so
    if overwrite or not read_json(final / FORMAT_VERSION / FACTS):
        with suppress(FileNotFoundError):
            os.replace(final, replaced)
    try:
        os.replace(made, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    with suppress(OSError):  # there are none, or new ones already
        os.replace(replaced / READERS, final / READERS)


def stored_sets(name: str, data_dir: Path) -> list[Stored]:
    """Return all sets of a name, the last prepared one last."""
    home = expanded(data_dir) / name
    records = sorted(filter(None, map(read_json, home.glob(f"{SOURCES}/*.json"))), key=lambda each: each["prepared"])
    by_identity: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_identity.setdefault(record["identity"], []).append(record)
    paths = home.glob(f"*/{FORMAT_VERSION}/{FACTS}")
    found = [Stored(name, path.parent, tuple(by_identity.pop(path.parts[-3], ()))) for path in paths]
    if (home / FORMAT_VERSION / FACTS).is_file():  # whose own identity would have to be computed
        found.append(Stored(name, home / FORMAT_VERSION, tuple(chain(*by_identity.values()))))
    return sorted(found, key=lambda each: each.prepared)


def _record(name: str, data_dir: Path, origin: Origin) -> Path:
    return Path(data_dir) / name / SOURCES / f"{origin.key}.json"


def _command(name: str) -> str:
    if name == "synthetic":
        return "expressnet prepare synthetic"
    if name in DATASETS:
        return f"expressnet prepare {name} --source PATH"
    return f"expressnet prepare folder --source PATH --name {name}"
