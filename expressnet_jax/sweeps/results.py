"""The results of a sweep, as a line, a table and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps

from expressnet_jax.figure_style import FAINT, INK, new_figure, save_figure
from expressnet_jax.metric_writers import read_history
from expressnet_jax.sweeps.grid import Point, plain
from expressnet_jax.sweeps.point_run import Outcome

NAMED = 10  # runs in the figure's legend


def line(point: Point, outcome: Outcome, metric: str) -> str:
    """Return what is known of a run, in a line."""
    if outcome.diverged:
        return f"{point.name} {point.title}: diverged ({outcome.diverged.partition(';')[0]})"
    return f"{point.name} {point.title}: {metric} {outcome.value:.4f} by epoch {outcome.epoch:.3g}"


def ranked(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the runs, those that were trained furthest first, of these the best one first."""
    share = lambda run: run["step"] / run["total"]
    known = lambda run: run["value"] is not None
    return sorted(runs, key=lambda run: (not known(run), -share(run), -(run["value"] or 0), run["run"]))


def best_run(runs: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the name of the best of the runs that were trained furthest."""
    first = ranked(runs)[0] if runs else None
    return None if first is None or first["value"] is None else first["run"]


def table(results: Mapping[str, Any], points: int) -> str:
    """Return the runs so far as Markdown, the best one first."""
    keys = list(results["runs"][0]["changes"])
    head = ["run", *keys, results["metric"], "at epoch", "trained", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for run in ranked(results["runs"]):
        per_epoch = run["step"] / run["epoch"] if run["epoch"] else 1
        value, at = ("diverged", "") if run["diverged"] else ("", "")
        if run["value"] is not None:
            value, at = f"{run['value']:.4f}", f"{run['best_step'] / per_epoch:.3g}"
        trained = f"{100 * run['step'] / run['total']:.0f} %"
        cells = [run["run"], *(plain(run["changes"][key]) for key in keys), value, at, trained, f"{run['seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    note = f"The first run is the best of {points} on the split that selected it, a little too good there;"
    return "\n".join([*lines, "", note, "`expressnet evaluate` measures it on another split.", ""])


def sweep_png(results: Mapping[str, Any], output: Path, shares: Sequence[float]) -> Path:
    """Draw the metric of every run over its epochs; the rungs are dotted lines."""
    figure = new_figure(8, 4.5)
    axes, order = figure.add_subplot(), ranked(results["runs"])
    colours = colormaps["viridis"]
    for rank, run in reversed(list(enumerate(order))):
        history = read_history(output / "runs" / run["run"] / "metrics.jsonl", run["step"])
        found = [each for each in history if each["split"] == "validation" and results["metric"] in each]
        title = " ".join(f"{key.rpartition('.')[2]}={plain(value)}" for key, value in run["changes"].items())
        label = f"{run['run']}  {title}" if rank < NAMED else None
        x, y = [each["epoch"] for each in found], [each[results["metric"]] for each in found]
        style: dict[str, Any] = {"linewidth": 2.2 if rank == 0 else 1.2, "marker": "o", "markersize": 3}
        axes.plot(x, y, color=colours(0.9 * rank / max(len(order) - 1, 1)), label=label, **style)
    longest = max(run["epoch"] * run["total"] / max(run["step"], 1) for run in order)
    for share in shares[:-1]:
        axes.axvline(share * longest, color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_xlabel("epoch", fontsize=9, color=FAINT)
    axes.set_ylabel(f"{results['metric']}, {results['data']}", fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return save_figure(figure, output / "sweep.png")
