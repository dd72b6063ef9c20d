"""One run of a sweep, trained to a step: a run's folder like any other, with its log, which can be resumed.

OUTPUT/runs/003/               as `python -m expressnet_jax.main` makes it
OUTPUT/runs/003/log.txt        what the run has printed
OUTPUT/runs/003/diverged.txt   why it ended before its time, where it did
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

import jax

from expressnet_jax.errors import DivergedError
from expressnet_jax.io import write_bytes
from expressnet_jax.metric_writers import read_history
from expressnet_jax.sweeps.grid import Point
from expressnet_jax.tasks import experiment_builder, run_config
from expressnet_jax.training.checkpoints.manager import saved_steps
from expressnet_jax.training.checkpoints.reading import LATEST
from expressnet_jax.training.loop import train
from expressnet_jax.training.targets import selecting_metric

_DIVERGED = "diverged.txt"


class Outcome(NamedTuple):
    """What is known of a run.

    Attributes:
      step, epoch: how far it was trained.
      value: the metric that selects, at the best evaluation so far; NaN without one, and of a run that diverged.
      best_step: when that was; 0 without one.
      seconds: what it took.
      diverged: why it ended, or nothing.
    """

    step: int
    epoch: float
    value: float
    best_step: int
    seconds: float
    diverged: str = ""


def train_point(point: Point, step: int, total: int, folder: Path) -> Outcome:
    """Train a run to a step, or resume it, unless it is there already; at its end it is reported and exported.

    Raises:
      UserError: the folder holds a run with another config, or the run can't be.
      Interrupted: it was stopped, with a checkpoint.
    """
    if not (folder / _DIVERGED).exists() and not _reached(folder, step, total):
        folder.mkdir(parents=True, exist_ok=True)
        with (
            (folder / "log.txt").open("a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            try:
                _train(point, step, total, folder)
            except DivergedError as error:
                write_bytes(folder / _DIVERGED, f"{error}\n".encode())
        jax.clear_caches()
    return _read_outcome(point, step, folder)


def _train(point: Point, step: int, total: int, folder: Path) -> None:
    if step < total:
        train(point.config, folder, experiment_builder(point.config), until=step)
    else:
        run_config(point.config, folder)


def _reached(folder: Path, step: int, total: int) -> bool:
    """Return whether a run is trained so far; of a whole one, whether it is reported, too."""
    return _trained(folder, step) and (step < total or (folder / "evaluation.json").is_file())


def _trained(folder: Path, step: int) -> bool:
    steps = saved_steps(folder / LATEST)
    return bool(steps) and int(steps[-1].name) >= step


def _read_outcome(point: Point, step: int, folder: Path) -> Outcome:
    """Return what a run's metrics.jsonl says up to a step; that a run diverged later is not known there yet."""
    history, metric = read_history(folder / "metrics.jsonl", step), selecting_metric(point.config)
    last = history[-1] if history else {}
    found = [line for line in history if line["split"] == "validation" and metric in line]
    best = max(found, key=lambda line: (line[metric], -line["step"]), default={})
    reached = (last.get("step", 0), last.get("epoch", 0.0))
    if (folder / _DIVERGED).exists() and not _trained(folder, step):
        reason = (folder / _DIVERGED).read_text(encoding="utf-8").strip()
        return Outcome(*reached, float("nan"), 0, last.get("seconds", 0.0), reason)
    return Outcome(*reached, best.get(metric, float("nan")), best.get("step", 0), last.get("seconds", 0.0))
