"""The two images of a result: its confusion matrix and its learning curves.

Drawn with matplotlib's objects alone: no pyplot, no window, no global state, so any thread may draw.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expressnet_jax.errors import UserError
from expressnet_jax.figure_style import COLOURS, FAINT, INK, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RAW_POINTS = 60


def confusion_png(metrics: dict[str, Any], path: Path | str, title: str = "") -> Path:
    """Draw `metrics["confusion"]`: colour and percentage are shares of a row, the small figure is the count.

    metrics as `classification_metrics` gives them. A class that no example shows has an empty row.
    """
    counts = np.asarray(metrics["confusion"])
    classes = metrics["classes"]
    side = max(0.74 * len(classes), 2.6)
    figure = new_figure(side + 2.0, side + 1.95)
    axes = figure.add_subplot()
    support = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(support, 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        if support[row, 0]:
            _cell(axes, row, column, share[row, column], int(counts[row, column]))
    _label_axes(axes, classes, support[:, 0].tolist())
    _two_titles(axes, title or "Confusion matrix", _headline(metrics))
    return save_figure(figure, path)


def curves_png(history: Sequence[dict[str, Any]], path: Path | str, title: str = "", best_by: str = "accuracy") -> Path:
    """Draw loss and accuracy over epochs, or steps if a line has no "epoch", and mark the best validation.

    history: the lines of metrics.jsonl as dicts with "step", "split" ("train" or "validation") and any of "loss",
    "accuracy", "balanced_accuracy"; a line that comes again after a resume replaces the earlier one.
    """
    lines = sorted({(line["split"], line["step"]): line for line in history}.values(), key=lambda line: line["step"])
    if not lines:
        raise UserError(f"{path}: no learning curve to draw, the history is empty; train for at least one step")
    over = "epoch" if all("epoch" in line for line in lines) else "step"
    figure = new_figure(10, 4)
    loss, accuracy = figure.subplots(1, 2)
    best = _best(lines, best_by)
    for axes, key in ((loss, "loss"), (accuracy, "accuracy")):
        _panel(axes, lines, key, over)
        if best is not None:
            axes.axvline(best[over], color=FAINT, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    accuracy.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    _draw(
        accuracy,
        lines,
        "validation",
        "balanced_accuracy",
        over,
        linestyle="--",
        mfc="white",
        label="validation, balanced",
    )
    if best is not None:
        _mark(accuracy, best, over, best_by)
    for axes, name in ((loss, "Loss"), (accuracy, "Accuracy")):
        axes.set_title(name, loc="left", fontsize=10.5, fontweight="bold", color=INK)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    if title:
        figure.suptitle(title, x=0.012, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    return save_figure(figure, path)


def _cell(axes: "Axes", row: int, column: int, share: float, count: int) -> None:
    if count == 0:
        axes.text(column, row, "0", ha="center", va="center", fontsize=9, color="#a8b0bd", in_layout=False)
        return
    centred: dict[str, Any] = {"ha": "center", "va": "center", "in_layout": False}
    write: Any = partial(axes.annotate, xy=(column, row), textcoords="offset points", **centred)
    percent = f"{100 * share:.0f}" if share >= 0.005 else "<1"
    white = share > 0.64
    weight = "bold" if row == column else "normal"
    write(percent, xytext=(0, 4), fontsize=11, weight=weight, color="white" if white else INK)
    write(f"{count:,}", xytext=(0, -11), fontsize=7, color="#e3ecf7" if white else INK if share > 0.3 else FAINT)


def _label_axes(axes: "Axes", classes: Sequence[str], support: Sequence[int]) -> None:
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=35, ha="right", rotation_mode="anchor", fontsize=9, color=INK)
    axes.set_yticks(ticks, classes, fontsize=9, color=INK)
    axes.set_xlabel("label predicted", fontsize=9.5, color=FAINT, labelpad=6)
    axes.set_ylabel("label annotators gave", fontsize=9.5, color=FAINT, labelpad=6)
    # White lines between the cells, drawn as a grid between the ticks.
    axes.set_xticks(np.arange(0.5, len(classes) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(classes) - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    write: Any = partial(axes.text, len(classes) - 0.5, fontsize=8, color=FAINT, ha="left")
    write(-0.52, "  n", va="bottom")
    for row, count in enumerate(support):
        write(row, f"  {count:,}", va="center")


def _headline(metrics: dict[str, Any]) -> str:
    low, high = metrics["accuracy_interval"]
    return (
        f"accuracy {100 * metrics['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f}), "
        f"n = {metrics['count']:,}\npercent of each row, counts below"
    )


def _two_titles(axes: "Axes", title: str, detail: str) -> None:
    axes.set_title(f"{detail}\n", loc="left", fontsize=9, color=FAINT, pad=0, linespacing=1.35)
    axes.annotate(
        title,
        (0, 1),
        (0, 44),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=12.5,
        fontweight="bold",
        color=INK,
    )


def _panel(axes: "Axes", lines: Sequence[dict[str, Any]], key: str, over: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for split in ("train", "validation"):
        _draw(axes, lines, split, key, over, label=split)
    axes.set_xlabel(over, fontsize=9, color=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=FAINT)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#c3c8d0")


def _draw(axes: "Axes", lines: Sequence[dict[str, Any]], split: str, key: str, over: str, **style: Any) -> None:
    """Draw one curve; of many noisy points the running mean, with the points themselves pale behind it."""
    points = [(line[over], line[key]) for line in lines if line["split"] == split and _is_number(line.get(key))]
    if not points:
        return
    x, y = np.array(points, float).T
    if len(x) > _RAW_POINTS:
        axes.plot(x, y, color=COLOURS[split], linewidth=0.7, alpha=0.25)
        y = _running_mean(y, len(x) // 30)
    marker = "o" if len(x) < 16 else ""
    axes.plot(x, y, color=COLOURS[split], linewidth=1.7, marker=marker, markersize=3.5, **style)


def _running_mean(values: np.ndarray, reach: int) -> np.ndarray:
    """Return the mean of each value and up to `reach` neighbours on either side, fewer at the ends."""
    total = np.concatenate([[0], np.cumsum(values)])
    place = np.arange(len(values))
    start, stop = np.maximum(place - reach, 0), np.minimum(place + reach + 1, len(values))
    return (total[stop] - total[start]) / (stop - start)


def _best(lines: Sequence[dict[str, Any]], key: str) -> dict[str, Any] | None:
    scored = [line for line in lines if line["split"] == "validation" and _is_number(line.get(key))]
    return max(scored, key=lambda line: (line[key], line["step"]), default=None)  # of equals the later, as in best/


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _mark(axes: "Axes", best: dict[str, Any], over: str, key: str) -> None:
    x, y = best[over], best[key]
    axes.plot([x], [y], marker="o", markersize=7, color=COLOURS["validation"], markeredgecolor="white", zorder=5)
    low, high = axes.get_xlim()
    left = x > (low + high) / 2
    # At the foot of the line, where an accuracy that has risen leaves space.
    axes.annotate(
        f"best {100 * y:.1f} %\n{over} {x:,.0f}",
        (x, 0.03),
        (-6 if left else 6, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom",
        fontsize=8.5,
        color=INK,
    )
