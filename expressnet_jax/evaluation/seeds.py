"""Several runs of one recipe that differ in their seed: the mean, and how far another seed may be from it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from expressnet_jax.config import flatten
from expressnet_jax.config_differences import with_defaults
from expressnet_jax.errors import UserError

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
SAME = ("classes", "count", "data", "split", "tta")  # runs that differ in one of these measured different things


def across_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1), and Student's 95 % interval of the mean; both None for a single value."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return {"mean": mean, "standard_deviation": None, "interval": None}
    deviation = float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)
    return {"mean": mean, "standard_deviation": deviation, "interval": [mean - half, mean + half]}


def percent_across(found: Mapping[str, Any] | None, sign: str = "") -> str:
    """Return what `across_seeds` gives, as `68.9 ± 0.4`: percent with half of the interval; nothing for None."""
    if found is None:
        return ""
    text = f"{100 * found['mean']:{sign}.1f}"
    interval = found["interval"]
    return text if interval is None else f"{text} ± {50 * (interval[1] - interval[0]):.1f}"


def read_run(workdir: Path) -> dict[str, Any]:
    """Return a finished run's evaluation.json with its config.

    Raises:
      UserError: the run has not finished, or its files can't be read.
    """
    try:
        figures = json.loads((workdir / "evaluation.json").read_text(encoding="utf-8"))
        return figures | {"config": json.loads((workdir / "config.json").read_text(encoding="utf-8"))}
    except (OSError, ValueError) as error:
        raise UserError(f"{workdir}: no finished run ({error}); give --workdir of runs that have ended") from error


def summarise_runs(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise runs by name, as `read_run` gives them -> config, figures of every seed, and what they are across
    seeds.

    Raises:
      UserError: two runs differ in more than their seed, or have the same one.
    """
    (first_name, first), *others = runs.items()
    for name, run in others:
        if different := [key for key in SAME if run.get(key) != first.get(key)] + _config_differences(first, run):
            raise UserError(f"{name} and {first_name} differ in {', '.join(different)}; summarise runs of one recipe")
    seeds = [run["seed"] for run in runs.values()]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds {', '.join(map(str, sorted(seeds)))}: the same seed twice is one run, not two")
    rows = [seed_figures(run) for run in sorted(runs.values(), key=lambda run: run["seed"])]
    return {
        **{key: first.get(key) for key in SAME},
        "across_seeds": {key: across_seeds([row[key] for row in rows]) for key in rows[0] if key in _averaged(rows)},
        "seeds": rows,
        "machine": first.get("machine"),
        "config": recipe(first["config"]),
    }


def seed_figures(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is published of one seed."""
    row = {"seed": run["seed"], "step": run["step"], "seconds": run.get("seconds")}
    row |= {key: run[key] for key in ("accuracy", "accuracy_interval", *FIGURES[1:]) if key in run}
    if run.get("deduplicated"):
        row["deduplicated_accuracy"] = run["deduplicated"]["accuracy"]
    row["recall"] = {name: figures["recall"] for name, figures in run["per_class"].items()}
    return row | {"confusion": run["confusion"]}


def _averaged(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {
        key for key in (*FIGURES, "deduplicated_accuracy", "seconds") if all(row.get(key) is not None for row in rows)
    }


def recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a config decides the result: not the seed, nor where a run read, wrote and ran."""
    elsewhere = ("dir", "source", "threads", "reader")
    kept = {key: value for key, value in config.items() if key not in ("seed", "log", "checkpoint", "export", "mesh")}
    return kept | {"data": {key: value for key, value in config["data"].items() if key not in elsewhere}}


def _config_differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    ours, theirs = (with_defaults(flatten(recipe(run["config"]))) for run in (first, other))
    return [f"config.{key}" for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]


def format_summary(summary: Mapping[str, Any], mark: float | None = None) -> str:
    """Return a table: a line a seed, then the mean with its interval, and how many seeds reach an accuracy of
    `mark`."""
    rows = summary["seeds"]
    heads = [key for key in (*FIGURES[:3], "deduplicated_accuracy") if key in rows[0]]
    lines = [f"{'seed':>6s}" + "".join(f"{head.replace('_', ' '):>24s}" for head in heads)]
    lines += [f"{row['seed']:6d}" + "".join(f"{100 * row[head]:22.2f} %" for head in heads) for row in rows]
    lines.append(f"{'mean':>6s}" + "".join(f"{100 * summary['across_seeds'][head]['mean']:22.2f} %" for head in heads))
    interval = summary["across_seeds"]["accuracy"]["interval"]
    if interval:
        low, high = (100 * bound for bound in interval)
        lines.append(f"accuracy across seeds: 95 % interval of the mean {low:.2f} to {high:.2f}")
    else:
        low, high = (100 * bound for bound in rows[0]["accuracy_interval"])
        lines.append(f"one seed; 95 % interval over the {summary['count']:,} examples {low:.2f} to {high:.2f}")
    if mark is not None:
        reached = sum(row["accuracy"] >= mark for row in rows)
        lines.append(f"{reached} of {len(rows)} seeds reach {100 * mark:g} %")
    if "seconds" in summary["across_seeds"]:
        lines.append(f"{summary['across_seeds']['seconds']['mean']:,.0f} seconds a run, from the start of its process")
    return "\n".join(lines)
