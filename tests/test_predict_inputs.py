"""`expressnet predict` with images and videos together: one table, own names for every output, one line an error."""

import contextlib
import csv
import errno
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from broken_videos import cut, encode, without_frames
from expressnet_jax.cli import main
from expressnet_jax.data.synthetic.generator import generate
from expressnet_jax.inference.output_files import TableError, new_file
from painted_videos import write_video
from test_predictor import CLASSES, light_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return light_model(tmp_path_factory.mktemp("model") / "light.onnx")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to stand in, with media/: an image and videos, among them one called as an image, and notes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "media" / "deep").mkdir(parents=True)
    Image.fromarray(generate(0, size=96, channels=3).image).save("media/same.png")
    write_video(tmp_path / "media" / "same.mp4", 6)
    write_video(tmp_path / "deep.mp4", 4).rename("media/deep/same.jpg")
    Path("media/notes.txt").write_text("a note")
    return tmp_path


@pytest.fixture
def predict(here, model, capsys):
    """Words -> exit status, lines of stdout, lines of stderr."""

    def run(*words):
        capsys.readouterr()
        status = main(["predict", *words, "--model", str(model), "--threads", "1", "--detector", "none"])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


def rows(name):
    with open(name, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_images_and_videos_share_a_table(predict):
    status, lines, errors = predict("media", "--csv", "out.csv")
    assert status == 0 and errors[-1] == "4 files: 1 image, 2 videos, 1 left out (text 1)"
    assert errors[:-1] == ["left out 1 file:", "  media/notes.txt (text)"]
    assert lines[0] == "media/deep/same.jpg: 4 frames, 4 faces found, 0 frames without a face"
    table = rows("out.csv")
    video = [row for row in table if row["frame"]]
    assert [(row["file"], row["frame"]) for row in video] == [
        *(("media/deep/same.jpg", str(n)) for n in range(4)),
        *(("media/same.mp4", str(n)) for n in range(6)),
    ]
    [image] = [row for row in table if not row["frame"]]
    assert (image["file"], image["face"], image["seconds"], image["track"]) == ("media/same.png", "1", "", "")
    raw = {name: float(image[f"raw_{name}"]) for name in CLASSES}
    assert float(image["confidence"]) == max(raw.values()) and image["label"] == max(raw, key=raw.get)
    for row in video:
        assert sum(float(row[f"smoothed_{name}"]) for name in CLASSES) == pytest.approx(1, abs=1e-4)
        assert float(row["confidence"]) == float(row[f"smoothed_{row['label']}"])


def test_one_video_keeps_the_table_that_can_be_continued(predict):
    assert predict("media/same.mp4", "--csv", "out.csv")[0] == 0
    assert list(rows("out.csv")[0])[:3] == ["frame", "seconds", "track"]


def test_json_has_a_line_for_each_image_and_frame(predict):
    status, lines, _ = predict("media/same.png", "media/same.mp4", "gone.mp4", "--json")
    found = [json.loads(line) for line in lines]
    assert status == 2 and found[0]["image"] == "media/same.png"
    assert [line["frame"] for line in found[1:7]] == list(range(6))
    face = found[6]["faces"][0]
    assert face["track"] == 1 and tuple(face["probabilities"]) == tuple(face["raw_probabilities"]) == CLASSES
    assert found[7]["summary"]["frames"] == 6 and found[7]["summary"]["frames_not_decoded"] == 0
    assert found[8]["video"] == "gone.mp4" and "no such file" in found[8]["error"]


def test_outputs_of_the_same_name_have_names_of_their_own(predict, here):
    assert predict("media", "media/same.png", "--save", "drawn", "--annotate", "drawn2")[0] == 0
    assert sorted(path.name for path in (here / "drawn").iterdir()) == ["same-2.png", "same.png"]
    assert sorted(path.name for path in (here / "drawn2").iterdir()) == ["same-2.mp4", "same.mp4"]


def test_no_input_is_written_over(predict, here):
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    for words in (
        ["--csv", "media/same.png"],
        ["--csv", "media/same.mp4"],
        ["--annotate", "media"],
        ["--save", "media"],
        ["--annotate", "media/deep/../same.mp4"],
    ):
        status, _, errors = predict("media/same.png", "media/same.mp4", *words)
        assert status == 2 and sum(line.startswith("error: ") for line in errors) == 1, words
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_one_bad_video_does_not_stop_the_others(predict, here):
    whole = encode(here / "cut.avi", "MJPG", 60)
    cut(whole, 0.5)
    without_frames(encode(here / "hole.mov", "mjpg", 20), [4, 5])
    (here / "zero.mp4").write_bytes(b"")
    words = ["cut.avi", "zero.mp4", "hole.mov", "media/same.png"]
    status, lines, errors = predict(*words, "--csv", "out.csv")
    assert status == 2
    assert "cut.avi: ends at" in errors[0] and "truncated" in errors[0]
    assert "zero.mp4: not a video that can be read: an empty file" in errors[1]
    assert errors[2] == "hole.mov: 2 of 20 frames could not be decoded" in [f"hole.mov: {line}" for line in lines]
    assert len(errors) == 3 and lines[-2] == "media/same.png: 1 face"
    flags = [(row["file"], row["flags"]) for row in rows("out.csv") if row["file"] != "media/same.png" and row["flags"]]
    assert flags == [("cut.avi", "truncated"), ("zero.mp4", "unreadable")]
    assert [int(row["frame"]) for row in rows("out.csv") if row["file"] == "hole.mov"] == [*range(4), *range(6, 20)]


def test_damaged_frames_change_no_exit_status(predict, here):
    without_frames(encode(here / "hole.mov", "mjpg", 20), [4, 5])
    status, lines, errors = predict("hole.mov")
    assert status == 0 and lines[-1] == "2 of 20 frames could not be decoded"
    assert errors == ["hole.mov: 2 of 20 frames could not be decoded"]


def test_a_video_of_bad_frames_only_is_status_2(predict, here):
    without_frames(encode(here / "bad.mov", "mjpg", 20), range(20))
    status, _, errors = predict("bad.mov")
    assert status == 2 and errors[-1] == "error: bad.mov: no frame of this video can be decoded; fetch it again"


def test_of_an_animation_the_first_image_is_predicted_and_that_is_said(predict, here):
    images = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    images[0].save("moving.gif", save_all=True, append_images=images[1:])
    status, lines, errors = predict("moving.gif")
    assert status == 0 and lines[0] == "moving.gif: 1 face"
    assert errors == ["moving.gif: an animation of 3 images; the first is predicted, as a video all would be"]


def command(model, *words):
    code = "import sys; from expressnet_jax.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, "predict", *words, "--model", str(model), "--detector", "none"]


def test_standard_input_may_be_a_video(model, here):
    with open("media/same.mp4", "rb") as video:
        ran = subprocess.run(command(model, "-", "--csv", "out.csv"), stdin=video, capture_output=True, check=True)
    assert ran.stdout.startswith(b"6 frames") and {row["video"] for row in rows("out.csv")} == {"standard input"}


def test_a_torn_video_from_standard_input_is_called_so_and_not_by_its_temporary_file(predict, monkeypatch):
    begin = Path("media/same.mp4").read_bytes()[:300]
    expected = "standard input: not a video that can be read: truncated (there are 300 of "
    for words in (["-"], ["-", "media/same.png", "--json"]):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(begin)))
        status, lines, errors = predict(*words)
        assert status == 2 and errors[0].startswith(f"error: {expected}"), errors
    assert json.loads(lines[0])["error"].startswith(expected)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
def test_names_in_another_encoding_pass_through_every_output(model, here, encoding):
    names = [os.fsdecode(b"media/caf\xe9.png"), os.fsdecode(b"media/video\xd5.mp4")]
    Path("media/same.png").rename(names[0])
    Path("media/same.mp4").rename(names[1])
    words = [*names, "--csv", "out.csv", "--save", "drawn", "--annotate", "drawn"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    ran = subprocess.run(command(model, *words), capture_output=True, check=True, env=environment)
    assert b"media/caf\\xe9.png: 1 face" in ran.stdout and b"media/video\\xd5.mp4: 6 frames" in ran.stdout
    assert {row["file"] for row in rows("out.csv")} == set(names)
    assert sorted(os.listdir(b"drawn")) == [b"caf\xe9.png", b"video\xd5.mp4"]
    ran = subprocess.run(command(model, names[1], "--csv", "one.csv", "--json"), capture_output=True, check=True)
    assert {json.loads(line)["video"] for line in ran.stdout.splitlines()} == {names[1]}
    assert {row["video"] for row in rows("one.csv")} == {names[1]}


def limited(words, most):
    """Run a command that can write no file of more than `most` bytes, as on a full disk."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    return subprocess.run(words, capture_output=True, text=True, check=False, preexec_fn=limit)


@pytest.mark.parametrize(
    ("words", "most"),
    [
        (["media/same.png", "media/same.mp4", "--csv", "out.csv"], 300),
        (["media/same.mp4", "--csv", "out.csv"], 300),
        (["media/same.png", "--save", "out.png"], 300),
        (["media/same.mp4", "--annotate", "out.mp4"], 3000),
    ],
)
def test_a_full_disk_is_one_line_and_nothing_half_written(model, here, words, most):
    ran = limited(command(model, *words), most)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1 and ran.stderr.startswith("error: "), ran.stderr
    left = {path.name for path in here.iterdir()} - {"media"}
    assert left <= {"out.csv", "out.csv.state.json"}  # what a run of one video goes on with
    if "out.csv" in left:
        assert (here / "out.csv").read_text().endswith("\n")


def test_a_table_that_could_not_be_written_once_never_takes_its_name(here, monkeypatch):
    def write(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill():
        with new_file(here / "out.csv") as table:
            table.write("whole\n")
            with monkeypatch.context() as full, contextlib.suppress(TableError):  # another error may take its place
                full.setattr(table, "file", SimpleNamespace(write=write))
                table.write("half")

    with pytest.raises(TableError, match=r"out\.csv: can't be written"):
        fill()
    assert not list(here.glob("out.csv*"))


def test_the_table_marks_a_video_that_ends_with_its_annotated_one(predict):
    status, _, errors = predict("media/same.mp4", "media/same.png", "--csv", "out.csv", "--annotate", "out.avi")
    assert status == 2 and "out.avi: annotated videos are MP4" in errors[0]
    first = rows("out.csv")[0]
    assert (first["file"], first["flags"]) == ("media/same.mp4", "unfinished")


def test_a_full_disk_below_stdout_is_one_line(model, here):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        ran = subprocess.run(command(model, "media/same.png"), stdout=full, stderr=subprocess.PIPE, check=False)
    assert ran.returncode == 2 and ran.stderr.startswith(b"error: standard output: can't be written (No space left")
    assert ran.stderr.count(b"\n") == 1


def test_a_closed_pipe_ends_it_quietly_and_keeps_the_rows(model, here):
    many = ["media/same.png"] * 200
    process = subprocess.Popen(
        command(model, *many, "--csv", "out.csv"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b"what was predicted so far is in out.csv.partial\n"
    assert process.wait(30) == 0 and len(rows("out.csv.partial")) >= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["media/same.png", "--annotate", "out.mp4"], "--annotate is for videos"),
        (["media/same.mp4", "--save", "out.png"], "--save is for images"),
        (["media/same.mp4", "media/same.mp4", "--annotate", "out.mp4"], "several videos; give a folder"),
        (["media/same.png", "media/same.png", "--save", "out.png"], "several images; give a folder"),
        (["media/same.mp4", "media/same.mp4", "--annotate", "media/notes.txt"], "several videos; give a folder"),
        (["media", "--annotate", "media/notes.txt/out"], "can't be written into"),
        (["media", "--csv", "x", "--annotate", "x"], "the name of another output"),
    ],
)
def test_options_that_do_not_fit_are_one_line_before_anything_is_written(predict, here, words, message):
    before = sorted(here.rglob("*"))
    status = main_status(predict, words, message)
    assert status == 2 and sorted(here.rglob("*")) == before


def main_status(predict, words, message):
    status, lines, errors = predict(*words)
    assert lines == [] and message in errors[-1] and errors[-1].startswith("error: ")
    return status


@pytest.mark.parametrize("word", ["http://example.org/a.jpg", "rtsp://camera/1", "https://example.org/a.mp4"])
def test_an_address_is_not_fetched_and_that_is_said(predict, word):
    said = f"error: {word}: an address, not a file; nothing is fetched, so download it first and give the file"
    status, lines, errors = predict(word, "media/same.png")
    assert status == 2 and errors == [said] and lines[0] == "media/same.png: 1 face"
    assert predict(word) == (2, [], [said])


def test_an_empty_name_is_not_the_folder_one_stands_in(predict):
    status, lines, (error,) = predict("")
    assert status == 2 and not lines and error.startswith("error: INPUT is empty")


def test_a_device_which_may_never_end_is_not_stored(predict):
    status, lines, (error,) = predict("/dev/null")
    assert status == 2 and not lines and error.startswith("error: /dev/null: a device, not a file")


def test_the_longest_name_is_saved_too(predict, here):
    name = "x" * 251 + ".png"
    Path("media/same.png").rename(name)
    Path("out").mkdir()
    assert predict(name, "--save", "out")[0] == 0
    assert [path.name for path in Path("out").iterdir()] == [name]
