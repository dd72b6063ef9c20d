"""The CSV of a video: interrupted anywhere it ends with the same bytes, and nobody's file is lost to it."""

import itertools

import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.inference.video_pipeline import TrackState, batches
from expressnet_jax.inference.video_table import Summary, VideoTable, rows
from painted_videos import CLASSES, painted_frames, run_pipeline


def test_summary_counts_what_the_rows_say():
    """Labels c c l l c of a track raw, one change shown; a frame without a face; a face without a number."""
    head = {"label": "", "score": 0.9, **{f"raw_{c}": 0.0 for c in CLASSES}}
    face = lambda frame, track, raw, shown: (
        head | {"frame": frame, "seconds": frame / 10, "track": track, f"raw_{raw}": 1.0, "label": shown}
    )
    summary = Summary(CLASSES)
    summary.add(face(0, "", "odd", "odd"))
    for frame, (raw, shown) in enumerate(
        zip(["calm", "calm", "loud", "loud", "calm"], ["calm"] * 3 + ["loud"] * 2, strict=True), 1
    ):
        summary.add(face(frame, 1, raw, shown))
    summary.add(face(5, 2, "odd", "odd"))
    summary.add(head | {"frame": 6, "seconds": 0.6, "track": "", "score": ""})
    assert (summary.frames, summary.faces, summary.without) == (7, 7, 1)
    assert summary.text().splitlines() == [
        "7 frames, 7 faces found, 1 frame without a face",
        "2 tracks; label changes: 2 raw, 1 smoothed",
        "  track 1: 5 frames, 0.1 to 0.5 s, mostly calm (60 %), label changes 2 raw, 1 smoothed",
        "  track 2: 1 frame, 0.5 to 0.5 s, mostly odd (100 %), label changes 0 raw, 0 smoothed",
    ]


class Power(Exception):
    """It failed."""


def record(path, frames, fail_at=None, settings=("same",)):
    """Watches a painted video of `frames` into a CSV, as the command does."""
    positions = lambda n: [(20 + 5 * n, 150 + 3 * (n % 30)), (350 - 5 * n, 90)] if n % 11 else []
    settings = {"settings": list(settings)}
    with VideoTable(path, CLASSES, "painted.mp4", settings) as table:
        assert {int(row["frame"]) for row in table.past()} == set(range(table.start))
        tracks = TrackState.restored(table.known) if table.start else TrackState()
        some = itertools.islice(painted_frames(frames, positions), table.start, None)
        for batch in batches(run_pipeline(some, tracks, batch=8), 8):
            if fail_at is not None and batch[0].frame.number >= fail_at:
                raise Power
            table.write(
                [row for each in batch for row in rows(each, CLASSES, "painted.mp4")],
                tracks,
                batch[-1].frame.number + 1,
            )
    return path.read_bytes()


def test_a_continued_csv_equals_an_undisturbed_one_wherever_it_was_interrupted(tmp_path):
    whole = record(tmp_path / "whole.csv", 60)
    for fail_at in (0, 8, 24, 56):
        path = tmp_path / f"{fail_at}.csv"
        with pytest.raises(Power):
            record(path, 60, fail_at)
        assert path.with_name(f"{fail_at}.csv.state.json").exists()
        assert whole.startswith(path.read_bytes()) and len(path.read_bytes()) < len(whole)
        with path.open("ab") as file:
            file.write(b"23,0.9,1,12")  # rows that were written after the last state, and torn
        assert record(path, 60) == whole
        assert not path.with_name(f"{fail_at}.csv.state.json").exists()


def test_an_interrupted_csv_is_not_continued_with_other_settings(tmp_path):
    with pytest.raises(Power):
        record(tmp_path / "out.csv", 60, 24)
    before = (tmp_path / "out.csv").read_bytes()
    with pytest.raises(UserError, match=r"interrupted run with another settings.*remove"):
        record(tmp_path / "out.csv", 60, settings=("other",))
    assert (tmp_path / "out.csv").read_bytes() == before


def test_a_state_whose_csv_was_cut_begins_again(tmp_path):
    whole = record(tmp_path / "whole.csv", 60)
    with pytest.raises(Power):
        record(tmp_path / "out.csv", 60, 24)
    (tmp_path / "out.csv").write_text("frame")
    assert record(tmp_path / "out.csv", 60) == whole


def test_a_finished_csv_is_written_again_for_its_video_only(tmp_path):
    whole = record(tmp_path / "out.csv", 60)
    assert record(tmp_path / "out.csv", 60) == whole
    with pytest.raises(UserError, match=r"holds the rows of painted.mp4"):
        VideoTable(tmp_path / "out.csv", CLASSES, "other.mp4", {})
    with pytest.raises(UserError, match=r"holds the rows of painted.mp4"):
        VideoTable(tmp_path / "out.csv", CLASSES, "camera 0", None)
    assert (tmp_path / "out.csv").read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
