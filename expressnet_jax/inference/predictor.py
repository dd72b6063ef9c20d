"""Faces in images and the expressions that annotators would give them, in ONNX Runtime, without JAX.

    >>> from expressnet_jax import Predictor
    >>> for face in Predictor()("photo.jpg"):
    ...     print(face.label, face.confidence, face.box)

Shapes: N faces, S pixels a side of a face, C channels, K classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.fields import EXPRESSION
from expressnet_jax.errors import UserError
from expressnet_jax.inference.crop import Place
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.detector import DEFAULT, make_detector
from expressnet_jax.inference.face_cutter import FaceCutter
from expressnet_jax.inference.further import describe_outputs
from expressnet_jax.inference.images import ImageSource, load_image
from expressnet_jax.inference.model_files import not_a_model
from expressnet_jax.inference.quality import flags
from expressnet_jax.runtime.onnx_predict import HUB_FILE, OnnxPredictor, onnx_predict

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = {
    "small": "expressnet_small.onnx",
    "small_int8": "expressnet_small_int8.onnx",
    "tiny": "expressnet_tiny.onnx",
    "tiny_int8": "expressnet_tiny_int8.onnx",
}
MOST_FACES = 64  # at once, so that memory does not grow with the crowd


class Answer:
    """What a model predicts for a face or a part of a recording: `probabilities` of each class, by name."""

    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The likeliest class: the label that annotators would most probably give to the expression shown."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """Its probability; calibrated for the shipped models, on images like those they were validated on."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Face(Answer):
    """One face.

    Attributes:
      box: left, top, width, height in pixels of the image.
      score: how sure the detector is that this is a face.
      landmarks: float32[5,2], x and y of eyes, nose and corners of the mouth; None of a detector that has none.
      probabilities: of each class, by name.
      flags: what makes the answer doubtful, of those in quality.py.
      outputs: what else the network gives, by name: {"valence": ..., "arousal": ...} where values have names, else
        float32[...]; points are x and y in pixels of the image.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray | None
    probabilities: dict[str, float]
    flags: tuple[str, ...]
    outputs: dict[str, Any] = field(default_factory=dict)


def refuse_other_inputs(model: OnnxPredictor, name: str | Path) -> None:
    """Raise UserError for a model that takes something else than an image of a face."""
    if model.inputs:
        raise UserError(
            f"model: {name} takes {' and '.join(model.inputs)}, not images of faces; use expressnet"
            " predict --model, or SoundPredictor or TextPredictor"
        )
    if len(model.image_shape) == 4:
        raise UserError(
            f"model: {name} takes clips, not single images of faces; give a video to expressnet predict --model, or"
            " use ClipPredictor"
        )
    if takes := model.metadata.get("takes", ""):
        raise UserError(
            f"model: {name} takes {takes}, not single images of faces; measure it with: expressnet evaluate"
        )


class Predictor(FaceCutter):
    """Finds faces and predicts the label that annotators would give to the expression each shows."""

    def __init__(
        self,
        model: str | Path = "small",
        *,
        detector: str = DEFAULT,
        size: int = 960,
        align: bool = True,
        equalize: bool = False,
        threads: int = 0,
        output: str = EXPRESSION,
    ):
        """`model` is one of SHIPPED or a file of `expressnet export`; `detector` one of DETECTORS, which looks at a
        image of at most `size` pixels; `align` and `equalize` are those of crop.py; threads 0 is one a core.
        `output` is the class that answers, where the model has several: what `model.metadata["outputs"]` calls it.

        Raises:
          UserError: a model, a class of it or a detector that is not there.
        """
        self.model = load_model(model, threads, output)
        refuse_other_inputs(self.model, model)
        found_by = make_detector(detector, size=size, threads=threads)
        super().__init__(found_by, self.model.image_shape, align=align, equalize=equalize)

    @classmethod
    def from_folder(cls, folder: str | Path, **options: Any) -> "Predictor":
        """Return the predictor of a folder that `expressnet export --hub` wrote; `options` are those of Predictor.

        Raises:
          UserError: there is no model in it, or what Predictor raises.
        """
        file = Path(folder) / HUB_FILE
        if not file.is_file():
            raise UserError(f"{folder}: no {HUB_FILE} in it; give a folder of expressnet export --hub")
        return cls(file, **options)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.model.classes

    def __call__(self, source: ImageSource, name: str = "") -> list[Face]:
        """Predict a path, encoded bytes, a Pillow image or an array: its faces, the surest first; empty if there is
        none.

        Raises:
          UserError: what is no image, in one line.
        """
        image = load_image(source, name)
        return self.describe(image, self.detector.find(image))

    def many(self, sources: Iterable[ImageSource]) -> Iterator[list[Face] | UserError]:
        """Yield the same for many, one after the other; what can't be read gives its error, and the others are
        predicted."""
        for source in sources:
            try:
                yield self(source)
            except UserError as error:
                yield error

    def describe(self, image: np.ndarray, found: Sequence[Detection]) -> list[Face]:
        """Found faces of uint8[H,W,3] -> faces with probabilities."""
        faces, places = self.cut(image, found), self.places(image.shape, found)
        probabilities, further = self.answers(faces)
        described = self.describe_further(further, places)
        return [
            Face(each.box, each.score, each.landmarks, self.named(row), flags(image, each, face), more)
            for each, face, row, more in zip(found, faces, probabilities, described, strict=True)
        ]

    def answers(self, faces: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Map uint8[N,S,S,C] to probabilities float32[N,K], and every further output float32[N,...] by name."""
        if not len(faces):
            none = {name: np.zeros((0, *field.shape), np.float32) for name, field in self.model.fields.items()}
            return np.zeros((0, len(self.classes)), np.float32), none
        parts = [self.model.answers(faces[i : i + MOST_FACES]) for i in range(0, len(faces), MOST_FACES)]
        further = {name: np.concatenate([part[1][name] for part in parts]) for name in self.model.fields}
        return np.concatenate([part[0] for part in parts]), further

    def probabilities(self, faces: np.ndarray) -> np.ndarray:
        """Map uint8[N,S,S,C] to float32[N,K]."""
        parts = [self.model(faces[i : i + MOST_FACES]) for i in range(0, len(faces), MOST_FACES)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)), np.float32)

    def describe_further(self, further: Mapping[str, np.ndarray], places: Sequence[Place]) -> list[dict[str, Any]]:
        """Return the further outputs float32[N,...] of each of N faces by name, see `Face.outputs`."""
        rows = ({name: values[row] for name, values in further.items()} for row in range(len(places)))
        return [describe_outputs(row, self.model.fields, place) for row, place in zip(rows, places, strict=True)]

    def named(self, row: np.ndarray) -> dict[str, float]:
        """Name float32[K] by class."""
        return dict(zip(self.classes, row.tolist(), strict=True))


def load_model(model: str | Path, threads: int = 0, output: str = EXPRESSION) -> OnnxPredictor:
    """Load a shipped model by name, or a file; its class `output` answers.

    Raises:
      UserError: neither, or no such class; names a training run and other programs' files as what they are.
    """
    if str(model) in SHIPPED:
        return onnx_predict(WEIGHTS / SHIPPED[str(model)], threads=threads, output=output)
    if reason := not_a_model(Path(model)):
        raise UserError(f"model: {model}: {reason}")
    if not Path(model).is_file():
        raise UserError(f"model: {model}: no such file, nor one of the shipped {', '.join(SHIPPED)}")
    return onnx_predict(model, threads=threads, output=output)
