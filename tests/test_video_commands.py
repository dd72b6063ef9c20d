"""`expressnet predict` with a video, and `expressnet webcam`: what they write, stopped or with wrong input.

A face is a frame of noise as a whole (`--detector none`), or a patch that a detector of the tests sees.
"""

import argparse
import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from expressnet_jax import cli
from expressnet_jax.errors import UserError
from expressnet_jax.inference import video_commands
from expressnet_jax.inference.detector import Detector
from expressnet_jax.inference.predict_inputs import predict_inputs
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.inference.video_pipeline import VideoPipeline
from expressnet_jax.inference.video_reader import Camera, Video
from painted_videos import RATE, Painted, noise, painted_frames, patches, read_rows, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "noise.mp4")


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "long.mp4", 400)


def test_videos_need_no_jax():
    code = "import sys, expressnet_jax.inference.video_commands; print(sorted({'jax', 'flax'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def predict_arguments(video, **given):
    options = {"inputs": [str(video)], "model": "small", "detector": "none", "size": None, "align": True}
    options |= {
        "equalize": False,
        "threads": 2,
        "csv": None,
        "annotate": None,
        "save": None,
        "json": False,
        "output": "expression",
        "clip_rate": 0.0,
    }
    return argparse.Namespace(**(options | given))


def test_predict_writes_a_row_a_frame_with_the_predictors_probabilities(tmp_path, capsys, video):
    path = tmp_path / "out.csv"
    assert cli.main(["predict", str(video), "--detector", "none", "--csv", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("30 frames, 30 faces found, 0 frames without a face\n1 track;") and err == f"wrote {path}\n"
    predictor, read = Predictor(detector="none"), Video(video)
    frames, table = list(read.frames()), read_rows(path)
    read.close()
    assert [(row["frame"], row["track"], row["video"]) for row in table] == [
        (str(n), "1" if n > 1 else "", str(video)) for n in range(30)
    ]
    np.testing.assert_allclose([float(row["seconds"]) for row in table], np.arange(30) / RATE, atol=1e-4)
    for frame, row in zip(frames, table, strict=True):
        (face,) = predictor(frame.image)
        np.testing.assert_allclose(
            [float(row[f"raw_{c}"]) for c in face.probabilities], list(face.probabilities.values()), atol=2e-5
        )
        assert [float(row[name]) for name in ("left", "top", "width", "height", "score")] == [0, 0, 64, 48, 1]
        smoothed = {c: float(row[f"smoothed_{c}"]) for c in predictor.classes}
        assert sum(smoothed.values()) == pytest.approx(1, abs=1e-4)
        assert smoothed[row["label"]] * 1.2001 >= max(smoothed.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv"]


def test_predict_annotates_every_frame(tmp_path, capsys, video):
    path = tmp_path / "out.mp4"
    assert cli.main(["predict", str(video), "--detector", "none", "--annotate", str(path)]) == 0
    before, after = Video(video), Video(path)
    assert (after.rate, after.length, after.size) == (before.rate, before.length, before.size)
    for a, b in zip(before.frames(), after.frames(), strict=True):
        assert a.time == pytest.approx(b.time, abs=1e-3)
        assert np.abs(a.image.astype(int) - b.image)[2:-2, 2:-2].max() > 100  # white panels on blurred noise
    before.close()
    after.close()


def test_a_video_without_a_face_is_exit_status_1(tmp_path, capsys):
    path = write_video(tmp_path / "empty.mp4", 12)
    assert cli.main(["predict", str(path), "--csv", str(tmp_path / "out.csv"), "--size", "64"]) == 1
    out, err = capsys.readouterr()
    assert "12 frames without a face" in out and err.endswith(f"{path}: no face found\n")
    assert [(row["frame"], row["track"], row["label"]) for row in read_rows(tmp_path / "out.csv")] == [
        (str(n), "", "") for n in range(12)
    ]


def start(video, path, *more):
    """The command in a process of its own, stopped once it has written some batches."""
    command = [
        sys.executable,
        "-m",
        "expressnet_jax.cli",
        "predict",
        str(video),
        "--detector",
        "none",
        "--csv",
        str(path),
    ]
    process = subprocess.Popen([*command, *more], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < 50):
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    return process


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, capsys, long_video):
    process = start(long_video, tmp_path / "out.csv")
    process.kill()
    process.communicate()
    left = (tmp_path / "out.csv").read_bytes()
    again = lambda name: cli.main(["predict", str(long_video), "--detector", "none", "--csv", str(tmp_path / name)])
    assert again("whole.csv") == 0
    whole = capsys.readouterr().out
    assert again("out.csv") == 0
    out, err = capsys.readouterr()
    assert len(left) < (tmp_path / "out.csv").stat().st_size
    assert "resuming with frame" in err
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert out == whole


def test_ctrl_c_leaves_whole_rows_and_a_whole_video(tmp_path, capsys, long_video):
    process = start(long_video, tmp_path / "out.csv", "--annotate", str(tmp_path / "out.mp4"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and out == ""
    assert "the same command resumes it" in err and err.endswith("stopped\n") and "Traceback" not in err
    table, annotated = read_rows(tmp_path / "out.csv"), Video(tmp_path / "out.mp4")
    assert 0 < len(table) < 400 and all(None not in row.values() for row in table)
    assert annotated.length == sum(1 for _ in annotated.frames()) <= len(table)
    annotated.close()
    assert not (tmp_path / "out.partial.mp4").exists()

    short = write_video(tmp_path / "short.mp4", 8)  # an annotated video begins again
    assert (
        cli.main(
            [
                "predict",
                str(long_video),
                "--detector",
                "none",
                "--csv",
                str(tmp_path / "out.csv"),
                "--annotate",
                str(short),
            ]
        )
        == 0
    )
    assert "beginning again" in capsys.readouterr().err
    annotated = Video(short)
    assert annotated.length == 400 == len(read_rows(tmp_path / "out.csv"))
    annotated.close()


class FakeCamera:
    """A camera that gives so many images, every fifth without its patch."""

    def __init__(self, images, opened=True):
        self.frames, self.opened = painted_frames(images, lambda n: [(50, 200)] if n % 5 else []), opened
        self.released = False

    def isOpened(self):
        return self.opened

    def set(self, name, value):
        return True

    def read(self):
        frame = next(self.frames, None)
        return (False, None) if frame is None else (True, frame.image)

    def release(self):
        self.released = True


class Screen(io.StringIO):
    """A terminal, at which Ctrl-C is pressed after so many images."""

    def __init__(self, images, terminal):
        super().__init__()
        self.left, self.terminal = images, terminal

    def isatty(self):
        return self.terminal

    def flush(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def painted_camera(monkeypatch):
    """(images) -> the camera that `webcam` will open."""

    def make(images):
        capture = FakeCamera(images)
        monkeypatch.setattr(video_commands, "Camera", lambda number: Camera(number, capture))
        monkeypatch.setattr(
            video_commands, "make_pipeline", lambda *_, **__: VideoPipeline(Painted(), [Detector(patches, None)])
        )
        return capture

    return make


def webcam_arguments(**given):
    return argparse.Namespace(
        **({"camera": 0, "csv": None, "model": "small", "detector": "none", "size": None, "align": True} | given),
        equalize=False,
        threads=1,
        output="expression",
    )


def test_webcam_writes_lines_over_each_other_until_ctrl_c(tmp_path, capsys, painted_camera):
    capture, screen = painted_camera(10_000), Screen(20, terminal=True)
    assert video_commands.webcam(webcam_arguments(csv=tmp_path / "out.csv"), screen) == 0
    assert capture.released
    shown = screen.getvalue().split("\x1b[J")[1:]
    assert len(shown) == 20
    assert "no face" in shown[5] and "calm" in shown[6] and "█" in shown[6]
    assert shown[1].endswith("\n\x1b[2A")  # two lines up again
    table = read_rows(tmp_path / "out.csv")
    assert len(table) == 20 and table[5]["score"] == "" and table[6]["track"] == "1"
    assert np.all(np.diff([float(row["seconds"]) for row in table]) >= 0)
    assert "20 frames, 16 faces found, 4 frames without a face" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_webcam_into_a_file_writes_changes_only(painted_camera):
    painted_camera(10_000)
    screen = Screen(30, terminal=False)
    assert video_commands.webcam(webcam_arguments(), screen) == 0
    assert len(screen.getvalue().splitlines()) == 1 and " 1  calm " in screen.getvalue()


def test_webcam_that_ends_says_so(capsys, painted_camera):
    painted_camera(15)
    with pytest.raises(UserError, match="camera 3: gives no more frames"):
        video_commands.webcam(webcam_arguments(camera=3), Screen(-1, terminal=False))
    assert "15 frames, 12 faces" in capsys.readouterr().out


def test_no_camera_is_one_line():
    with pytest.raises(UserError, match=r"^camera 7: none there"):
        Camera(7, FakeCamera(0, opened=False))


def test_a_video_that_is_cut_short_says_where(tmp_path):
    whole = tmp_path / "whole.avi"
    writer = cv2.VideoWriter(str(whole), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), RATE, (64, 48))
    for image in noise(60):
        writer.write(image)
    writer.release()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    table = tmp_path / "out.csv"
    with pytest.raises(
        UserError, match=r"^.*cut.avi: ends at 1.\d s of 3.0 s, after \d\d of 60 frames: truncated"
    ) as error:
        predict_inputs(predict_arguments(cut, csv=table))
    there = int(str(error.value).split("after ")[1].split()[0])
    assert [int(row["frame"]) for row in read_rows(table)] == list(range(there))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("text.mp4", b"no video at all\n" * 100, "not a video that can be read"),
        ("empty.mkv", b"", "not a video that can be read"),
        ("gone.mp4", None, "no such file"),
    ],
)
def test_what_is_no_video_is_one_line(tmp_path, capfd, name, content, told):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert cli.main(["predict", str(path)]) == 2
    out, err = capfd.readouterr()  # of the C libraries, too
    assert out == "" and err.startswith(f"error: {path}: {told}") and err.count("\n") == 1


def test_a_torn_video_is_one_line(tmp_path, capfd, video):
    path = tmp_path / "torn.mp4"
    path.write_bytes(video.read_bytes()[:5000])  # an MP4 of OpenCV has its index at its end
    assert cli.main(["predict", str(path)]) == 2
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"annotate": "out.avi"}, "MP4"),
        ({"annotate": "nowhere/out.mp4"}, "can't be written"),
        ({"annotate": "video.mp4"}, "the input itself"),
        ({"csv": "nowhere/out.csv"}, "can't be written"),
        ({"csv": "video.mp4"}, "one of the inputs"),
        ({"csv": "notes.csv"}, "something else is there"),
        ({"save": "out.png"}, "--annotate"),
        ({"threads": -1}, "threads"),
        ({"inputs": ["video.mp4", "video.mp4"], "annotate": "out.mp4"}, "several videos; give a folder"),
    ],
)
def test_what_can_not_be_done_is_one_line_before_anything_is_written(tmp_path, monkeypatch, video, options, told):
    monkeypatch.chdir(tmp_path)
    Path("video.mp4").write_bytes(video.read_bytes())
    Path("notes.csv").write_text("a,b\n1,2\n")
    options = {k: Path(v) if k in ("csv", "annotate", "save") else v for k, v in options.items()}
    with pytest.raises(UserError, match=told) as error:
        predict_inputs(predict_arguments("video.mp4", **options))
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.csv", "video.mp4"]
    assert Path("video.mp4").read_bytes() == video.read_bytes()
