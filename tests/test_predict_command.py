"""`expressnet predict` as it is typed, rightly and wrongly; with the hand-made model of test_predictor."""

import csv
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.cli import main
from expressnet_jax.data.synthetic.generator import generate
from expressnet_jax.inference.predictor import WEIGHTS
from test_predictor import CLASSES, light_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return light_model(tmp_path_factory.mktemp("model") / "light.onnx")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to stand in, with a face, a wall and a text that is called an image."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(generate(0, size=160, channels=3).image).save("face.png")
    Image.new("RGB", (160, 120), "gray").save("wall.jpg")
    (tmp_path / "text.jpg").write_text("I am no image")
    return tmp_path


@pytest.fixture
def predict(here, model, capsys):
    """Words -> exit status, lines of stdout, lines of stderr."""

    def run(*words):
        capsys.readouterr()
        try:
            status = main(["predict", *words, "--model", str(model), "--threads", "1"])
        except SystemExit as stop:
            status = stop.code
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err.splitlines()

    return run


def test_a_face_is_status_0_and_a_line(predict):
    status, lines, errors = predict("face.png")
    assert (status, errors) == (0, [])
    assert lines[0] == "face.png: 1 face" and len(lines) == 2
    assert lines[1].split()[1] in CLASSES and " at " in lines[1]


def test_no_face_is_status_1(predict):
    assert predict("wall.jpg") == (1, ["wall.jpg: no face found"], [])
    assert predict("wall.jpg", "face.png")[0] == predict("face.png", "wall.jpg")[0] == 1


@pytest.mark.parametrize("order", [("text.jpg", "face.png", "wall.jpg"), ("wall.jpg", "face.png", "text.jpg")])
def test_what_cannot_be_read_is_status_2_and_the_others_go_on(predict, order):
    status, lines, errors = predict(*order)
    assert status == 2
    assert errors == ["error: text.jpg: text, not an image; give a JPEG or PNG"]
    assert [line for line in lines if not line.startswith(" ")] == [
        {"face.png": "face.png: 1 face", "wall.jpg": "wall.jpg: no face found"}[name]
        for name in order
        if name != "text.jpg"
    ]


def test_a_batch_of_everything_that_is_broken(predict, here):
    (here / "empty.jpg").write_bytes(b"")
    (here / "half.png").write_bytes((here / "face.png").read_bytes()[:-200])
    (here / "program.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    Image.new("1", (20_000, 20_000)).save("bomb.png")
    broken = ["empty.jpg", "half.png", "bomb.png", "program.eps"]
    status, lines, errors = predict(*broken, "face.png")
    assert status == 2 and lines[0] == "face.png: 1 face"
    assert [line.split(": ")[1] for line in errors] == broken
    for line, remedy in zip(
        errors, ("fetch it again", "fetch it again", "make it smaller", "give a JPEG or PNG"), strict=True
    ):
        assert remedy in line


def test_a_line_of_json_an_image_and_nothing_else(predict):
    status, lines, _ = predict("face.png", "wall.jpg", "--json")
    face, wall = map(json.loads, lines)
    assert status == 1 and wall == {"image": "wall.jpg", "faces": []}
    assert face["image"] == "face.png" and tuple(face["faces"][0]["probabilities"]) == CLASSES


def test_the_csv_can_be_read_back(predict, here):
    odd = "a, b\nc.png"
    (here / odd).write_bytes((here / "face.png").read_bytes())
    status, lines, _ = predict(odd, "wall.jpg", "face.png", "--csv", "faces.csv", "--json")
    with (here / "faces.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert status == 1 and [row["image"] for row in rows] == [odd, "wall.jpg", "face.png"]
    assert [row["face"] for row in rows] == ["1", "0", "1"]
    for row, line in zip(rows, map(json.loads, lines), strict=True):
        for face in line["faces"]:
            assert [float(row[name]) for name in CLASSES] == list(face["probabilities"].values())
            assert row["label"] == face["label"] == max(CLASSES, key=lambda name: float(row[name]))


def test_folders_patterns_and_standard_input(predict, here, monkeypatch):
    (here / "all" / "deep").mkdir(parents=True)
    for name in ("b.PNG", "deep/a.png"):
        (here / "all" / name).write_bytes((here / "face.png").read_bytes())
    (here / "all" / "notes.txt").write_text("not looked at")
    names = lambda lines: [line.rsplit(": ", 1)[0] for line in lines if not line.startswith(" ")]
    status, lines, errors = predict("all")
    assert (status, names(lines), errors) == (
        0,
        ["all/b.PNG", "all/deep/a.png"],
        ["left out 1 file:", "  all/notes.txt (text)", "3 files: 2 images, 1 left out (text 1)"],
    )
    assert names(predict("all/**/*.png")[1]) == ["all/deep/a.png"]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((here / "face.png").read_bytes())))
    assert names(predict("-")[1]) == ["standard input"]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    assert predict("-")[2] == ["error: standard input: an empty file; fetch it again"]


def test_images_are_saved_with_boxes(predict, here):
    original = np.asarray(Image.open("face.png"))
    for where, path in (("drawn.png", "drawn.png"), ("out/drawn.jpg", "out/drawn.jpg")):
        assert predict("face.png", "--save", where)[0] == 0
        drawn = np.asarray(Image.open(here / path))
        assert drawn.shape == original.shape and (np.abs(drawn.astype(int) - original) > 60).any()
    (here / "folder").mkdir()
    assert predict("face.png", "--save", "folder")[0] == 0
    assert predict("face.png", "wall.jpg", "--save", "several")[0] == 1
    assert sorted(path.name for path in (here / "several").iterdir()) == ["face.png", "wall.png"]
    assert (here / "folder" / "face.png").is_file()


def test_an_image_is_never_written_over_itself_or_another_one(predict, here):
    before = (here / "face.png").read_bytes()
    for where in ("face.png", "."):
        status, lines, errors = predict("face.png", "--save", where)
        assert status == 2 and lines[0] == "face.png: 1 face" and "the input itself; give another name" in errors[0]
    assert (here / "face.png").read_bytes() == before
    (here / "other").mkdir()
    (here / "other" / "face.png").write_bytes((here / "wall.jpg").read_bytes())
    predict("face.png", "other/face.png", "--save", "drawn")
    assert sorted(path.name for path in (here / "drawn").iterdir()) == ["face-2.png", "face.png"]


def test_what_is_not_there_does_not_stop_the_others(predict, here):
    status, lines, errors = predict("missing.jpg", "face.png", "text.jpg", "--json", "--csv", "faces.csv")
    assert status == 2 and len(errors) == 2
    assert [line["image"] for line in map(json.loads, lines)] == ["missing.jpg", "face.png", "text.jpg"]
    assert "not an image" in json.loads(lines[2])["error"]
    with (here / "faces.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["face"], row["flags"]) for row in rows] == [
        ("0", "unreadable"),
        ("1", rows[1]["flags"]),
        ("0", "unreadable"),
    ]


def test_a_name_that_is_no_text_passes_through_and_a_terminal_of_letters_only_does_not_matter(here, model):
    name = os.fsdecode(b"caf\xe9.png")
    (here / name).write_bytes((here / "face.png").read_bytes())
    words = [sys.executable, "-m", "expressnet_jax.cli", "predict", name, "--csv", "faces.csv", "--model", str(model)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(words, capture_output=True, check=True, env=environment)
    assert ran.stdout.startswith(b"caf\\xe9.png: 1 face")
    assert b"caf\xe9.png,1," in (here / "faces.csv").read_bytes()


def test_a_run_that_fails_leaves_the_table_of_the_one_before(predict, here, monkeypatch):
    predict("face.png", "--csv", "faces.csv")
    before = (here / "faces.csv").read_bytes()
    monkeypatch.setattr("expressnet_jax.inference.outputs.Csv.write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict("face.png", "--csv", "faces.csv")
    assert (here / "faces.csv").read_bytes() == before and not (here / "faces.csv.new").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.jpg"], "missing.jpg: no such file; give files, a folder or a pattern"),
        (["*.tif"], "*.tif: no image or video that fits this pattern"),
        (["nothing"], "nothing: no image or video in this folder"),
        (["face.png", "--detector", "retina"], "detector: no 'retina'; one of centerface"),
        (["face.png", "--detector", "yunet"], "yunet:FILE takes a file of weights"),
        (["face.png", "--detector", "yunet:text.jpg"], "text.jpg: no YuNet; fetch"),
        (["face.png", "--size", "0"], "size: 0; give 32 pixels or more"),
        (["face.png", "--size", "large"], "invalid int value: 'large'"),
        (["face.png", "--csv", "missing/faces.csv"], "missing/faces.csv: can't be written"),
        (["face.png", "--save", "drawn"], "drawn: give a name that ends in .png or .jpg, or a folder"),
        (["missing.jpg", "absent.png"], "missing.jpg: no such file"),
        (["face.png", "--equalise"], "unrecognized arguments: --equalise"),
        ([], "the following arguments are required: INPUT"),
    ],
)
def test_what_is_typed_wrongly_gives_one_line_and_status_2(predict, here, words, message):
    (here / "nothing").mkdir()
    status, _, errors = predict(*words)
    assert status == 2 and len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.onnx", "model: missing.onnx: no such file, nor one of the shipped small"),
        ("text.jpg", "text.jpg: not an ONNX model"),
        (str(WEIGHTS / "centerface.onnx"), "not one of expressnet export"),
    ],
)
def test_a_model_that_is_none_of_ours_gives_one_line(here, capsys, name, message):
    assert main(["predict", "face.png", "--model", name]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and message in said.err


ALONE = """
import sys
from expressnet_jax.cli import main
status = main(["predict", "face.png", "wall.jpg", "text.jpg", "--model", sys.argv[1], "--csv", "faces.csv"])
heavy = {"jax", "jaxlib", "flax", "tensorflow", "optax", "grain", "torch", "onnx", "matplotlib"} & set(sys.modules)
sys.exit(f"imported {sorted(heavy)}" if heavy else status)
"""


def test_the_command_imports_no_jax(here, model):
    ran = subprocess.run([sys.executable, "-c", ALONE, str(model)], capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and ran.stderr == ("error: text.jpg: text, not an image; give a JPEG or PNG\n")
    assert "wall.jpg: no face found" in ran.stdout
