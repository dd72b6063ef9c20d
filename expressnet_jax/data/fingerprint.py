"""What tells two data sets apart: the identity of what was prepared, and a fingerprint of the files it came from."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.datasets import FORMAT_VERSION

_LENGTH = 12  # hexadecimal digits of an identity


def content_identity(facts: Mapping[str, Any], columns: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Return what names a prepared set by its content alone, wherever its files came from.

    Args:
      facts: as in facts.json. Its splits have the hash of all pixels and labels in order.
      columns: split -> column -> array [N, ...]. Keys don't count: a file may be renamed.
    """
    splits = {
        split: [
            known["examples"],
            known.get("sha256"),
            {name: _column(column) for name, column in columns[split].items() if name != "key"},
        ]
        for split, known in facts["splits"].items()
    }
    pairs = facts.get("notes", {}).get("pairs")
    targets = [facts["targets"]] if facts.get("targets") else []  # sets without any keep the identity they always had
    return short_hash([FORMAT_VERSION, facts["classes"], splits, pairs, *targets])


def short_hash(content: Any) -> str:
    """Return the first digits of the SHA-256 of plain JSON-able values."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_LENGTH]


def _column(column: np.ndarray) -> str:
    if column.dtype.kind in "US":
        content = "\0".join(map(str, column.tolist())).encode(errors="surrogateescape")
    else:
        content = np.ascontiguousarray(column, "<f8" if column.dtype.kind == "f" else "<i8").tobytes()
    return hashlib.sha256(content).hexdigest()


def source_fingerprint(files: Iterable[Path]) -> str:
    """Return a hash of the files' paths, sizes and modification times: cheap, and nothing is read.

    A file that is gone counts as such.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        try:
            status = path.stat()
        except OSError:
            status = None
        seen = (status.st_size, status.st_mtime_ns) if status else None
        digest.update(os.fsencode(path) + f"\0{seen}\0".encode())
    return digest.hexdigest()


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, those behind links too, and each folder once."""
    known = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        known.add(os.path.realpath(parent))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(parent, name)) not in known]
        yield from (Path(parent, name) for name in names)
