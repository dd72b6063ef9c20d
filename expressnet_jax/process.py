"""What a process of this project sets for itself before it works, and the folders that it may write into unasked."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expressnet_jax.errors import UserError, one_line

_CACHE = "expressnet_jax"


def settle_process() -> None:
    """Prepare a command's process: streams that take any text, one folder of caches.

    For processes that are this project's own; a program that imports the package keeps its settings.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows no bars, a file name that is no text
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # Matplotlib writes a list of fonts into the home folder when it is imported; without a folder of caches it takes
    # a temporary one. What else is in the user's folder for it would change the charts.
    if "MPLCONFIGDIR" not in os.environ and (folder := cache_folder("matplotlib")):
        os.environ["MPLCONFIGDIR"] = str(folder)


def _open_closed_streams() -> None:
    """Give standard input, output and error to the null device where the caller has closed them.

    Otherwise the next file that is opened takes the number, and what a library prints lands in that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False, encoding="utf-8"))  # noqa: SIM115


def cache_folder(name: str) -> Path | None:
    """Return `name` in this project's folder of caches, not made yet, or None if it can't be written.

    The folder is $XDG_CACHE_HOME/expressnet_jax, or ~/.cache/expressnet_jax; nothing outside it is written unasked.
    """
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # there is no home folder
        return None
    folder = caches / _CACHE / name
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return folder if folder.is_absolute() and there.is_dir() and os.access(there, os.W_OK | os.X_OK) else None


def expanded(path: Path | str) -> Path:
    """Return `path` with the home folder in place of ~.

    Raises:
      UserError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: there is no home folder for ~ here; set HOME, or give the path in full") from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is removed afterwards.

    Raises:
      UserError: no temporary folder can be written, or what is written into it does not fit.
    """
    remedy = "set TMPDIR to a folder that can be written and has room"
    try:
        made = tempfile.TemporaryDirectory(prefix=f"{_CACHE}_", ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(f"temporary folder: none can be written ({one_line(error, 120)}); {remedy}") from error
    with made as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.filename is None or not str(error.filename).startswith(tempfile.gettempdir()):
                raise
            raise UserError(f"{tempfile.gettempdir()}: {error.strerror}; {remedy}") from error
