"""Say what somebody gave as --model that is no ONNX file, and what to do with it."""

from pathlib import Path

from expressnet_jax.data.media_files import KIND_NAMES, read_head
from expressnet_jax.data.media_types import identify

RUN_FILES, STEPS = ("config.json", "metrics.jsonl"), ("checkpoints", "best")  # of a run's workdir
_ONNX_START = b"\x08"  # field 1 of its protobuf, the version of the format
NEEDED = "give a file that expressnet export wrote"
_FORMATS = {
    ".pth": "weights of PyTorch",
    ".pt": "weights of PyTorch",
    ".bin": "weights of PyTorch",
    ".ckpt": "a checkpoint of another program",
    ".safetensors": "weights in safetensors",
    ".h5": "a model of Keras (HDF5)",
    ".hdf5": "a model of Keras (HDF5)",
    ".keras": "a model of Keras",
    ".tflite": "a model of TensorFlow Lite",
    ".pb": "a graph of TensorFlow",
    ".mlmodel": "a model of Core ML",
    ".engine": "an engine of TensorRT",
    ".caffemodel": "weights of Caffe",
    ".npz": "arrays of NumPy",
    ".pkl": "a Python pickle",
    ".msgpack": "weights of Flax (msgpack)",
    ".xml": "a model of OpenVINO",
    ".param": "a model of ncnn",
    ".gguf": "weights in GGUF",
}


def not_a_model(path: Path) -> str:
    """Return why a path can't be an exported model, and the remedy; empty if nothing speaks against it.

    Names, folders and first bytes are looked at; nothing is loaded.
    """
    if run := training_run(path):
        remedy = f"export it first: expressnet export --checkpoint {run} --output model.onnx"
        return f"a training run, not an ONNX file; {remedy}"
    if path.is_dir():
        inside = sorted(path.glob("*.onnx"))
        return f"a folder, not an ONNX file; {f'give {inside[0]}' if inside else NEEDED}"
    reason = _by_content(path) if path.is_file() else ""
    return f"{reason}, not an ONNX file; {NEEDED}" if reason else ""


def training_run(path: Path) -> Path | None:
    """Return the workdir or the checkpoint that `path` is or lies in; None if it is no part of a run."""
    if path.is_dir() and (_is_checkpoint(path) or _holds_run(path)):
        return path
    parents = path.parents if path.exists() else ()
    return next((folder for folder in list(parents)[:4] if _is_checkpoint(folder)), None)


def _holds_run(folder: Path) -> bool:
    """Return whether it is a run's workdir, or one of its folders of checkpoints."""
    steps = (child for place in (folder, *(folder / name for name in STEPS)) for child in place.glob("*"))
    return all((folder / name).is_file() for name in RUN_FILES) or any(map(_is_checkpoint, steps))


def _is_checkpoint(folder: Path) -> bool:
    """Return whether it is the folder of one step, as Orbax writes it."""
    return (folder / "model").is_dir() and (folder / "metadata").is_dir()


def _by_content(path: Path) -> str:
    """Return what a file is by its first bytes, or else by its suffix; empty if it may be an ONNX file."""
    try:
        head = read_head(path)
    except OSError:
        return ""
    if head.startswith(_ONNX_START):
        return ""
    found, suffix = identify(head), path.suffix.lower()
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    if b'"dtype"' in head and head[8:9] == b"{":
        return _FORMATS[".safetensors"]
    if found.kind in KIND_NAMES:
        return KIND_NAMES[found.kind]
    return "" if found.name in ("text", "not an image or video") else found.name
