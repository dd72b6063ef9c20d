"""What is given as --model by mistake is called what it is."""

import pytest

from expressnet_jax.cli import main
from expressnet_jax.inference.model_files import not_a_model, training_run
from expressnet_jax.inference.predictor import WEIGHTS, load_model


@pytest.fixture
def run(tmp_path):
    """A workdir as training leaves it."""
    workdir = tmp_path / "runs" / "x"
    for step in ("checkpoints/40", "best/20"):
        for part in ("model", "metadata"):
            (workdir / step / part).mkdir(parents=True)
        (workdir / step / "model" / "_METADATA").write_text("{}")
    (workdir / "config.json").write_text("{}")
    return workdir


@pytest.mark.parametrize("part", [".", "best", "checkpoints", "best/20", "checkpoints/40/model"])
def test_a_training_run_is_told_how_to_be_exported(run, part, capsys):
    path = run / part
    (run / "x.png").write_bytes(b"")
    assert main(["predict", str(run / "x.png"), "--model", str(path)]) == 2
    reason = not_a_model(path)
    assert capsys.readouterr().err == f"error: model: {path}: {reason}\n"
    assert reason.startswith("a training run, not an ONNX file; export it first: expressnet export --checkpoint ")
    assert reason.endswith("--output model.onnx") and str(run) in reason


def test_the_export_command_names_a_checkpoint(run):
    assert training_run(run / "best" / "20" / "model" / "_METADATA") == run / "best" / "20"
    assert training_run(run) == run and training_run(run / "gone") is None
    assert training_run(WEIGHTS / "expressnet_tiny.onnx") is None


def test_a_folder_is_called_a_folder(tmp_path):
    assert not_a_model(tmp_path).startswith("a folder, not an ONNX file; give a file that")
    (tmp_path / "model.onnx").touch()  # as in the output of a fine-tuning
    assert not_a_model(tmp_path) == f"a folder, not an ONNX file; give {tmp_path / 'model.onnx'}"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("m.pth", b"PK\3\4", "weights of PyTorch"),
        ("m.pt", b"\x80\2ctorch", "weights of PyTorch"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", "a model of Keras (HDF5)"),
        ("m.keras", b"PK\3\4", "a model of Keras"),
        ("m.safetensors", b"\x10\0\0\0\0\0\0\0{}", "weights in safetensors"),
        ("nameless", b'\x50\0\0\0\0\0\0\0{"w":{"dtype":"F32"}}', "weights in safetensors"),
        ("nameless", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("m.tflite", b"\x1c\0\0\0TFL3", "a model of TensorFlow Lite"),
        ("m.onnx", b"\xff\xd8\xff\xe0", "an image"),
        ("m.onnx", b"", "an empty file"),
        ("m.onnx", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; run git lfs pull"),
        ("m.onnx", b"<!DOCTYPE html><html>", "a web page"),
    ],
)
def test_files_of_other_programs_are_named(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)
    assert not_a_model(path) == f"{kind}, not an ONNX file; give a file that expressnet export wrote"


@pytest.mark.parametrize("name", ["model.bin", "model.pth", "model"])
def test_an_onnx_file_may_be_called_anything(tmp_path, name):
    path = tmp_path / name
    path.write_bytes((WEIGHTS / "expressnet_tiny.onnx").read_bytes())
    assert load_model(path, threads=1).classes == load_model("tiny", threads=1).classes
