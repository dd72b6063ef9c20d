"""Where else a run's figures go, if its config asks for it: TensorBoard, MLflow, Weights & Biases, all on the disk.

WORKDIR/tensorboard/   log.tensorboard
WORKDIR/mlruns/        log.mlflow: a store of files, unless the user has set MLFLOW_TRACKING_URI
WORKDIR/wandb/         log.wandb: offline, unless the user has set WANDB_MODE; `wandb sync` uploads it
A resumed run continues the same run of a tracker, whose name is kept next to its files.
"""

import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from expressnet_jax.config import flatten
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.io import write_bytes
from expressnet_jax.metric_writers import TensorBoard

PROJECT = "expressnet"
LONGEST = 500  # letters of a parameter that MLflow takes


class MLflow:
    """Figures by split and the config's keys in an MLflow run, through mlflow-skinny or mlflow."""

    def __init__(self, workdir: Path, step: int, config: Mapping[str, Any]):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self._metric = Metric
        self.client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or (workdir / "mlruns").absolute().as_uri())
        kept = workdir / "mlflow_run.txt"
        if kept.is_file():
            self.run = kept.read_text().strip()
            self.client.update_run(self.run, status="RUNNING")
            return
        known = self.client.get_experiment_by_name(PROJECT)
        experiment = known.experiment_id if known else self.client.create_experiment(PROJECT)
        self.run = self.client.create_run(experiment, run_name=workdir.name).info.run_id
        params = [Param(key, str(value)[:LONGEST]) for key, value in flatten(config).items() if str(value)]
        for start in range(0, len(params), 100):  # so many at a time
            self.client.log_batch(self.run, params=params[start : start + 100])
        write_bytes(kept, self.run.encode())

    def write(self, entry: Mapping[str, float | int | str]) -> None:
        now, step = int(time.time() * 1000), int(entry["step"])
        self.client.log_batch(self.run, [self._metric(*each, now, step) for each in named_figures(entry).items()])

    def close(self) -> None:
        self.client.set_terminated(self.run)


class _WandB:
    """Figures by split and the config in a run of Weights & Biases; no code, console or machine figures are kept."""

    def __init__(self, workdir: Path, step: int, config: Mapping[str, Any]):
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        kept = workdir / "wandb_run.txt"
        if not kept.is_file():
            write_bytes(kept, uuid.uuid4().hex[:12].encode())
        quiet = wandb.Settings(
            x_disable_stats=True, x_disable_meta=True, disable_git=True, save_code=False, console="off"
        )
        options: dict[str, Any] = {"id": kept.read_text().strip(), "resume": "allow", "config": dict(config)}
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self.run = wandb.init(mode=mode, dir=workdir, project=PROJECT, name=workdir.name, settings=quiet, **options)

    def write(self, entry: Mapping[str, float | int | str]) -> None:
        self.run.log(named_figures(entry), step=int(entry["step"]))

    def close(self) -> None:
        self.run.finish()


def named_figures(entry: Mapping[str, float | int | str]) -> dict[str, float]:
    """Return the numbers of an entry as SPLIT/NAME, but for its step."""
    figures = {key: value for key, value in entry.items() if isinstance(value, int | float) and key != "step"}
    return {f"{entry['split']}/{key}": float(value) for key, value in figures.items()}


class Tracker(NamedTuple):
    """A key of `config.log`: the package that it needs, and what opens it in a workdir from a step on."""

    package: str
    extra: str
    open: Callable[[Path, int, Mapping[str, Any]], Any]


TRACKERS = {
    "tensorboard": Tracker(
        "tensorboardX", "tensorboard", lambda workdir, step, config: TensorBoard(workdir / "tensorboard", step)
    ),
    "mlflow": Tracker("mlflow", "mlflow", MLflow),
    "wandb": Tracker("wandb", "wandb", _WandB),
}


def open_trackers(config: Mapping[str, Any], workdir: Path, step: int) -> list[Any]:
    """Return the writers that `config["log"]` asks for; the run resumes at `step`.

    Raises:
      UserError: a package is missing, or a tracker can't be opened.
    """
    opened = []
    for name, tracker in TRACKERS.items():
        if config["log"].get(name):
            try:
                opened.append(tracker.open(workdir, step, config))
            except UserError:
                raise
            except Exception as error:  # their libraries raise many kinds
                raise UserError(f"log.{name}: can't be opened ({one_line(error)}); fix it or switch it off") from error
    return opened
