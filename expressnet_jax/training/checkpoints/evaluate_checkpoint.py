"""How good a checkpoint is on a split: every example once, the label spaces matched by name.

Shapes: N examples, H height, W width, C channels, K classes of the model.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from expressnet_jax.data.decode import decode_example
from expressnet_jax.data.fields import Field, check_vocabulary, target_column, target_fields
from expressnet_jax.data.label_matching import match_labels
from expressnet_jax.data.prepared import Split
from expressnet_jax.evaluation.error_gallery import write_error_gallery
from expressnet_jax.evaluation.evaluate import collect_outputs, summarise
from expressnet_jax.evaluation.evaluators import evaluate_output, value_metrics
from expressnet_jax.evaluation.evaluators import known as known_metrics
from expressnet_jax.evaluation.plots import confusion_png
from expressnet_jax.evaluation.tta import check_views, outputs_with_tta
from expressnet_jax.io import write_json
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.network import make_inputs_reader
from expressnet_jax.training.step import make_predict_fn


class CheckpointEvaluation(NamedTuple):
    """Figures, and what they came from: probabilities float32[N,K], labels int[N] in the model's classes, the split,
    and the further outputs [N,...] that the split has a target for."""

    figures: dict[str, Any]
    probabilities: np.ndarray
    labels: np.ndarray
    split: Split
    outputs: dict[str, np.ndarray]


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    split: Split,
    *,
    tta: str = "none",
    batch_size: int = 256,
    leaked: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
) -> CheckpointEvaluation:
    """Predict every example of a split whose class the model knows, all outputs in one pass.

    `leaked` are positions in the full split, `size` is (height, width) of the stored images, which points are measured
    in; without it points have no figures. The metrics of further outputs are figures["outputs"], output -> metric ->
    value; where values have names, "each" holds the metrics of every one.

    Raises:
      UserError: not one class in common, or an augmentation of images for a network that takes something else.
    """
    check_views(checkpoint.inputs, tta, "tta")
    check_vocabulary(checkpoint.inputs, split.targets)
    main = checkpoint.model.main
    known, labels = match_labels(split, checkpoint.classes)
    fields = {
        name: field for name, field in fields_with_target(checkpoint, split).items() if size or field.kind != "points"
    }
    outputs = _predict_outputs(checkpoint, known, fields, tta, batch_size, size)
    probabilities = outputs.pop(main)
    figures = summarise(probabilities, labels, known.indices, checkpoint.classes, leaked)
    figures |= {"tta": tta, "step": checkpoint.step, "left_out": len(split) - len(known)}
    if outputs:
        figures["outputs"] = {name: _output_figures(name, outputs[name], fields[name], known, size) for name in outputs}
    return CheckpointEvaluation(figures, probabilities, labels, known, outputs)


def fields_with_target(checkpoint: Checkpoint, split: Split) -> dict[str, Field]:
    """Return the main output and those of the others that the split has a target for."""
    known = target_fields(split.classes, split.columns, None, split.targets)
    main = checkpoint.model.main
    return {n: f for n, f in checkpoint.outputs.items() if n == main or same_target(f, known.get(n))}


def _predict_outputs(
    checkpoint: Checkpoint,
    split: Split,
    fields: Mapping[str, Field],
    tta: str,
    batch_size: int,
    size: tuple[int, int] | None,
) -> dict[str, np.ndarray]:
    """Return the outputs of `fields` for every example of a split, in its order: classes as probabilities."""
    classes = [name for name, field in fields.items() if field.kind == "class"]
    every = partial(make_predict_fn(checkpoint.model, apply="all", classes=classes), checkpoint.variables)
    batches = make_inputs_reader(split, min(batch_size, max(len(split), 1)), checkpoint.shape, size)
    return collect_outputs(outputs_with_tta(every, fields, tta), fields, batches.batches())


def _output_figures(
    name: str, output: np.ndarray, field: Field, split: Split, size: tuple[int, int] | None
) -> dict[str, Any]:
    target = target_column(name, field, split.columns, size)
    each = value_metrics(output, target, field)
    return known_metrics(evaluate_output(output, target, field)) | ({"each": each} if each else {})


def further_outputs(checkpoint: Checkpoint) -> dict[str, Field]:
    """Return the outputs of a checkpoint's network that are not the main one."""
    return {name: field for name, field in checkpoint.outputs.items() if name != checkpoint.model.main}


def same_target(field: Field, other: Field | None) -> bool:
    """Return whether an output can be compared with a target: of a class, the names must be the same in order."""
    if other is None or (field.kind, field.shape) != (other.kind, other.shape):
        return False
    return field.kind != "class" or field.names == other.names


def trained_on_figures(result: CheckpointEvaluation, seen: Mapping[str, np.ndarray] | None) -> dict[str, Any] | None:
    """Return how many of the evaluated images the model has learned from, and its accuracy on the others.

    `seen` is `data_identity.seen_in_training` of `result.split`: bool[N] with labels and without.
    """
    if seen is None:
        return None
    others = ~(seen["labelled"] | seen["unlabelled"])
    right = result.probabilities.argmax(1) == result.labels
    return {
        "images": int(seen["labelled"].sum()),
        "without_labels": int((seen["unlabelled"] & ~seen["labelled"]).sum()),
        "of": len(others),
        "others": int(others.sum()),
        "accuracy_on_others": float(right[others].mean()) if others.any() else None,
    }


def trained_on_lines(figures: Mapping[str, Any] | None, what: str = "images") -> list[str]:
    """Return the warning that a model was judged on what it has learned from, if it was; `what` examples are called."""
    if not figures or not (figures["images"] or figures["without_labels"]):
        return []
    unseen = f"; accuracy on the {figures['others']:,} others: {100 * (figures['accuracy_on_others'] or 0):.2f} %"
    of, rest = f"of the {figures['of']:,} {what}", unseen if figures["others"] else ""
    if figures["images"]:
        content = "pixels" if what in ("images", "clips") else "content"
        text = f"have the very {content} of training {what}, so the figures above are too good"
        return [f"warning: {figures['images']:,} {of} {text}{rest}"]
    return [f"note: {figures['without_labels']:,} {of} were adapted on, without their labels{rest}"]


class _DecodedOnDemand(Sequence[np.ndarray]):
    """A split's images by position, decoded when asked for: item i is uint8[H,W,C], of a clip the frame amid it."""

    def __init__(self, split: Split, image_shape: tuple[int, ...]):
        self.split, self.image_shape = split, image_shape

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: Any) -> Any:
        example = decode_example(self.split.encoded(i), self.image_shape)
        return example if example.ndim == 3 else example[len(example) // 2]


def write_report(
    result: CheckpointEvaluation, checkpoint: Checkpoint, folder: Path, title: str, *, error_gallery: bool = True
) -> list[Path]:
    """Write evaluation.json, confusion.png and, of images and clips, error_gallery.html for looking at on one's own
    machine."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        write_json(folder / "evaluation.json", result.figures),
        confusion_png(result.figures, folder / "confusion.png", title),
    ]
    shape = checkpoint.shape
    if error_gallery and isinstance(shape, tuple) and len(shape) > 2:
        images = _DecodedOnDemand(result.split, shape)
        page = folder / "error_gallery.html"
        files.append(
            write_error_gallery(
                result.probabilities,
                result.labels,
                images,
                checkpoint.classes,
                page,
                result.split.keys,
                title=title,
            )
        )
    return files
