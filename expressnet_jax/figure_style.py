"""How figures look, and how they reach the disk: matplotlib's objects alone, without pyplot or a window."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from expressnet_jax.io import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
INK, FAINT = "#1f2430", "#6b7280"
# Okabe & Ito 2008, Color universal design: distinguished with every common colour vision.
COLOURS = {"train": "#0072b2", "validation": "#d55e00"}


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure  # half a second, which a run spends when it has ended
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    return Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor="white")


def save_figure(figure: "Figure", path: Path | str) -> Path:
    """Write a figure as PNG and return its path."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=_DPI)
    return write_bytes(path, image.getvalue())
