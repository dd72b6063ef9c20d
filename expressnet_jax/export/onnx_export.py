"""A checkpoint as an ONNX file, written only if ONNX Runtime computes with it what JAX computes.

Shapes: N examples, B batch (dynamic in the file), H height, W width, C channels, K classes.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from expressnet_jax import __version__
from expressnet_jax.data.datasets import DATASETS, builder_class
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.calibration import Calibration
from expressnet_jax.export.example_inputs import count, example_inputs, padded, rows, takes_images
from expressnet_jax.export.onnx_function import TIE, run_network
from expressnet_jax.io import write_bytes
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.layer_forms import conv_backend
from expressnet_jax.models.registry import input_kind
from expressnet_jax.runtime.onnx_predict import ATTENTION, INPUT, OUTPUT, OnnxPredictor
from expressnet_jax.training.checkpoints.evaluate_checkpoint import further_outputs
from expressnet_jax.training.checkpoints.reading import Checkpoint

_OPSET = 18
_TOLERANCE = 1e-4  # of a probability
SMALL_BATCHES, LARGEST_BATCH = (1, 2, 7), 256
DTYPES = {"uint8": "uint8", "float": "float32"}  # what a caller asks for, NumPy's name of it
_WORDING = "predicts the label annotators gave to the expression shown"


def export_onnx(
    checkpoint: Checkpoint,
    output: Path | str,
    *,
    images: Any = None,
    input: Literal["uint8", "float"] = "uint8",
    temperature: float | Mapping[str, float] = 1.0,
    logit_shift: Mapping[str, Sequence[float]] | None = None,
    attention: bool = False,
    mirror: bool = False,
) -> dict[str, Any]:
    """Write the checkpoint's model as ONNX and return the proof that it is the same model.

    The file takes `images` [B,H,W,C] (clips [B,T,H,W,C]), pixel values 0..255 as uint8 or float32, and gives
    `probabilities` float32[B,K]. Inside are the scaling and softmax((logits + shift) / `temperature`), the temperature
    of the main output or of each class by name, the shift float[K] of each class that `logit_shift` names. With
    `attention` it also gives `attention` float32[B,h,w], see `class_activation`. Every further output of the network
    comes by its name: probabilities of classes and of labels that exclude nothing, values of the rest. With `mirror`
    classes, points and sided values are the mean over the image and its mirror image: a little more accurate in twice
    the time. The file is compared with JAX on `images` uint8[N,H,W,C], or on generated ones, in batches of 1, 2, 7 and
    all (256 at a time). The same checkpoint gives the same bytes with the same libraries.

    A network of sound or of several inputs has a file that takes each by its name, float32[B,...], sound in -1..1; it
    is compared on `images` as its data set gives them. Where the network was trained to do without, NaN is missing.

    Raises:
      UserError: the images don't fit, or ONNX Runtime computes something else; then
        nothing is written.
    """
    _check_exportable(checkpoint, input, attention, mirror)
    images = example_inputs(checkpoint, images)
    temperatures = temperature if isinstance(temperature, Mapping) else {checkpoint.model.main: temperature}
    calibrations = _calibrations(checkpoint, temperatures, logit_shift or {})
    metadata = describe(checkpoint, DTYPES[input], calibrations) | ({"mirror": "true"} if mirror else {})
    content = convert(checkpoint, metadata, calibrations, attention=attention)
    expected = _jax_probabilities(checkpoint, images, calibrations, mirror)
    predictor = OnnxPredictor(content, str(output))
    proof = compare(predictor, expected, images)
    examples = rows(images, slice(LARGEST_BATCH))
    apart = _further_difference(checkpoint, predictor, examples, calibrations, mirror)
    proof["largest_difference"] = max(proof["largest_difference"], apart)
    _refuse_another_model(proof, output)
    write_bytes(output, content)
    facts = {"path": str(output), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return facts | {"opset": _OPSET, "input": metadata["input"]} | proof


def _refuse_another_model(proof: Mapping[str, Any], output: Path | str) -> None:
    if not proof["largest_difference"] <= _TOLERANCE or proof["different_labels"]:
        raise UserError(
            f"{output}: refuses to write a model that differs: ONNX Runtime and JAX are up to "
            f"{proof['largest_difference']:.2g} apart in a probability (allowed: {_TOLERANCE:g}) and disagree on "
            f"{proof['different_labels']} of {proof['examples']} labels; try other versions of jax2onnx and onnxruntime"
        )


def _check_exportable(checkpoint: Checkpoint, input: str, attention: bool, mirror: bool = False) -> None:
    if input not in DTYPES:
        raise UserError(f"input: no {input!r}; one of {', '.join(DTYPES)}")
    if checkpoint.metadata["config"].get("task") == "identity":
        raise UserError(
            f"{checkpoint.path}: it distinguishes people and has no expressions to export; begin an expression run with"
            " it (--config.init_from)"
        )
    if mirror and not takes_images(checkpoint):
        raise UserError(f"mirror: {checkpoint.path} takes {', '.join(checkpoint.inputs)}, which has no mirror image")
    if attention and checkpoint.model.heads[checkpoint.model.main].kind != "linear":
        raise UserError("attention: the logits of a cosine head are no sums over places; export it without")


def _calibrations(
    checkpoint: Checkpoint, temperatures: Mapping[str, float], shifts: Mapping[str, Sequence[float]]
) -> dict[str, Calibration]:
    """Return the calibration of every output that has a temperature or a shift.

    Raises:
      UserError: an output that is no class of the network, or a shift that has not one number for each class.
    """
    classes = {name: field.shape for name, field in checkpoint.outputs.items() if field.kind == "class"}
    for name in (*temperatures, *shifts):
        if name not in classes:
            raise UserError(f"{checkpoint.path} has no class {name!r}; one of {', '.join(classes)}")
    for name, shift in shifts.items():
        if np.shape(shift) != classes[name]:
            raise UserError(f"logit_shift of {name!r}: has {len(shift)} numbers for {classes[name][0]} classes")
    return {
        name: Calibration(temperatures.get(name, 1.0), tuple(map(float, shifts.get(name, ()))))
        for name in dict.fromkeys((*temperatures, *shifts))
    }


def describe(
    checkpoint: Checkpoint, dtype: str, calibrations: Mapping[str, Calibration] | None = None
) -> dict[str, str]:
    """Return what the file says about itself, text by name; `JSON_FIELDS` of `onnx_predict` lists what is JSON."""
    config, main, calibrations = checkpoint.metadata["config"], checkpoint.model.main, calibrations or {}
    further = {name: each.temperature for name, each in calibrations.items() if name != main}
    shifts = {name: each.shift for name, each in calibrations.items() if each.shift}
    fields = {
        "classes": checkpoint.classes,
        "image_shape": checkpoint.image_shape if takes_images(checkpoint) else None,
        "input": dtype if takes_images(checkpoint) else "float32",
        "output": _WORDING,
        "model": checkpoint.metadata["model"]["name"],
        "model_options": checkpoint.metadata["model"]["options"],
        "outputs": {name: field.to_json() for name, field in further_outputs(checkpoint).items()},
        "parameters": parameter_count(checkpoint.variables["params"]),
        "step": checkpoint.step,
        "temperature": calibrations.get(main, Calibration()).temperature,
        "config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        "data": config["data"]["name"],
        "license": _terms(checkpoint),
        "versions": checkpoint.metadata["versions"] | {name: version(name) for name in ("jax2onnx", "onnx")},
    }
    fields |= ({"temperatures": further} if further else {}) | ({"logit_shifts": shifts} if shifts else {})
    if input_kind(checkpoint.metadata["model"]["name"]) == "flow":
        fields["takes"] = "optical flow"
    if (clip := checkpoint.inputs.get("clip")) and clip.rate:
        fields["frame_rate"] = clip.rate
    if not takes_images(checkpoint):
        fields["inputs"] = {name: field.to_json() for name, field in checkpoint.inputs.items()}
        fields["missing_inputs"] = "true" if checkpoint.model.modality_dropout else "false"
    return {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for name, value in fields.items()
    }


def _terms(checkpoint: Checkpoint) -> str:
    """Return those of every data set that this run and the runs before it have learned from, the first one first."""
    seen = [name for run in checkpoint.lineage for name in (run["data"], run.get("target")) if name]
    sources = [
        f"{name}: {builder_class(name if name in DATASETS else 'folder').LICENSE}" for name in dict.fromkeys(seen)
    ]
    return f"The weights inherit the terms of the images they were trained on. {' '.join(sources)}"


def compare(predict: OnnxPredictor, expected: np.ndarray, images: Any) -> dict[str, Any]:
    """Run `images` uint8[N,H,W,C], or inputs by name, in several batch sizes; compare with `expected` float32[N,K].

    A label differs where the class that ONNX Runtime puts first is more than a tie below JAX's first.
    """
    slices = [slice(i, i + LARGEST_BATCH) for i in range(0, count(images), LARGEST_BATCH)]
    for size in SMALL_BATCHES:
        slices += [slice(i, i + size) for i in range(0, min(4 * size, count(images)), size)]
    order = np.concatenate([np.arange(count(images))[part] for part in slices])
    found, wanted = np.concatenate([predict(rows(images, part)) for part in slices]), expected[order]
    if found.shape != wanted.shape:
        raise UserError(f"{predict.origin}: gives {found.shape[1:]} numbers an image, JAX {wanted.shape[1:]}")
    below = wanted.max(1) - wanted[np.arange(len(order)), found.argmax(1)]
    return {
        "examples": count(images),
        "batch_sizes": [*SMALL_BATCHES, min(count(images), LARGEST_BATCH)],
        "largest_difference": float(np.abs(found - wanted).max()),
        "different_labels": len(np.unique(order[~(below <= TIE)])),
        "ties": len(np.unique(order[(below > 0) & (below <= TIE)])),
    }


def _jax_probabilities(
    checkpoint: Checkpoint, images: Any, calibrations: Mapping[str, Calibration], mirror: bool
) -> np.ndarray:
    """uint8[N,H,W,C], or inputs by name -> float32[N,K], in true float32: GPUs and TPUs would take shorter numbers for
    products."""
    size = min(count(images), LARGEST_BATCH)
    whole = padded(images, size)
    with jax.default_matmul_precision("highest"):
        run = partial(run_network, checkpoint.model, checkpoint.outputs, calibrations=calibrations, mirror=mirror)
        predict = jax.jit(lambda variables, images: run(variables, images)[0])
        starts = range(0, count(whole), size)
        parts = [predict(checkpoint.variables, rows(whole, slice(i, i + size))) for i in starts]
    return np.concatenate(parts)[: count(images)]


def _further_difference(
    checkpoint: Checkpoint,
    predictor: OnnxPredictor,
    images: Any,
    calibrations: Mapping[str, Calibration],
    mirror: bool,
) -> float:
    """Return the largest difference between ONNX Runtime and JAX in any further output, 0 without one."""
    names = list(further_outputs(checkpoint))
    if not names:
        return 0.0
    with jax.default_matmul_precision("highest"):
        network = partial(run_network, checkpoint.model, checkpoint.outputs)
        run = jax.jit(partial(network, calibrations=calibrations, mirror=mirror))
        expected = dict(zip(names, run(checkpoint.variables, images)[1:], strict=True))
    found = predictor.outputs(images)
    return max(float(np.abs(found[name] - np.asarray(expected[name])).max()) for name in names)


def convert(
    checkpoint: Checkpoint,
    metadata: dict[str, str],
    calibrations: Mapping[str, Calibration] | None = None,
    *,
    attention: bool = False,
) -> bytes:
    """Return the model as an ONNX file's content, not yet compared with JAX."""
    from jax2onnx import to_onnx

    from expressnet_jax.export import onnx_graph, onnx_layout

    inputs, specs = _graph_inputs(checkpoint, metadata["input"])
    names = [OUTPUT, *([ATTENTION] if attention else []), *further_outputs(checkpoint)]
    settings: dict[str, Any] = {"calibrations": calibrations, "attention": attention}
    settings["mirror"] = metadata.get("mirror") == "true"
    everything = partial(run_network, checkpoint.model, checkpoint.outputs, checkpoint.variables, **settings)

    def run(*arrays):
        found = everything(arrays[0] if inputs == [INPUT] else dict(zip(inputs, arrays, strict=True)))
        return found if len(names) > 1 else found[0]

    # On import, jax2onnx draws the weights of many example layers; this generator compiles in half the time.
    with _quiet(), jax.default_prng_impl("unsafe_rbg"), conv_backend("xla"):
        model = to_onnx(run, specs, opset=_OPSET, input_names=inputs, output_names=names)
    graph = onnx_graph.Graph.read(model)
    onnx_graph.fold_constants(graph)
    onnx_graph.drop_identities(graph)
    onnx_graph.drop_zero_biases(graph)
    onnx_graph.fix_reshapes(graph)
    onnx_graph.fuse_reductions(graph)
    onnx_graph.fuse_prelu(graph)
    onnx_layout.channels_first(graph)
    onnx_graph.fold_batch_norm(graph)
    onnx_graph.share_constants(graph)
    lean = graph.write(metadata["model"])
    lean.producer_name, lean.producer_version, lean.doc_string = "expressnet_jax", __version__, _WORDING
    for name, value in sorted(metadata.items()):
        lean.metadata_props.add(key=name, value=value)
    return lean.SerializeToString(deterministic=True)


def _graph_inputs(checkpoint: Checkpoint, dtype: str) -> tuple[list[str], list[jax.ShapeDtypeStruct]]:
    """Return the names and shapes of a file's inputs: images of `dtype`, or float32 arrays by name."""
    if takes_images(checkpoint):
        return [INPUT], [jax.ShapeDtypeStruct(("B", *checkpoint.image_shape), dtype)]
    specs = [jax.ShapeDtypeStruct(("B", *field.shape), np.float32) for field in checkpoint.inputs.values()]
    return list(checkpoint.inputs), specs


@contextmanager
def _quiet() -> Iterator[None]:
    """jax2onnx warns of shapes that are inferred again afterwards, and logs through a handler that it leaves behind."""
    root, chatty = logging.getLogger(), logging.getLogger("onnx_ir")
    handlers, level = root.handlers[:], chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        yield
    finally:
        chatty.setLevel(level)
        root.handlers[:] = handlers
