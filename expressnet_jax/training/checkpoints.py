"""Checkpoints through Orbax: the latest for resuming, the best for everything that comes after training.

A checkpoint holds `model` (params, batch_stats, ema), `optimizer` (step, opt_state) and `metadata` (JSON: model, label
names, picture size, config, library versions). Nothing in it is code or pickle. `best` keeps `model` and `metadata`.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from expressnet_jax.errors import UserError
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.state import TrainState

LATEST, BEST = "checkpoints", "best"
PACKAGES = ("expressnet-jax", "jax", "flax", "optax", "orbax-checkpoint", "numpy")


class Checkpoint(NamedTuple):
    """A trained model as read from disk: enough to evaluate, adapt, export or predict."""

    path: Path
    step: int
    model: nn.Module
    variables: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.metadata["classes"])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.metadata["image_shape"])


def describe(config: Mapping[str, Any], classes: tuple[str, ...], image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """The metadata of a run's checkpoints. `config` is plain JSON-able values."""
    return {
        "model": config["model"],
        "classes": list(classes),
        "image_shape": list(image_shape),
        "config": config,
        "versions": {name: version(name) for name in PACKAGES},
    }


class Checkpoints:
    """The checkpoints of one run: `save` returns at once and writes behind the training; `close` waits."""

    def __init__(self, workdir: Path, metadata: dict[str, Any], *, keep: int = 2, metric: str = "accuracy"):
        self.metadata = metadata
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self.latest = ocp.CheckpointManager(workdir.absolute() / LATEST, options=options)
        best = ocp.CheckpointManagerOptions(
            max_to_keep=1, best_fn=lambda metrics: metrics[metric], best_mode="max", enable_async_checkpointing=True
        )
        self.best = ocp.CheckpointManager(workdir.absolute() / BEST, options=best)

    def save(self, state: TrainState) -> None:
        """Writes the state as the latest checkpoint."""
        step = int(state.step)
        if step in self.latest.all_steps():
            return
        items = {
            "model": ocp.args.StandardSave(_model_item(state)),
            "optimizer": ocp.args.StandardSave({"step": state.step, "opt_state": state.opt_state}),
            "metadata": ocp.args.JsonSave(self.metadata),
        }
        self.latest.save(step, args=ocp.args.Composite(**items))

    def save_best(self, state: TrainState, metrics: Mapping[str, float]) -> None:
        """Offers the state as the best one; Orbax keeps it if its metric is the highest so far."""
        step = int(state.step)
        if step in self.best.all_steps():
            return
        items = {
            "model": ocp.args.StandardSave(_model_item(state)),
            "metadata": ocp.args.JsonSave(self.metadata | {"step": step, "metrics": dict(metrics)}),
        }
        self.best.save(step, args=ocp.args.Composite(**items), metrics=dict(metrics))

    def restore(self, state: TrainState) -> TrainState:
        """The latest checkpoint in the shape and sharding of `state`, or `state` itself where there is none."""
        step = self.latest.latest_step()
        if step is None:
            return state
        target = jax.tree.map(_abstract, state)
        items = {
            "model": ocp.args.StandardRestore(_model_item(target)),
            "optimizer": ocp.args.StandardRestore({"step": target.step, "opt_state": target.opt_state}),
        }
        saved = self.latest.restore(step, args=ocp.args.Composite(**items))
        model = saved["model"]
        return TrainState(
            saved["optimizer"]["step"],
            model["params"],
            model["batch_stats"],
            saved["optimizer"]["opt_state"],
            model["ema"],
        )

    def last_good(self) -> str:
        """The newest whole checkpoint, for a message."""
        step = self.latest.latest_step()
        return "none was saved yet" if step is None else f"{self.latest.directory / str(step)}"

    def wait(self) -> None:
        self.latest.wait_until_finished()
        self.best.wait_until_finished()

    def close(self) -> None:
        self.wait()
        self.latest.close()
        self.best.close()


def _model_item(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "batch_stats": state.batch_stats, "ema": state.ema}


def _abstract(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def find_checkpoint(path: str | Path) -> Path:
    """The folder of one step: `path` itself, or the best (else the latest) below a run's workdir.

    Raises:
      UserError: there is no checkpoint at `path`.
    """
    root = Path(path)
    if not str(path).startswith("gs://") and not root.is_dir():
        raise UserError(f"{path}: no such folder; give a run's --workdir or one of its checkpoints")
    if (root / "model").is_dir():
        return root
    for folder in (root / BEST, root / LATEST, root):
        steps = [p for p in folder.glob("*") if p.name.isdigit() and (p / "model").is_dir()]
        if steps:
            return max(steps, key=lambda p: int(p.name))
    raise UserError(f"{path}: no checkpoint in it; a run writes them to {BEST}/ and {LATEST}/ of its --workdir")


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Model and variables of a checkpoint, on this machine's first device, whatever machine wrote it.

    The variables are the averaged weights where the run averaged. Arithmetic is float32.

    Raises:
      UserError: no checkpoint there, one without metadata, or one whose arrays don't fit the model it names.
    """
    folder = find_checkpoint(path).absolute()
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        try:
            metadata = reader.restore(folder, ocp.args.Composite(metadata=ocp.args.JsonRestore()))["metadata"]
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise UserError(f"{folder}: not a checkpoint of this project ({error})") from error
        model = create_model(metadata["model"]["name"], len(metadata["classes"]), **metadata["model"]["options"])
        target = _model_target(model, tuple(metadata["image_shape"]), metadata["config"]["optimizer"]["ema"] > 0)
        try:
            saved = reader.restore(folder, ocp.args.Composite(model=ocp.args.StandardRestore(target)))["model"]
        except (ValueError, KeyError, FileNotFoundError) as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(f"{folder}: its arrays do not fit {metadata['model']['name']}: {first}") from error
    variables = saved["ema"] or {"params": saved["params"], "batch_stats": saved["batch_stats"]}
    return Checkpoint(folder, int(folder.name) if folder.name.isdigit() else 0, model, variables, metadata)


def _model_target(model: nn.Module, image_shape: tuple[int, int, int], ema: bool) -> dict[str, Any]:
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *image_shape)))
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    place = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    params, stats = jax.tree.map(place, (shapes["params"], shapes.get("batch_stats", {})))
    return {"params": params, "batch_stats": stats, "ema": {"params": params, "batch_stats": stats} if ema else {}}
