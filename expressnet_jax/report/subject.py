"""The model that a report is about, whatever computes it: ONNX Runtime, JAX or scikit-learn.

Shapes: B batch, N examples, H height, W width, C channels, K classes.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from expressnet_jax.baselines.features import FEATURES, create_features, gray
from expressnet_jax.baselines.run import CLASSIFIERS, make_predict
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import Predict
from expressnet_jax.inference.model_files import training_run
from expressnet_jax.inference.predictor import load_model
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.runtime.onnx_predict import OnnxPredictor
from expressnet_jax.training.checkpoints.reading import Checkpoint, load_checkpoint
from expressnet_jax.training.step import make_predict_fn

BATCH = 256
TRAIN = "train"
_BASELINE_SIZE = 48
_SVM_COST = 1e-5  # the best of three on a fifth held out of FER2013's training images (configs/results)


@dataclass(frozen=True)
class Subject:
    """A predict function and what is known of it.

    Attributes:
      name: as it was asked for.
      predict: uint8[B,H,W,C] -> probabilities float32[B,K], for any B.
      classes: the K class names.
      image_shape: (H, W, C).
      identity: hexadecimal digits that change with the weights.
      facts: what the report says of it: kind, parameters, bytes, data, ...
      onnx: the file's bytes, of an ONNX model.
      checkpoint: what gradients are taken of, of a JAX model.
      attention: uint8[B,H,W,C] -> float32[B,h,w], of an ONNX file that was exported with it.
    """

    name: str
    predict: Predict
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    identity: str
    facts: dict[str, Any] = field(default_factory=dict)
    onnx: bytes | None = None
    checkpoint: Checkpoint | None = None
    attention: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def label(self) -> str:
        """What a report calls it, without a folder of this computer."""
        return f"{self.facts['network']}, step {self.facts['step']}" if self._is_run else Path(self.name).name

    @property
    def _is_run(self) -> bool:
        return self.facts.get("kind") == "checkpoint"

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predict uint8[N,H,W,C] -> float32[N,K], in batches of one size, so that a jitted predict compiles once."""
        parts = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            short = BATCH - len(part) if len(images) > BATCH else 0
            padded = np.concatenate([part, np.zeros((short, *part.shape[1:]), part.dtype)]) if short else part
            parts.append(np.asarray(self.predict(padded), np.float32)[: len(part)])
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)), np.float32)


def load_subject(model: str, data: Sequence[Prepared] = ()) -> Subject:
    """Return a shipped model by name, an ONNX file, a checkpoint, or a baseline as FEATURES+CLASSIFIER (hog+svm).

    A baseline is fitted to the split train of the first of `data` that has one.

    Raises:
      UserError: none of these, or a model of clips.
    """
    if _is_baseline(model):
        return _baseline_subject(model, data)
    if training_run(Path(model)):
        return _checkpoint_subject(model)
    return onnx_subject(model, load_model(model))


def onnx_subject(name: str, predictor: OnnxPredictor, content: bytes | None = None) -> Subject:
    """Return the subject of an ONNX file; `content` where the predictor was not made of a file."""
    content = Path(predictor.origin).read_bytes() if content is None else content
    stored = predictor.metadata
    facts = {"kind": "ONNX", "network": stored["model"], "parameters": stored["parameters"], "bytes": len(content)}
    facts |= {"step": stored["step"], "trained_on": stored["data"], "temperature": float(stored.get("temperature", 1))}
    facts |= {"license": stored["license"], "mirror": stored.get("mirror") == "true"}
    shape = _checked(name, predictor.image_shape)
    try:
        predictor.attention(np.zeros((1, *shape), predictor.dtype))
        attention = predictor.attention
    except UserError:
        attention = None
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Subject(name, predictor, predictor.classes, shape, digest, facts, onnx=content, attention=attention)


def _checkpoint_subject(path: str) -> Subject:
    """Return the subject of a run's workdir or one of its checkpoints."""
    checkpoint = load_checkpoint(path)
    config = checkpoint.metadata["config"]
    facts = {"kind": "checkpoint", "network": checkpoint.metadata["model"]["name"], "step": checkpoint.step}
    facts |= {"parameters": parameter_count(checkpoint.variables["params"]), "trained_on": config["data"]["name"]}
    facts |= {"selected_on": config["data"].get("select_split", "auto"), "seed": config.get("seed")}
    facts |= {"bytes": sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(checkpoint.variables))}
    return checkpoint_of(str(path), checkpoint, facts)


def checkpoint_of(name: str, checkpoint: Checkpoint, facts: dict[str, Any]) -> Subject:
    predict = partial(make_predict_fn(checkpoint.model), checkpoint.variables)
    shape = _checked(name, checkpoint.image_shape)
    identity = checkpoint.digest[:12]
    return Subject(name, predict, checkpoint.classes, shape, identity, facts, checkpoint=checkpoint)


def with_gradients(subject: Subject, path: str) -> Subject:
    """Return an ONNX subject with the checkpoint that it was exported from, for maps that need gradients.

    Raises:
      UserError: the checkpoint ranks the classes of generated images in another way than the file.
    """
    from expressnet_jax.export.example_inputs import generated_images

    origin = _checkpoint_subject(path)
    if origin.classes != subject.classes or origin.image_shape != subject.image_shape:
        raise UserError(f"--checkpoint {path}: its classes or images are not those of {subject.name}")
    images = generated_images(subject.image_shape)
    same = subject.probabilities(images).argmax(1) == origin.probabilities(images).argmax(1)
    if same.mean() < 0.9:  # with mirror averaging a few near-ties come out in another order
        raise UserError(
            f"--checkpoint {path}: answers differently from {subject.name}; give the one it was exported from"
        )
    return Subject(**{**vars(subject), "checkpoint": origin.checkpoint})


def _baseline_subject(name: str, data: Sequence[Prepared]) -> Subject:
    """Fit FEATURES+CLASSIFIER to the split train of the first data set that has one.

    Raises:
      UserError: no such classifier, or no data set with a split train.
    """
    from expressnet_jax.baselines.classifiers import LinearSvm, NearestNeighbours

    features, _, classifier = name.partition("+")
    if classifier not in CLASSIFIERS:
        raise UserError(f"--model {name}: no classifier {classifier!r}; there are {', '.join(CLASSIFIERS)}")
    prepared = next((each for each in data if TRAIN in each.splits), None)
    if prepared is None:
        raise UserError(f"--model {name}: none of the data sets has a split train to fit it to; add one that has")
    describe = create_features(features)
    split = prepared.split(TRAIN)
    x = describe(gray(decode_all(split, _BASELINE_SIZE, channels=1)))
    fit = LinearSvm(_SVM_COST).fit if classifier == "svm" else NearestNeighbours(15).fit
    predict = make_predict(describe, fit(x, split.labels, len(split.classes)))
    facts = {"kind": "baseline", "network": name, "trained_on": prepared.name, "dimensions": x.shape[1]}
    identity = hashlib.sha256(f"{name} {prepared.identity}".encode()).hexdigest()[:12]
    return Subject(name, predict, split.classes, (_BASELINE_SIZE, _BASELINE_SIZE, 1), identity, facts)


def _is_baseline(model: str) -> bool:
    features, plus, _ = model.partition("+")
    return bool(plus) and features in FEATURES


def _checked(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) != 3:
        takes = f"clips of {shape[0]} frames" if shape else "no images"
        raise UserError(f"--model {name}: takes {takes}; a report is about models of single images")
    return tuple(shape)
