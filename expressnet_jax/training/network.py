"""The network of a config: its images, its arithmetic, and what it begins with."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from expressnet_jax.config import LARGEST, SMALLEST
from expressnet_jax.errors import UserError
from expressnet_jax.models.network import Head, Network
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.checkpoints.reading import Checkpoint, load_checkpoint
from expressnet_jax.training.checkpoints.transfer import transfer_weights


def image_shape(config: ConfigDict) -> tuple[int, ...]:
    """Return (H, W, C) of a config's images, or (T, H, W, C) of its clips."""
    if config.data.channels not in (1, 3):
        raise UserError(f"data.channels: {config.data.channels}; 1 is gray, 3 is RGB")
    if not SMALLEST <= config.data.size <= LARGEST:
        raise UserError(f"data.size: {config.data.size} pixels; from {SMALLEST} to {LARGEST}")
    frames = (config.data.frames,) if config.data.frames else ()
    return (*frames, config.data.size, config.data.size, config.data.channels)


def compute_dtype(dtype: str) -> str:
    """What `train.dtype` comes to: "auto" is float32 on a CPU, bfloat16 on accelerators."""
    if dtype == "auto":
        return "float32" if jax.default_backend() == "cpu" else "bfloat16"
    if dtype not in ("float32", "bfloat16"):
        raise UserError(f"train.dtype: no {dtype!r}; one of auto, float32, bfloat16")
    return dtype


def make_model(config: ConfigDict, heads: int | Mapping[str, Head]) -> Network:
    """The network of a config in its arithmetic."""
    options = config.model.options.to_dict()
    for name, key in (
        ("dropout", "model.dropout"),
        ("head", "model.head"),
        ("dtype", "train.dtype"),
        ("temporal", "model.temporal"),
    ):
        if name in options:
            raise UserError(f"model.options: {name} is set by {key}")
    if (config.model.temporal != "none") != bool(config.data.frames):
        raise UserError(
            f"model.temporal: {config.model.temporal} with data.frames={config.data.frames}; clips need both, images"
            " none and 0"
        )
    return create_model(
        config.model.name,
        heads,
        dropout=config.model.dropout,
        temporal=config.model.temporal,
        dtype=compute_dtype(config.train.dtype),
        **options,
    )


def load_pretrained(config: ConfigDict) -> Checkpoint | None:
    """The checkpoint that a run begins with, where `init_from` names one."""
    return load_checkpoint(config.init_from) if config.init_from else None


def pretrained_variables(
    config: ConfigDict, model: Network, classes: Sequence[str], origin: Checkpoint | None
) -> dict[str, Any] | None:
    """The variables that a run begins with in place of drawn ones."""
    if origin is None:
        return None
    return transfer_weights(origin, config.model.to_dict(), model, classes, image_shape(config), config.seed)
