"""Predictions of an exported model in ONNX Runtime, without JAX. B batch, H height, W width, C channels, K classes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.fields import EXPRESSION, Field
from expressnet_jax.data.sound import FULL_SCALE
from expressnet_jax.errors import UserError
from expressnet_jax.runtime.ort_session import Session

INPUT, OUTPUT, ATTENTION = "images", "probabilities", "attention"  # the last is in a file that was exported with it
HUB_FILE = "model.onnx"  # its name in a folder of expressnet export --hub
Inputs = np.ndarray | Mapping[str, np.ndarray]
DTYPES = {"uint8": np.uint8, "float32": np.float32}
JSON_FIELDS = ("classes", "image_shape", "model_options", "parameters", "step", "versions")  # the others are plain text


class OnnxPredictor:
    """uint8[B,H,W,C] -> probabilities float32[B,K], with what the file says about itself.

    A network of sound or of several inputs takes float32 arrays by name, or the array of its only input: sound
    [B,S] in -1..1, or int16. Of several outputs that are classes, `output` names the one that answers; all others are
    further ones.

    Attributes:
      classes: the K class names of the answer.
      image_shape: (H, W, C) of the images it takes; () of a network that takes something else.
      inputs: the inputs by name of a network that takes something else than an image or a clip.
      fields: the further outputs of the network by name: landmarks, valence and arousal, action units, ...
      metadata: everything written into the file, by name.
    """

    def __init__(self, model: bytes, origin: str, threads: int = 0, output: str = EXPRESSION):
        """Raise UserError for an `output` that is no class of the model."""
        self.origin, self.output = origin, output
        self._session = Session(model, origin, threads)
        self.metadata = _metadata(self._session, origin)
        self._answers = OUTPUT if output == EXPRESSION else output
        self.classes, self.fields = _split_outputs(self.metadata, output, origin)
        described = {name: Field.from_json(field) for name, field in self.metadata["inputs"].items()}
        self.inputs = {name: described[name] for name in self._session.inputs if name in described}
        self.image_shape = () if self.inputs else tuple(self.metadata["image_shape"])
        self.dtype = np.dtype(DTYPES[self.metadata["input"]])

    def __call__(self, images: Inputs) -> np.ndarray:
        """Predict; a model of float input also takes float32 pixel values in 0..255.

        Raises:
          UserError: images of another size or type than the model's.
        """
        return self._run(self._answers, images)

    def attention(self, images: np.ndarray) -> np.ndarray:
        """Map uint8[B,H,W,C] to float32[B,h,w]: how much each place speaks for the likeliest class, in units of its
        logit.

        Raises:
          UserError: the file was exported without it.
        """
        if ATTENTION not in self._session.outputs:
            raise UserError(f"{self.origin}: exported without its attention map; use expressnet export --attention")
        return self._run(ATTENTION, images)

    def outputs(self, images: Inputs) -> dict[str, np.ndarray]:
        """Return every further output by its name, float32[B,...]; empty for a network with one output."""
        return self.answers(images)[1] if self.fields else {}

    def answers(self, images: Inputs) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the probabilities float32[B,K] and every further output float32[B,...] by its name, in one run.

        Raises:
          UserError: images of another size or type than the model's.
        """
        names = [OUTPUT if name == EXPRESSION else name for name in self.fields]
        answer, *further = self._run_all([self._answers, *names], images)
        return answer, dict(zip(self.fields, further, strict=True))

    def _run(self, output: str, images: Inputs) -> np.ndarray:
        return self._run_all([output], images)[0]

    def _run_all(self, outputs: Sequence[str], images: Inputs) -> list[np.ndarray]:
        return self._session.run(outputs, self._named(images) if self.inputs else {INPUT: self._checked(images)})

    def _named(self, given: Inputs) -> dict[str, np.ndarray]:
        """Return every input by name as float32; one that is missing is NaN, where the network can do without it."""
        if not isinstance(given, Mapping):
            given = {next(iter(self.inputs)): given}
        arrays = {name: _as_float(np.asarray(array)) for name, array in given.items()}
        batch = len(next(iter(arrays.values()))) if arrays else 0
        if unknown := arrays.keys() - self.inputs.keys():
            raise UserError(f"{self.origin} has no input {min(unknown)}; it takes {', '.join(self.inputs)}")
        for name, field in self.inputs.items():
            if name not in arrays and arrays and self.metadata.get("missing_inputs") == "true":
                arrays[name] = np.full((batch, *field.shape), np.nan, np.float32)
            if name not in arrays or arrays[name].shape != (batch, *field.shape):
                found = list(arrays[name].shape) if name in arrays else "nothing"
                wanted = ",".join(map(str, field.shape))
                raise UserError(f"{self.origin} takes {name} float32[B,{wanted}], not {found}; give it so")
        return arrays

    def _checked(self, images: Any) -> np.ndarray:
        images = np.asarray(images)
        if images.shape[1:] != self.image_shape or not np.can_cast(images.dtype, self.dtype):
            size = ",".join(map(str, self.image_shape))
            raise UserError(
                f"{self.origin} takes images {self.dtype}[B,{size}], not {images.dtype}{list(images.shape)}; "
                "resize or convert them first"
            )
        return images.astype(self.dtype, copy=False)


def _as_float(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) / (FULL_SCALE if array.dtype == np.int16 else 1)


def onnx_predict(path: Path | str, *, threads: int = 0, output: str = EXPRESSION) -> OnnxPredictor:
    """Return the predict function of a file that `export_onnx` wrote. threads 0: one for each core.

    Raises:
      UserError: no such file, no ONNX model, one of another project, or an `output` that is no class of it.
    """
    try:
        model = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); write it with expressnet export") from error
    return OnnxPredictor(model, str(path), threads, output)


def _split_outputs(metadata: dict[str, Any], output: str, origin: str) -> tuple[tuple[str, ...], dict[str, Field]]:
    """Return the names of the class that answers, and all other outputs by name."""
    classes = tuple(metadata["classes"])
    fields = {EXPRESSION: Field("class", (len(classes),), classes)}
    fields |= {name: Field.from_json(field) for name, field in metadata["outputs"].items()}
    valid = [name for name, field in fields.items() if field.kind == "class"]
    if output not in valid:
        raise UserError(f"output: {origin} has no class {output!r}; one of {', '.join(valid)}")
    return fields[output].names, {name: field for name, field in fields.items() if name != output}


def _metadata(session: Session, origin: str) -> dict[str, Any]:
    stored = session.metadata
    try:
        metadata = stored | {name: json.loads(stored[name]) for name in JSON_FIELDS}
        metadata["outputs"] = json.loads(stored.get("outputs", "{}"))  # files of before there were several have none
        metadata["inputs"] = json.loads(stored.get("inputs", "{}"))  # only files of other inputs than images have some
        main, *further = session.outputs
        known = [name for name in further if name != ATTENTION] == list(metadata["outputs"])
        known &= sorted(session.inputs) == (sorted(metadata["inputs"]) or [INPUT])
        if main == OUTPUT and known and metadata["input"] in DTYPES:
            return metadata
    except (KeyError, ValueError):
        pass
    raise UserError(f"{origin}: an ONNX model, but not one of expressnet export; export a checkpoint of this project")
