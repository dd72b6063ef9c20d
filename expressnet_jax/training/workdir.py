"""The folder of one run: who may write in it, what was asked for in it, and where its files are."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from expressnet_jax.cluster import CollectiveError, all_gather
from expressnet_jax.config_differences import differences
from expressnet_jax.errors import UserError
from expressnet_jax.io import write_bytes
from expressnet_jax.training.checkpoints.data_identity import check_same, recorded
from expressnet_jax.training.checkpoints.manager import saved_steps
from expressnet_jax.training.checkpoints.reading import BEST, LATEST

OF_A_HOST = ("data.dir", "data.source", "data.threads")  # what the processes of one run may have each for itself


class Workdir:
    """Holds `workdir` for one run at a time and refuses to mix two different runs in it. Of a run's processes the one
    that `is_main` does so for all.

    `data` are the records of what the run learns from. `before` is what the newest checkpoint says of that: None
    without a checkpoint, an empty list where it says nothing.

    Raises:
      UserError: the folder can't be written, another run trains in it, or it holds a run with another config or data.
    """

    def __init__(
        self, workdir: Path, config: Mapping[str, Any], is_main: bool = True, data: Sequence[Mapping[str, Any]] = ()
    ):
        self.path = Path(workdir)
        self._lock: TextIO | None = None
        self.before: list[dict[str, Any]] | None = None
        if not is_main:
            return
        try:
            str(workdir).encode()
        except UnicodeEncodeError as error:
            name = str(workdir).encode(errors="replace").decode()
            raise UserError(
                f"--workdir {name}: not a name in UTF-8, which checkpoints need; give another, or set PYTHONUTF8=1"
            ) from error
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise UserError(f"--workdir {workdir}: {error.strerror}; give a folder that can be written") from error
        try:
            self._hold(self._lock)
            self._claim(config, data)
        except BaseException:
            self.close()
            raise

    def _hold(self, lock: TextIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"--workdir {self.path}: another run trains in it; wait for it or give another") from error
        except OSError as error:
            raise UserError(
                f"--workdir {self.path}: can't be locked ({error.strerror}); give a local folder"
            ) from error

    def _claim(self, config: Mapping[str, Any], data: Sequence[Mapping[str, Any]]) -> None:
        stored = self.path / "config.json"
        if any(saved_steps(self.path / name) for name in (LATEST, BEST)):
            try:
                old = json.loads(stored.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise UserError(f"{stored} can't be read ({error}); give another --workdir") from error
            if changed := differences(old, config):
                raise UserError(
                    f"--workdir {self.path}: holds a run with another config ({'; '.join(changed[:3])});"
                    " give another --workdir, or the same config to resume"
                )
        self.before = recorded(self.path)
        if self.before:
            check_same(self.path, self.before, data)
        write_bytes(stored, json.dumps(config, indent=2).encode())

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def seen_by_all(self) -> None:
        """Raise Agreed unless every process sees the file that the leading one has written."""
        blind = np.flatnonzero(~all_gather((self.path / "config.json").is_file()))
        if blind.size:
            raise CollectiveError(
                f"--workdir {self.path}: process {blind[0]} does not see what process 0 writes there; give a folder on"
                " storage that all processes share"
            )

    def close(self) -> None:
        if self._lock:
            self._lock.close()


@contextmanager
def disk_errors(workdir: Path) -> Iterator[None]:
    """A full or failing disk as one line for the user, whatever library noticed it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO):
            if os.strerror(number) in str(error):
                steps = saved_steps(workdir / LATEST)
                kept = f"the checkpoint of step {steps[-1].name} is whole" if steps else "no checkpoint was saved yet"
                raise UserError(
                    f"--workdir {workdir}: {os.strerror(number).lower()}; {kept}; repair the disk, then the same"
                    " command resumes from there"
                ) from error
        raise
