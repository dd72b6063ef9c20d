"""Results reach the disk whole or not at all."""

import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.errors import UserError

_LONGEST_NAME = 255  # bytes of a file name, in every file system in use
_FLAT_LIST = re.compile(r"\[\n\s+([^\[\]{}]*?)\n\s+\]")


def write_bytes(path: Path | str, content: bytes) -> Path:
    """Write `content` under a temporary name next to `path`, then rename it; make the folder if it is missing.

    Raises:
      UserError: if the folder can't be made or written, or the disk is full; an older file at `path` stays as it was.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free the disk or choose another path"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _temporary(path: Path) -> Path:
    """Return a hidden name next to `path`, shortened where the system would find it too long with what is added."""
    name = f".{path.name}.{os.getpid()}.tmp"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.{os.getpid()}.tmp"
    return path.with_name(name)


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray], compress: bool = False) -> Path:
    """Write arrays by name as a NumPy file, .npz.

    Raises:
      UserError: as of `write_bytes`.
    """
    content, named = io.BytesIO(), dict[str, Any](arrays)
    (np.savez_compressed if compress else np.savez)(content, **named)
    return write_bytes(path, content.getvalue())


def write_json(path: Path | str, content: dict[str, Any]) -> Path:
    """Write a dict as JSON for people and programs: keys in their own order, a row of numbers on one line.

    NumPy scalars and arrays become numbers and lists. NaN is refused with ValueError, because it isn't JSON.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    # A string never holds a bare newline in JSON, so this can only touch lists.
    text = _FLAT_LIST.sub(lambda match: "[" + re.sub(r"\n\s+", " ", match[1]) + "]", text)
    return write_bytes(path, (text + "\n").encode())


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, or None where it is missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
