"""The hidden folder in which a data set is prepared, until all of it is written."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expressnet_jax.data import store
from expressnet_jax.data.readers import only_one
from expressnet_jax.data.store import Origin
from expressnet_jax.errors import UserError

_ORIGIN = "origin.json"  # what the folder is a preparation of


@contextmanager
def open_stage(data_dir: Path, name: str, origin: Origin) -> Iterator[Path]:
    """Make a hidden folder on the same disk, one preparation of a source at a time; it is removed afterwards unless
    whole files of records are in it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    stage = data_dir / f".{name}.{origin.key}{store.PARTIAL}"
    with only_one(stage):
        stage.mkdir(exist_ok=True)
        try:
            yield stage
        except UserError:  # of the source, which will differ once it is corrected
            shutil.rmtree(stage)
            raise
        finally:
            if not _written(stage):
                shutil.rmtree(stage, ignore_errors=True)


def clear_stage(stage: Path, origin: Origin, overwrite: bool) -> None:
    """Empty the stage, unless it holds whole files that a killed run wrote of the same origin."""
    if not overwrite and store.read_json(stage / _ORIGIN) == origin.plain and _written(stage):
        return
    shutil.rmtree(stage)
    stage.mkdir()
    (stage / _ORIGIN).write_text(json.dumps(origin.plain), encoding="utf-8")


def _written(stage: Path) -> int:
    """Return how many whole files of records are in the stage."""
    found = [store.read_json(path) or {} for path in stage.glob("*/*/dataset_info.json")]
    return sum(len(split.get("shardLengths", ())) for info in found for split in info.get("splits", ()))


@contextmanager
def disk_errors(data_dir: Path) -> Iterator[None]:
    """Turn the errors of the disk itself into one line for the user."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # ArrayRecord's writer reports a full disk as a RuntimeError
        if any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT)):
            raise UserError(f"no space left on the disk of {data_dir}; free some, or give another data_dir") from error
        if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
            reason = os.strerror(error.errno or errno.EACCES).lower()
            raise UserError(f"{error.filename or data_dir}: {reason}; give another path") from error
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            raise UserError(f"{error.filename or data_dir} is a file, not a folder; give another data_dir") from error
        raise
