"""What a model takes of an input: a recording, a text or a video, and what it can do without."""

import sys
from collections.abc import Collection
from pathlib import Path

from expressnet_jax.data.fields import EXPRESSION, Field
from expressnet_jax.errors import UserError
from expressnet_jax.inference.predictor import SHIPPED, load_model
from expressnet_jax.runtime.onnx_predict import OnnxPredictor

_WHAT = {"openface": " (action units as another program, OpenFace, measures them)"}
KINDS = {"waveform": ("sound", "a recording"), "tokens": ("text", "a text")}


def model_inputs(model: str | Path) -> tuple[str, ...]:
    """Return the names of what a model takes, if that isn't images; () of what is no model, which its reader says."""
    if str(model) in SHIPPED:
        return ()
    try:
        loaded = load_model(model, threads=1)
    except UserError:
        return ()
    return tuple(loaded.inputs) or (("clip",) if clip_field(loaded) else ())


def clip_field(model: OnnxPredictor) -> Field | None:
    """Return the clip that a model takes, with its frames a second where the file says them; None if it takes none."""
    if len(model.image_shape) == 4:
        return Field("clip", model.image_shape, rate=float(model.metadata.get("frame_rate", 0)))
    return next((field for field in model.inputs.values() if field.kind == "clip"), None)


def load_taking(name: str, model: str | Path, threads: int = 0, output: str = EXPRESSION) -> OnnxPredictor:
    """Return the model of a file of `expressnet export`, which takes `name`, one of KINDS, and nothing else needs; its
    class `output` answers.

    Raises:
      UserError: it is no such file, takes nothing of that kind, can't do without something else, or has no such class.
    """
    loaded, (kind, alone) = load_model(model, threads, output), KINDS[name]
    if name not in loaded.inputs:
        raise UserError(f"model: {model} takes no {kind}; give a file of expressnet export of a network of {kind}")
    refuse_further(loaded, str(model), (name,), f"{alone} alone")
    return loaded


def refuse_further(model: OnnxPredictor, origin: str, given: Collection[str], source: str) -> None:
    """Raise UserError for a model that can't do without more inputs than those `given`, which a `source` has."""
    others = _others(model, given)
    if others and model.metadata.get("missing_inputs") != "true":
        raise UserError(
            f"model: {origin} takes {others}, too, which {source} doesn't give; train it with model.modality_dropout"
        )


def remark_missing(model: OnnxPredictor, given: Collection[str]) -> None:
    """Say on stderr which inputs of a model are not among those `given`, so that it answers without them."""
    if others := _others(model, given):
        known = " and ".join(name for name in model.inputs if name in given)
        print(f"the model takes {others}, too; without, it answers by {known} alone", file=sys.stderr)


def _others(model: OnnxPredictor, given: Collection[str]) -> str:
    return " and ".join(f"{name}{_WHAT.get(name, '')}" for name in model.inputs if name not in given)
