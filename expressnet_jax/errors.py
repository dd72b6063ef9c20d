"""The exceptions that reach a user; the commands print them without a traceback."""

import logging
import signal
from collections.abc import Sequence
from unicodedata import category


class UserError(Exception):
    """What a user can fix: one line that names the file or key and the remedy. Exit status 2."""


class DivergedError(UserError):
    """The loss, a gradient or a weight of a run is not finite."""


class Interrupted(Exception):
    """A run was asked to stop by `signum` and has saved at `step`. Exit status 128 + signum."""

    def __init__(self, signum: int, step: int):
        name = signal.Signals(signum).name
        super().__init__(f"stopped at step {step} by {name}; the same command resumes from there")
        self.signum, self.step = signum, step


def one_line(error: BaseException | str, most: int = 200) -> str:
    """Return what an exception of a library says, on one line and not longer than a person reads."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    words = " ".join(str(text).split()) or type(error).__name__
    return words if len(words) <= most else words[: most - 3] + "..."


def system_line(error: OSError) -> str:
    """Return what the operating system refused, and of which file: the last resort where no code near it knew a
    remedy."""
    names = ", ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    return one_line(f"{names}: {error.strerror}" if names and error.strerror else error, 400)


def quiet_logging() -> None:
    """Leave stderr to this project's lines: Orbax and asyncio log every error that they also raise, as pages;
    Matplotlib speaks of its temporary folder."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.WARNING)
    for name in ("absl", "asyncio", "matplotlib"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def printable(name: object) -> str:
    """Return a path or name that prints in any UTF-8 stream, on one line.

    Bytes of another encoding (surrogates, as `os.fsdecode` makes them) become \\xd5; control characters are escaped.
    """
    return "".join(_escaped(letter) if category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter for letter in str(name))


def _escaped(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else letter.encode("unicode_escape").decode()


def shorten(names: Sequence[str], most: int = 10) -> str:
    """Join names for a message; of the people of an identity run only the first few."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
