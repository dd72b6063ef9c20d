"""Clips to look at before training: one row per clip, its frames side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expressnet_jax.data.decode import Size, decode, resized
from expressnet_jax.data.show import Cell, some_of_each_class, write_grid

if TYPE_CHECKING:
    from expressnet_jax.data.prepared import Split

_MOST_SHOWN = 16  # frames of a clip, evenly spaced where there are more
_PHASES = ("onset", "apex", "offset")


def show_clips(
    split: "Split", frames: int, output: Path, *, per_class: int = 2, seed: int = 0, size: Size = None
) -> Path:
    """Write a PNG with a row per clip, `per_class` random clips of each class, and return its path.

    A clip is stored as one image, its `frames` one below the other. Above a frame stand its number, the expression's
    intensity and the phase that begins or ends there, where the data set has these columns.
    """
    indices = some_of_each_class(split, per_class, seed)
    shown = np.unique(np.linspace(0, frames - 1, min(frames, _MOST_SHOWN)).round().astype(int))
    rows = []
    for i in indices.tolist():
        images = _frames(split.encoded(i), frames, size)
        cells = [Cell(images[t], _caption(split, i, t)) for t in shown.tolist()]
        rows.append((f"{split.classes[split.labels[i]]} #{i}", cells))
    return write_grid(rows, f"{len(split):,} clips of {frames} frames, {len(split.classes)} classes", output)


def _frames(encoded: bytes, frames: int, size: Size) -> Sequence[np.ndarray]:
    stacked = decode(encoded, None, 3)
    return [resized(frame, size) for frame in stacked.reshape(frames, -1, *stacked.shape[1:])]


def _caption(split: "Split", i: int, frame: int) -> str:
    columns = split.columns
    parts = [f"{frame}"]
    if "intensity" in columns:
        parts.append(f"{columns['intensity'][i][frame]:.2f}")
    parts += [name for name in _PHASES if name in columns and columns[name][i] == frame]
    return "  ".join(parts)
