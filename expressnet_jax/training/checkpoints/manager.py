"""Checkpoints through Orbax: the latest for resuming, the best for everything that comes after training.

A checkpoint holds `model` (params, batch_stats, ema), `optimizer` (step, opt_state, and what a task has besides the
network) and `metadata` (JSON: model, label names, image size, config, library versions, what it began with). Nothing
in it is code or pickle. `best` keeps `model` and `metadata`.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from expressnet_jax.errors import UserError, one_line
from expressnet_jax.training.checkpoints.reading import BEST, LATEST, silent
from expressnet_jax.training.state import TrainState

DAMAGED = "damaged"
_TEXTS = ("*/_METADATA", "*/_sharding", "*/array_metadatas/*", "metadata/metadata", "metrics/metrics")


class Checkpoints:
    """The checkpoints of one run: `save` returns at once and writes behind the training; `close` waits.

    `log` gets what was found damaged. Such a checkpoint is moved to WORKDIR/damaged, out of the way of its
    successor; nothing is deleted.
    """

    def __init__(
        self,
        workdir: Path,
        metadata: dict[str, Any],
        *,
        keep: int = 2,
        metric: str = "accuracy",
        log: Callable[[str], None] = print,
    ):
        self.root, self.metadata, self.metric, self.log = workdir.absolute(), metadata, metric, log
        self.latest = ocp.CheckpointManager(self.root / LATEST, options=_manager_options(LATEST, max_to_keep=keep))
        self.best, self.best_value = self._open_best()

    def _open_best(self) -> tuple[ocp.CheckpointManager, float]:
        """Return the manager of the best checkpoint, and that one's metric."""
        values = {}
        for folder in saved_steps(self.root / BEST):
            try:
                _check_texts(folder)
                values[int(folder.name)] = float(json.loads((folder / "metrics/metrics").read_text())[self.metric])
            except (OSError, ValueError, KeyError) as error:
                self._set_aside(folder, error)
        by_metric = {"best_fn": lambda metrics: metrics[self.metric], "best_mode": "max"}
        options = _manager_options(BEST, max_to_keep=1, **by_metric)
        return ocp.CheckpointManager(self.root / BEST, options=options), max(values.values(), default=-math.inf)

    def save(self, state: TrainState) -> None:
        """Write the state as the latest checkpoint."""
        step = int(state.step)
        if step in self.latest.all_steps():
            return
        items = {
            "model": ocp.args.StandardSave(_model_item(state)),
            "optimizer": ocp.args.StandardSave(_optimizer_item(state)),
            "metadata": ocp.args.JsonSave(self.metadata),
        }
        # A run that starts again here never comes back to this step's evaluation: its best has to be on disk first.
        self.best.wait_until_finished()
        self.latest.save(step, args=ocp.args.Composite(**items))

    def save_best(self, state: TrainState, metrics: Mapping[str, float]) -> None:
        """Keep the state as the best one if its metric is the highest so far; of equals, the later.

        Orbax would write a worse one too and remove it afterwards; a run killed between the two would leave it there.
        """
        step, value = int(state.step), metrics[self.metric]
        if step in self.best.all_steps() or value < self.best_value:
            return
        items = {
            "model": ocp.args.StandardSave(_model_item(state)),
            "metadata": ocp.args.JsonSave(self.metadata | {"step": step, "metrics": dict(metrics)}),
        }
        # By force, for Orbax refuses a step below the last: one that a killed run had reached already.
        self.best.save(step, args=ocp.args.Composite(**items), metrics=dict(metrics), force=True)
        self.best_value = value

    def restore(self, state: TrainState) -> TrainState:
        """Return the newest whole checkpoint in the shape and sharding of `state`, or `state` itself where there is
        none.

        Raises:
          UserError: there are checkpoints, but none of them can be read.
        """
        damaged: dict[int, Exception] = {}
        for step in sorted(self.latest.all_steps(), reverse=True):
            try:
                with silent():
                    _check_texts(self.root / LATEST / str(step))
                    restored = self._read(step, state)
            except Exception as error:  # Orbax and TensorStore raise many kinds, plain Exception among them
                damaged[step] = error
                continue
            for number, fault in damaged.items():
                self._set_aside(self.root / LATEST / str(number), fault)
            self.latest.reload()
            return restored
        if damaged:
            newest, fault = next(iter(damaged.items()))
            raise UserError(
                f"{self.root / LATEST / str(newest)} can't be read ({one_line(fault)}), nor can"
                " an older one; give another --workdir to start afresh"
            )
        return state

    def _read(self, step: int, state: TrainState) -> TrainState:
        target = jax.tree.map(_abstract, state)
        items = {
            "model": ocp.args.StandardRestore(_model_item(target)),
            "optimizer": ocp.args.StandardRestore(_optimizer_item(target)),
        }
        saved = self.latest.restore(step, args=ocp.args.Composite(**items))
        model, optimizer = saved["model"], saved["optimizer"]
        return dataclasses.replace(state, **model, **optimizer)

    def _set_aside(self, folder: Path, error: Exception) -> None:
        if jax.process_index():  # the process that leads does it for all
            return
        target = self.root / DAMAGED / folder.parent.name / folder.name
        number = sum(1 for _ in target.parent.glob(f"{folder.name}*"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target = folder.rename(target.with_name(f"{folder.name}.{number}") if number else target)
        self.log(f"{folder} is damaged ({one_line(error)}); it is now {target}, and the one before is used")

    def last_good(self) -> str:
        """Return the step of the newest whole checkpoint as a message gives it."""
        steps = saved_steps(self.root / LATEST)
        return str(steps[-1]) if steps else "none was saved yet"

    def wait(self) -> None:
        self.latest.wait_until_finished()
        self.best.wait_until_finished()

    def close(self) -> None:
        self.wait()
        self.latest.close()
        self.best.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Close; after an error, another one on closing would hide it."""
        with suppress(Exception) if kind else nullcontext():
            self.close()


def _manager_options(name: str, **options: Any) -> ocp.CheckpointManagerOptions:
    """Return options that write while training continues. Half-written checkpoints of a killed run go: the run folder
    belongs to one run.

    Barriers bear the manager's name: without it, the one whose writing ends and the other whose writing begins meet at
    the same barrier of several processes, and both runs of it fail.
    """
    barriers = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=name)
    behind = {"enable_async_checkpointing": True, "cleanup_tmp_directories": True}
    return ocp.CheckpointManagerOptions(multiprocessing_options=barriers, **behind, **options)


def _check_texts(folder: Path) -> None:
    """Raise an error unless every JSON text of a checkpoint is whole: a run reads arrays without some of them, others
    then can't."""
    for pattern in _TEXTS:
        for path in folder.glob(pattern):
            json.loads(path.read_text(encoding="utf-8"))


def saved_steps(folder: Path) -> list[Path]:
    """Return the finished checkpoints in a folder, oldest first: Orbax gives them their number when they are
    complete."""
    return sorted((path for path in folder.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))


def _model_item(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "batch_stats": state.batch_stats, "ema": state.ema}


def _optimizer_item(state: TrainState) -> dict[str, Any]:
    """Return what only a resumed run needs. Empty parts are left out: older checkpoints don't have them."""
    further = {"loss_params": state.loss_params, "loss_state": state.loss_state}
    return {"step": state.step, "opt_state": state.opt_state, **{name: part for name, part in further.items() if part}}


def _abstract(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
