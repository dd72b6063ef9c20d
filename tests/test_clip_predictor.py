"""Prediction of videos by a network of clips: what it is shown, the command's lines, JSON, CSV and drawn video."""

import json

import cv2
import numpy as np
import pytest

from clip_models import CLASSES, write_clip_model
from expressnet_jax.cli import main
from expressnet_jax.errors import UserError
from expressnet_jax.inference.clip_predictor import ClipPredictor, ClipTracks
from expressnet_jax.inference.detector import Detector
from expressnet_jax.inference.face_cutter import FaceCutter
from expressnet_jax.inference.face_finder import FaceFinder
from expressnet_jax.inference.video_reader import Video
from expressnet_jax.runtime.onnx_predict import onnx_predict
from painted_videos import painted_frames, patches, read_rows, write_video

CLIP_RATE = 5.0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_clip_model(tmp_path_factory.mktemp("model") / "clips.onnx", CLIP_RATE)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """1.5 seconds of 20 frames a second."""
    return write_video(tmp_path_factory.mktemp("video") / "noise.mp4")


def expected(model, video, windows):
    """The answers for these frames of a video, by OpenCV and the model's file alone; a face is a whole frame."""
    capture = cv2.VideoCapture(str(video))
    frames = [cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB) for _ in range(30)]
    small = np.stack([cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA) for frame in frames])
    return onnx_predict(model)(np.stack([small[window] for window in windows]))


# A track has its number with its third frame.
WINDOWS = [[2, 6, 10, 14], [10, 14, 18, 22], [14, 18, 22, 26]]


def test_a_network_is_shown_frames_at_the_rate_of_its_training(model, video):
    found = ClipPredictor(model, detector="none", threads=1)(video)
    assert [(each.track, each.start, each.end) for each in found] == [
        (1, pytest.approx(window[0] / 20), pytest.approx(window[-1] / 20)) for window in WINDOWS
    ]
    probabilities = [list(each.probabilities.values()) for each in found]
    np.testing.assert_allclose(probabilities, expected(model, video, WINDOWS), atol=1e-5)
    assert found[0].label == CLASSES[np.argmax(probabilities[0])] and tuple(found[0].found.box) == (0, 0, 64, 48)


def test_another_rate_and_a_short_track(model, video):
    found = ClipPredictor(model, detector="none", threads=1, clip_rate=1.0)(video)
    (only,) = expected(model, video, [[2, 11, 20, 29]])
    np.testing.assert_allclose(list(found[0].probabilities.values()), only, atol=1e-5)
    assert len(found) == 1


def test_two_faces_are_two_tracks_and_one_that_leaves_ends_early():
    cutter = FaceCutter(Detector(patches, 1.0), (8, 8, 1))
    finder, tracks = FaceFinder(cutter, [cutter.detector]), ClipTracks(4, CLIP_RATE)
    positions = lambda number: [(50 + number, 100)] + ([(250, 200)] if number < 20 else [])
    found = []
    for frame in painted_frames(60, positions):
        found += tracks.update(finder.find(frame))[1]
    early = [window for window in found if window.track == 2]
    assert [(window.start, window.end) for window in early] == [(0.1, pytest.approx(0.7)), (0.3, pytest.approx(0.9))]
    assert 1 in tracks.windows and 2 not in tracks.windows  # nothing is kept of a face that has left
    found += tracks.end()
    assert {round(window.clip.mean()) for window in found if window.track == 1} == {100}
    assert {round(window.clip.mean()) for window in early} == {200}
    assert max(window.end for window in found) > 2.6


def test_the_command_writes_lines_json_csv_and_a_video(model, video, tmp_path, capsys):
    table, drawn = tmp_path / "out.csv", tmp_path / "out.mp4"
    common = ["--model", str(model), "--detector", "none"]
    assert main(["predict", str(video), *common, "--annotate", str(drawn)]) == 0
    out, err = capsys.readouterr()
    assert f"{video}  track 1      0.10 to    0.70 s  " in out and err == f"wrote {drawn}\n"
    assert "30 frames, 30 faces found, 0 frames without a face; windows: 3 of 1 tracks" in out
    before, after = Video(video), Video(drawn)
    assert after.length == 30
    changes = [
        np.abs(a.image.astype(int) - b.image)[2:-2, 2:-2].max()
        for a, b in zip(before.frames(), after.frames(), strict=True)
    ]
    before.close()
    after.close()
    assert min(changes[14:]) > 100  # white panels, from the frame on with which the first window is complete
    assert max(changes[:14]) < 100
    (tmp_path / "photo.png").write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    given = [str(video), str(tmp_path / "photo.png")]
    assert main(["predict", *given, *common, "--json", "--csv", str(table)]) == 2
    out, err = capsys.readouterr()
    *answers, summary, refused = map(json.loads, out.splitlines())
    assert summary["summary"]["windows"] == 3 and "an image, but the model takes clips" in refused["error"]
    assert f"error: {given[1]}: an image" in err
    rows = read_rows(table)
    assert [row["video"] for row in rows] == [*[str(video)] * 3, given[1]] and rows[3]["flags"] == "unreadable"
    for row, answer in zip(rows, answers, strict=False):
        assert row["label"] == answer["label"] and row["track"] == "1" and float(row["start"]) == answer["start"]
        assert {name: float(row[name]) for name in CLASSES} == answer["probabilities"]
        assert [float(row[name]) for name in ("left", "top", "width", "height")] == answer["box"] == [0, 0, 64, 48]


def test_a_video_without_a_face_and_files_and_options_that_do_not_fit(model, video, tmp_path, capsys):
    assert main(["predict", str(video), "--model", str(model), "--size", "64", "--csv", str(tmp_path / "o.csv")]) == 1
    assert f"{video}: no face found" in capsys.readouterr().err
    assert [row["label"] for row in read_rows(tmp_path / "o.csv")] == [""]
    for given, error in (
        (["--model", str(model), "--save", "x"], "--save is for images"),
        (["--model", str(model), "--clip-rate", "-1"], "--clip-rate: -1.0; give frames a second"),
        (["--clip-rate", "5"], "--clip-rate: is for a --model of clips"),
    ):
        assert main(["predict", str(video), *given]) == 2
        assert error in capsys.readouterr().err
    with pytest.raises(UserError, match="takes no clips"):
        ClipPredictor("small")


def test_a_file_that_does_not_say_the_rate_of_its_clips_is_named(video, tmp_path, capsys):
    old = write_clip_model(tmp_path / "old.onnx")
    assert main(["predict", str(video), "--model", str(old), "--detector", "none", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "doesn't say how many frames a second" in err and json.loads(out.splitlines()[0])["start"] == 0.1


def test_a_checkpoint_and_its_exported_file_carry_the_rate_of_the_clips_that_were_trained_on():
    from expressnet_jax.config import default
    from expressnet_jax.data.prepared import Split
    from expressnet_jax.export import onnx_export
    from expressnet_jax.models.registry import create_model
    from expressnet_jax.training.checkpoints.reading import Checkpoint, describe
    from expressnet_jax.training.network import clip_rate, input_fields

    columns = {"frame_rate": np.array([4, np.nan, 6, 20], np.float32)}
    split = Split([], CLASSES, columns, np.arange(4), 4)
    assert clip_rate(split) == 6 and clip_rate(Split([], CLASSES, {}, np.arange(4), 4)) == 0
    network = create_model("expressnet_tiny", 3, temporal="mean")
    inputs = input_fields(network, (4, 16, 16, 3), {}, clip_rate(split))
    metadata = describe(default().to_dict(), CLASSES, (4, 16, 16, 3), model=network, inputs=inputs)
    checkpoint = Checkpoint(None, 0, network, {"params": {}}, metadata)
    assert checkpoint.inputs["clip"].rate == 6
    assert float(onnx_export.describe(checkpoint, "uint8")["frame_rate"]) == 6
