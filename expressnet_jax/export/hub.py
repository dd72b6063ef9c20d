"""A folder that the Hugging Face hub shows well: model card, ONNX, safetensors, configuration, an example.

FOLDER/README.md          the card, with the YAML header that the hub reads (huggingface.co/docs/hub/model-cards)
FOLDER/model.onnx         what `Predictor.from_folder(FOLDER)` runs
FOLDER/model.safetensors  parameters and statistics by their Flax names, joined by dots
FOLDER/config.json        network, classes, images, the training's config
FOLDER/example.py         labels the faces of an image
Nothing is uploaded.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from expressnet_jax import __version__
from expressnet_jax.data.datasets.synthetic import Synthetic
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.io import write_bytes, write_json
from expressnet_jax.models.published.safetensors import write_safetensors
from expressnet_jax.runtime.onnx_predict import HUB_FILE, OnnxPredictor
from expressnet_jax.training.checkpoints.evaluate_checkpoint import trained_on_lines
from expressnet_jax.training.checkpoints.reading import Checkpoint

CONFIG, CARD, WEIGHTS, EXAMPLE_FILE = "config.json", "README.md", "model.safetensors", "example.py"
FILES = (CONFIG, CARD, WEIGHTS, EXAMPLE_FILE)
_LIBRARY = "expressnet_jax"
METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "macro_f1": "f1"}  # own name -> the hub's
KEYS = (*METRICS, "accuracy_interval", "count", "data", "split", "step", "classes")  # of what evaluate writes
TITLES = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1"}
_LICENSES = {Synthetic.name: "apache-2.0"}  # of weights that learned from nothing else
_OTHER = "other"
EXAMPLE = '''"""Label the faces of an image: python example.py photo.jpg (pip install expressnet-jax)."""

import sys
from pathlib import Path

from expressnet_jax import Predictor

predictor = Predictor.from_folder(Path(__file__).parent)
for face in predictor(sys.argv[1]):
    print(f"{face.label} {face.confidence:.2f} {face.box}")
'''

_USE = """## How to use it

`pip install expressnet-jax`, then:

```python
from expressnet_jax import Predictor

for face in Predictor.from_folder("FOLDER")("photo.jpg"):
    print(face.label, face.confidence, face.box)
```

`model.onnx` runs in any ONNX runtime: pixel values `images` [B,H,W,C] in, `probabilities` [B,K] out, in the order of
`id2label` in `config.json`. `model.safetensors` has the weights by their Flax names."""


def write_hub_folder(
    checkpoint: Checkpoint, onnx_file: Path, folder: Path, figures: Sequence[Mapping[str, Any]] = ()
) -> list[Path]:
    """Write the folder and return its files. `onnx_file` is the exported checkpoint, copied where it lies elsewhere;
    `figures` are those of `find_figures`.
    """
    content = onnx_file.read_bytes()
    about = OnnxPredictor(content, str(onnx_file)).metadata
    variables = jax.tree_util.tree_leaves_with_path(jax.device_get(checkpoint.variables))
    tensors = {".".join(str(key.key) for key in path): np.asarray(leaf, np.float32) for path, leaf in variables}
    text = card(checkpoint, about, figures, folder.resolve().name)
    return [
        write_bytes(folder / HUB_FILE, content),
        write_safetensors(folder / WEIGHTS, tensors),
        write_json(folder / CONFIG, describe(checkpoint)),
        write_bytes(folder / EXAMPLE_FILE, EXAMPLE.encode()),
        write_bytes(folder / CARD, text.encode()),
    ]


def check_folder(folder: Path) -> None:
    """Raise UserError for a folder with files of others under the names that `write_hub_folder` writes."""
    try:
        ours = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["library_name"] == _LIBRARY
    except (OSError, ValueError, TypeError, KeyError):
        ours = False
    others = [] if ours else [name for name in FILES if (folder / name).exists()]
    if others:
        raise UserError(f"--hub {folder}: {others[0]} is there already; give a new folder, or one of an earlier --hub")


def find_figures(checkpoint: Checkpoint, results: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Return the figures for the card: those of `expressnet evaluate --json`, else those that the run itself has
    written of this checkpoint, where there are some.

    Raises:
      UserError: figures that can't be read or are of another checkpoint, or a network of something else than images.
    """
    _check_images(checkpoint)
    return [_read_figures(path, checkpoint) for path in results] or _own_figures(checkpoint)


def _check_images(checkpoint: Checkpoint) -> None:
    """Raise UserError for a network of something else than images of faces."""
    if not isinstance(checkpoint.shape, tuple) or len(checkpoint.shape) != 3:
        raise UserError(f"--hub: is for networks of images; {checkpoint.path} takes {', '.join(checkpoint.inputs)}")


def _read_figures(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what `expressnet evaluate --json` has written about a checkpoint.

    Raises:
      UserError: it can't be read, is something else, or is about another checkpoint.
    """
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        known = all(key in figures for key in KEYS)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"--results {path}: can't be read ({one_line(error)}); give figures of expressnet evaluate"
        ) from error
    if not known:
        raise UserError(f"--results {path}: no figures of expressnet evaluate --json; give such a file")
    if (figures["step"], tuple(figures["classes"])) != (checkpoint.step, checkpoint.classes):
        raise UserError(
            f"--results {path}: is about step {figures['step']} and {len(figures['classes'])} classes, the checkpoint"
            f" is of step {checkpoint.step} and {len(checkpoint.classes)}; evaluate this one"
        )
    if "weights" in figures and figures["weights"] != checkpoint.digest:
        whose = figures.get("checkpoint", "another checkpoint")
        raise UserError(f"--results {path}: is about other weights, those of {whose}; evaluate {checkpoint.path}")
    return figures


def _own_figures(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return the figures that the run itself has written about this checkpoint; none where there are none."""
    path = checkpoint.path.parents[1] / "evaluation.json"
    try:
        return [_read_figures(path, checkpoint)]
    except UserError:  # the run isn't finished, or its best checkpoint is another one
        return []


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what config.json says."""
    height, width, channels = checkpoint.image_shape
    numbered = dict(enumerate(checkpoint.classes))
    return {
        "library_name": _LIBRARY,
        "library_version": __version__,
        "architecture": checkpoint.metadata["model"]["name"],
        "image_size": [height, width],
        "num_channels": channels,
        "pixel_values": "uint8, 0 to 255; scaled inside of the network",
        "id2label": {str(number): name for number, name in numbered.items()},
        "label2id": {name: number for number, name in numbered.items()},
        "outputs": {name: field.to_json() for name, field in checkpoint.outputs.items()},
        "step": checkpoint.step,
        "lineage": checkpoint.lineage,
        "versions": checkpoint.metadata["versions"],
        "training": _without_paths(checkpoint.metadata["config"]),
    }


def _without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without the folders of the computer that it ran on."""
    data = {key: value for key, value in config["data"].items() if key not in ("dir", "source")}
    return {**config, "data": data, "init_from": Path(config.get("init_from", "")).name, "teachers": []}


def header(checkpoint: Checkpoint, figures: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return the card's YAML header as plain values."""
    learned = {run[key] for run in checkpoint.lineage for key in ("data", "target") if run.get(key)}
    found = {_LICENSES.get(each, _OTHER) for each in learned}
    license = found.pop() if len(found) == 1 else _OTHER
    top: dict[str, Any] = {"library_name": _LIBRARY, "license": license}
    top |= {"license_name": "terms-of-the-training-images"} if license == _OTHER else {}
    tags = ["facial-expression-recognition", "jax", "flax", "onnx", checkpoint.metadata["model"]["name"]]
    top |= {"pipeline_tag": "image-classification", "tags": tags}
    if figures:
        top["model-index"] = [{"name": name, "results": [_result(each) for each in figures]}]
    return top


def _result(figures: Mapping[str, Any]) -> dict[str, Any]:
    data = _name_of(figures)
    return {
        "task": {"type": "image-classification", "name": "Facial expression recognition"},
        "dataset": {"type": data, "name": data, "split": figures["split"]},
        "metrics": [{"type": METRICS[key], "name": TITLES[key], "value": round(figures[key], 4)} for key in METRICS],
    }


def _name_of(figures: Mapping[str, Any]) -> str:
    """Return what the data is called, without its identity or the folder that it was read from."""
    return Path(figures["data"].partition("@")[0]).name


def card(checkpoint: Checkpoint, about: Mapping[str, Any], figures: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return README.md: the YAML header, what the model is for, its figures, how to use it."""
    top = yaml.safe_dump(header(checkpoint, figures, name), sort_keys=False, allow_unicode=True)
    height, width, channels = checkpoint.image_shape
    kind = "gray" if channels == 1 else "RGB"
    parts = [
        f"---\n{top}---",
        f"# {name}",
        f"This network (`{about['model']}`, {about['parameters']:,} parameters) **predicts the label that annotators"
        f" gave to the expression shown** in a {kind} face of {height}x{width} pixels: {', '.join(checkpoint.classes)}."
        " It does not detect what a person feels. Do not use it to judge people: the EU AI Act (Art. 5(1)(f)) bans"
        " inferring emotions at work and in education.",
        f"## Terms\n\n{about['license']}",
        "## How good it is\n\n" + "\n".join([*_figures(figures), *_doubts(figures, about)]),
        _USE,
    ]
    return "\n\n".join(parts) + "\n"


def _figures(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    if not figures:
        return ["It was not evaluated; `expressnet evaluate --json` does so, and `--results` puts the figures here."]
    lines = ["| data | images | accuracy (95 % interval) | balanced | macro F1 |", "|---|---|---|---|---|"]
    for each in figures:
        accuracy, *others = (f"{100 * each[key]:.1f} %" for key in METRICS)
        low, high = (100 * bound for bound in each["accuracy_interval"])
        shares = " | ".join([f"{accuracy} ({low:.1f} to {high:.1f})", *others])
        averaged = "" if each.get("tta", "none") == "none" else f", test-time augmentation {each['tta']}"
        lines.append(f"| {_name_of(each)}, {each['split']}{averaged} | {each['count']:,} | {shares} |")
    return lines


def _doubts(figures: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[str]:
    """Return lines that say why `model.onnx` may be less good than its figures, or answer differently."""
    splits = {each["split"].partition(" of ")[0] for each in figures}
    named = {"validation": "a validation split", "holdout": "images held out of training"}
    notes = [
        f"Of {text}: it selected the checkpoint, so its figures are a little too good."
        for split, text in named.items()
        if split in splits
    ]
    for each in figures:
        data = f"{_name_of(each)}, {each['split']}"
        notes += [
            line.replace("the figures above are", f"the figures of {data} are")
            for line in trained_on_lines(each.get("trained_on"))
        ]
    if figures and "logit_shifts" in about:
        notes.append("`model.onnx` names rare classes more or less often (`--adjust`); the figures are without that.")
    return [line for note in notes for line in ("", note)]
