"""The runs below a folder, from what they have written: `expressnet runs FOLDER`. Nothing is loaded but text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expressnet_jax.errors import UserError
from expressnet_jax.metric_writers import read_history

HEAD = ("run", "model", "data", "seed", "epoch", "metric", "best", "at epoch", "time", "state")


def find_runs(folder: Path) -> list[dict[str, Any]]:
    """Return a dict for each run below a folder, by path: what it trains, how far it is, its best figure.

    Raises:
      UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that holds the --workdir of runs")
    places = sorted(path.parent for path in folder.rglob("metrics.jsonl") if (path.parent / "config.json").is_file())
    return [found for place in places if (found := _read_run(place, str(place.relative_to(folder))))]


def _read_run(workdir: Path, name: str) -> dict[str, Any] | None:
    try:
        config = json.loads((workdir / "config.json").read_text(encoding="utf-8"))
        facts = {"model": config["model"]["name"], "data": config["data"]["name"].partition("@")[0]}
        metric, epochs = config["eval"]["metric"], config["train"]["epochs"]
    except (OSError, ValueError, KeyError, TypeError):  # another program's folder
        return None
    history = read_history(workdir / "metrics.jsonl")
    last = history[-1] if history else {}
    facts = {"run": name, "task": config.get("task", "classification"), **facts, "seed": config.get("seed", 0)}
    facts |= {"epoch": last.get("epoch", 0.0), "epochs": epochs, "step": last.get("step", 0)}
    finished = (workdir / "evaluation.json").is_file()
    return facts | _best(history, metric) | {"seconds": last.get("seconds"), "finished": finished}


def _best(history: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """Return the best validation figure: of the main target, metrics stand without its name."""
    for key in (metric, metric.rpartition("/")[2]):
        if found := [line for line in history if line.get("split") == "validation" and key in line]:
            best = max(found, key=lambda line: (line[key], line["step"]))  # of equals the later, as in best/
            return {"metric": key, "best": best[key], "best_epoch": best.get("epoch"), "best_step": best["step"]}
    return {"metric": metric, "best": None, "best_epoch": None, "best_step": None}


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the runs as text, a line each."""
    rows = [HEAD, *map(_row, runs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(run: Mapping[str, Any]) -> tuple[str, ...]:
    best = "" if run["best"] is None else f"{run['best']:.4f}"
    at = "" if run["best_epoch"] is None else f"{run['best_epoch']:.3g}"
    minutes = "" if run["seconds"] is None else f"{run['seconds'] / 60:.1f} min"
    epochs, state = f"{run['epoch']:.3g}/{run['epochs']:.3g}", "finished" if run["finished"] else "unfinished"
    return (run["run"], run["model"], run["data"], str(run["seed"]), epochs, run["metric"], best, at, minutes, state)
