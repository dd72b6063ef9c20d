"""Who works on a prepared set: one process makes it, and every reader locks a file, so that none is removed in use."""

import atexit
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from expressnet_jax.data.prepared import Prepared
from expressnet_jax.errors import UserError

READERS, USED = "readers", "used"
_held: dict[Path, FileLock] = {}


@contextmanager
def only_one(stage: Path) -> Iterator[None]:
    """Hold the lock of an unfinished preparation; another process that has it is waited for.

    Raises:
      UserError: the disk knows no locks.
    """
    lock = FileLock(lock_of(stage))
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{stage.name.split('.')[1]}: another process prepares it; waiting for that", file=sys.stderr)
            lock.acquire()
    except NotImplementedError as error:
        raise UserError(f"{stage.parent}: its disk can't lock files; give a data_dir on another one") from error
    try:
        yield
    finally:
        lock.release()


def lock_of(stage: Path) -> Path:
    """Return the file that is locked while a stage is in use."""
    return stage.with_suffix(".lock")


def hold(prepared: Prepared) -> Prepared:
    """Note that this process reads the set until it ends. A disk that can't be written notes nothing."""
    home = prepared.directory.parent
    if home in _held:
        return prepared
    with suppress(OSError, NotImplementedError, Timeout):  # the last two: a disk without locks, a process id used twice
        (home / USED).touch()
        (home / READERS).mkdir(exist_ok=True)
        lock = FileLock(home / READERS / f"{socket.gethostname()}.{os.getpid()}.lock", timeout=0, thread_local=False)
        lock.acquire()
        _held[home] = lock
        atexit.register(let_go, home)
    return prepared


def let_go(home: Path) -> None:
    """End what `hold` began."""
    lock = _held.pop(home, None)
    if lock:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def in_use(home: Path) -> bool:
    """Return whether a process reads the set now. What a killed one left is cleared away."""
    return any(not _is_stale(path) for path in (home / READERS).glob("*.lock"))


def last_used(home: Path) -> float | None:
    """Return the seconds since the epoch of the last use, or None where none was noted."""
    with suppress(OSError):
        return (home / USED).stat().st_mtime
    return None


def _is_stale(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
    except (Timeout, OSError, NotImplementedError):
        return False
    return True
