"""The network of a config: its inputs, its arithmetic, and what it begins with."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from expressnet_jax.config import LARGEST, SMALLEST
from expressnet_jax.data.fields import INPUT_KINDS, Field, check_target, target_column, target_fields
from expressnet_jax.data.pipeline import EvalLoader, make_eval_batches
from expressnet_jax.data.prepared import Split
from expressnet_jax.data.sound import RATE
from expressnet_jax.errors import UserError
from expressnet_jax.models.network import Head, Network, Shape
from expressnet_jax.models.published.files import is_weights_file
from expressnet_jax.models.registry import create_model, default_input, models_of
from expressnet_jax.training.checkpoints.published import published_for
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


def input_names(config: ConfigDict) -> tuple[str, ...]:
    """Return what a config's network takes of an example; the first is what `model.name` encodes."""
    return tuple(config.data.inputs) or (default_input(config.model.name, config.model.temporal),)


def media_shapes(config: ConfigDict) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the image or clip and of the waveform among a config's inputs, by name.

    Raises:
      UserError: there is an image and a clip, or a size is none that a network takes.
    """
    media = [name for name in input_names(config) if name in INPUT_KINDS]
    if {"image", "clip"} <= set(media):
        raise UserError(f"data.inputs: {' and '.join(media)}; a record is an image or a clip")
    if "waveform" in media and not 0.25 <= config.data.seconds <= 60:
        raise UserError(f"data.seconds: {config.data.seconds}; from 0.25 to 60 seconds of sound")
    samples = (round(config.data.seconds * RATE),)
    return {name: samples if name == "waveform" else image_shape(config) for name in media}


def record_shapes(media: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return what the readers of a data set take for inputs of these shapes by name: `shape` of an image, a clip or a
    waveform, None without one, and `sound`, the samples of a waveform next to an image or a clip, else 0."""
    heard = media.get("waveform", ())
    shape = next((shape for name, shape in media.items() if name != "waveform"), heard or None)
    return {"shape": shape, "sound": heard[0] if heard and shape != heard else 0}


def column_names(config: ConfigDict) -> tuple[str, ...]:
    """Return the inputs of a config that are columns of the data set."""
    return tuple(name for name in input_names(config) if name not in INPUT_KINDS)


def input_shape(config: ConfigDict, split: Split | None = None) -> Shape:
    """Return the shape of the image, clip or waveform that is the only input, or of every input by name.

    Inputs that are columns have the shape that they have in `split`.

    Raises:
      UserError: the split has no such column.
    """
    media, columns = media_shapes(config), column_names(config)
    if len(media) == 1 and not columns:
        return next(iter(media.values()))
    shapes = media | {name: _column_field(name, split).shape for name in columns}
    return {name: shapes[name] for name in input_names(config)}


def input_arrays(names: Sequence[str], split: Split, size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """Return the values of the inputs that are columns of a split, float32[N,...] by name.

    `size` is (height, width) of the stored images, which points are measured in.
    """
    return {name: target_column(name, _column_field(name, split), split.columns, size) for name in names}


def _column_field(name: str, split: Split | None) -> Field:
    known = {} if split is None else target_fields(split.classes, split.columns, None, split.targets)
    return check_target(name, known, "data.inputs")


def make_inputs_reader(split: Split, batch_size: int, shape: Shape, size: tuple[int, int] | None = None) -> EvalLoader:
    """Return the batches of a split for a network whose inputs have this shape, whole in this process.

    `size` is (height, width) of the stored images, which points are measured in.
    """
    if not isinstance(shape, Mapping):
        return make_eval_batches(split, batch_size, shape=shape)
    media = {name: each for name, each in shape.items() if name in INPUT_KINDS}
    columns = input_arrays([name for name in shape if name not in INPUT_KINDS], split, size)
    return make_eval_batches(split, batch_size, columns=columns, **record_shapes(media))


def clip_rate(split: Split) -> float:
    """Return how many frames a second most clips of a split have, their median; 0 where the data set doesn't say."""
    rates = np.asarray(split.columns.get("frame_rate", []), np.float64)
    known = rates[np.isfinite(rates)]
    return round(float(np.median(known)), 3) if len(known) else 0.0


def input_fields(model: Network, shape: Shape, known: Mapping[str, Field], frame_rate: float = 0.0) -> dict[str, Field]:
    """Return the fields of a network's inputs, as checkpoints carry them; `known` are those of the data set, whose
    clips have `frame_rate` frames a second.

    Raises:
      UserError: the network has fewer embeddings than a text has different pieces.
    """
    shapes = dict(shape) if isinstance(shape, Mapping) else {next(iter(model.encoders)): shape}
    rate = {"waveform": RATE, "clip": frame_rate}
    for name in (name for name in shapes if name in known and known[name].kind == "tokens"):
        pieces, room = len(known[name].names), getattr(model.encoders[name](), "vocabulary", 0)
        if room < pieces:
            raise UserError(
                f"model.options.vocabulary: {room}, but {name} has {pieces:,} different pieces; use {pieces}"
            )
    return {
        name: Field(name, each, rate=rate.get(name, 0)) if name in INPUT_KINDS else known[name]._replace(shape=each)
        for name, each in shapes.items()
    }


def compute_dtype(dtype: str) -> str:
    """Return what `train.dtype` means: "auto" is float32 on a CPU, bfloat16 on accelerators."""
    if dtype == "auto":
        return "float32" if jax.default_backend() == "cpu" else "bfloat16"
    if dtype not in ("float32", "bfloat16"):
        raise UserError(f"train.dtype: no {dtype!r}; one of auto, float32, bfloat16")
    return dtype


def make_model(config: ConfigDict, heads: int | Mapping[str, Head]) -> Network:
    """Return the network of a config in its arithmetic."""
    options = config.model.options.to_dict()
    for name, key in (
        ("dropout", "model.dropout"),
        ("head", "model.head"),
        ("dtype", "train.dtype"),
        ("temporal", "model.temporal"),
        ("input", "data.inputs"),
        ("encoders", "model.encoders"),
        ("fusion", "model.fusion"),
        ("modality_dropout", "model.modality_dropout"),
    ):
        if name in options:
            raise UserError(f"model.options: {name} is set by {key}")
    names = input_names(config)
    further = config.model.encoders.to_dict()
    if set(names[1:]) != set(further):
        raise UserError(
            f"model.encoders: {', '.join(further) or 'none'}, but data.inputs are {', '.join(names)}; give each input"
            " behind the first a model there, and no other"
        )
    _check_frames(config)
    return create_model(
        config.model.name,
        heads,
        dropout=config.model.dropout,
        temporal=config.model.temporal,
        input=names[0],
        encoders={name: further[name] for name in names[1:]},
        fusion=config.model.fusion,
        modality_dropout=config.model.modality_dropout,
        dtype=compute_dtype(config.train.dtype),
        **options,
    )


def _check_frames(config: ConfigDict) -> None:
    """Raise UserError unless the data are clips exactly where the network takes clips."""
    name, frames = config.model.name, config.data.frames
    takes = default_input(name, config.model.temporal)
    if (takes == "clip") == bool(frames):
        return
    if frames:
        remedy = f"give model.temporal for clips, or a model of clips ({', '.join(models_of('clip'))})"
        raise UserError(f"model.name: {name} takes no clips, but data.frames={frames}; {remedy}")
    raise UserError(
        f"model.temporal: {config.model.temporal} with data.frames=0: {name} would take clips; give data.frames the"
        " length of the data set's clips, or both none and 0 for images"
    )


def load_pretrained(config: ConfigDict) -> Checkpoint | None:
    """Return the checkpoint or published weights that a run begins with, where `init_from` names some."""
    if not config.init_from:
        return None
    return published_for(config) if is_weights_file(config.init_from) else load_checkpoint(config.init_from)


def pretrained_variables(
    config: ConfigDict, model: Network, classes: Sequence[str], origin: Checkpoint | None, shape: Shape | None = None
) -> dict[str, Any] | None:
    """Return the variables that a run begins with in place of drawn ones. `shape` is that of the inputs, where the
    config alone doesn't say."""
    if origin is None:
        return None
    shape = input_shape(config) if shape is None else shape
    return transfer_weights(origin, config.model.to_dict(), model, classes, shape, config.seed)
