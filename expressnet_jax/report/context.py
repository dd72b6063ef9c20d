"""What every section of a report is computed from, and how much of it."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from expressnet_jax.errors import UserError
from expressnet_jax.io import write_bytes
from expressnet_jax.report.examples import Examples, restrict
from expressnet_jax.report.subject import Subject

_DIGITS = 6


class Budget(NamedTuple):
    """How many images each part of a report looks at; `examples` of each data set, None for all."""

    examples: int | None
    corrupted: int
    degraded: int
    explained: int
    people: int


FULL = Budget(examples=None, corrupted=500, degraded=1000, explained=120, people=100)
QUICK = Budget(examples=1500, corrupted=40, degraded=150, explained=24, people=20)


@dataclass(frozen=True)
class Context:
    """A report's model, the model it is compared with, the data sets, and where intermediate results are kept."""

    subject: Subject
    other: Subject | None
    data: Sequence[Examples]
    budget: Budget
    cache: Path
    attributes: Sequence[str] = ()
    runs: Sequence[Path] = ()
    audits: Sequence[dict[str, Any] | None] = ()

    def probabilities(self, subject: Subject, examples: Examples) -> np.ndarray:
        """Return float32[N,S] of the shared classes, computed once and kept in the cache."""
        return restrict(self._kept(subject, examples), subject.classes, examples.classes)

    def _kept(self, subject: Subject, examples: Examples) -> np.ndarray:
        which = examples.identity, examples.index.tolist()  # what is sampled follows from another model's classes, too
        name = f"predictions-{short(subject.identity, *which, subject.image_shape)}.npy"
        path = self.cache / name
        if path.is_file():
            return np.load(path, allow_pickle=False)
        found = subject.probabilities(examples.images)
        content = io.BytesIO()
        np.save(content, found, allow_pickle=False)
        write_bytes(path, content.getvalue())
        return found


def short(*parts: Any) -> str:
    """Return 12 hexadecimal digits that follow from the parts' text."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def rounded(value: Any) -> Any:
    """Return plain JSON values with floats of six significant digits, NaN as None: small, and the same every time."""
    if isinstance(value, dict):
        return {str(name): rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [rounded(each) for each in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def progress(items: Sequence[Any] | np.ndarray, text: str) -> Any:
    """Return the items with a progress bar on a terminal."""
    return tqdm(items, desc=text, leave=False, disable=None)


def require(module: str, section: str, remedy: str) -> None:
    """Raise UserError where a section's library is missing, before anything is computed."""
    import importlib

    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"report: the section {section} needs {module}: {remedy}; or leave it out of --sections"
        ) from error


Section = Callable[[Context], dict[str, Any]]
