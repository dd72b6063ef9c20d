"""What a model takes of an input: a recording, a text or a video, and what it can do without."""

from pathlib import Path

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError
from expressnet_jax.inference.predictor import SHIPPED, load_model
from expressnet_jax.runtime.onnx_predict import OnnxPredictor

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


def load_taking(name: str, model: str | Path, threads: int = 0) -> OnnxPredictor:
    """Return the model of a file of `expressnet export`, which takes `name`, one of KINDS, and nothing else needs.

    Raises:
      UserError: it is no such file, takes nothing of that kind, or can't do without something else.
    """
    loaded, (kind, alone) = load_model(model, threads), KINDS[name]
    if name not in loaded.inputs:
        raise UserError(f"model: {model} takes no {kind}; give a file of expressnet export of a network of {kind}")
    others = [other for other in loaded.inputs if other != name]
    if others and loaded.metadata.get("missing_inputs") != "true":
        raise UserError(
            f"model: {model} takes {' and '.join(others)}, too, which {alone} alone doesn't give; train it with"
            " model.modality_dropout"
        )
    return loaded
