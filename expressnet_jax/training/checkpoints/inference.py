"""A checkpoint to hand on: the weights that predict and what is known of them, without what only training needs."""

import copy
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.reading import Checkpoint


def write_inference_checkpoint(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write only what predicts, with what is known of it, to be handed on: a fraction of a run's checkpoint.

    Paths of the machine that trained it are left out.

    Raises:
      UserError: there is something already.
    """
    target = folder.absolute() / str(checkpoint.metadata.get("step", checkpoint.step))
    if target.parent.exists():
        raise UserError(f"{folder}: is there already; remove it or give another name")
    config = copy.deepcopy(checkpoint.metadata["config"])
    config |= {key: Path(config.get(key, "")).name for key in ("init_from", "export")}
    config["teachers"] = [Path(teacher).name for teacher in config.get("teachers", ())]
    config["data"] |= {"dir": "", "source": Path(config["data"].get("source", "")).name}
    empty: dict[str, Any] = {"params": {}, "batch_stats": {}, "ema": {}}
    records = [record | {"source": ""} for record in checkpoint.metadata.get("trained_on", [])]
    metadata = checkpoint.metadata | {"config": config, "averaged": False, "trained_on": records}
    items = {
        "model": ocp.args.StandardSave(empty | dict(checkpoint.variables)),
        "metadata": ocp.args.JsonSave(metadata),
    }
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
        writer.save(target, ocp.args.Composite(**items))
    return folder
