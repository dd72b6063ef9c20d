"""metrics.jsonl over stops and restarts, the terminal and TensorBoard."""

import builtins
import json
import struct
import sys
from contextlib import closing

import pytest

from expressnet_jax.environment import process_seconds
from expressnet_jax.errors import UserError
from expressnet_jax.metric_writers import Console, MetricsFile, TensorBoard, Writers, read_history

TRAIN = {"step": 50, "split": "train", "epoch": 0.5, "loss": 1.25, "learning_rate": 0.1, "images_per_second": 400.0}
VALIDATION = {"step": 100, "split": "validation", "epoch": 1.0, "loss": 1.5, "accuracy": 0.625}


def write(path, steps, first=0):
    with closing(MetricsFile(path, first)) as file:
        for step in steps:
            file.write({"step": step, "split": "train", "loss": 1 / step})


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_every_entry_is_a_line_and_is_there_at_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with closing(MetricsFile(path, 0)) as file:
        file.write(TRAIN)
        assert [json.loads(line) for line in path.read_text().splitlines()] == [TRAIN]
        file.write(VALIDATION)
    assert read_history(path) == [TRAIN, VALIDATION]


def test_a_run_that_goes_on_loses_no_line_and_doubles_none(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, [10, 20, 30, 40])
    write(path, [30, 40, 50], first=20)
    assert steps(path) == [10, 20, 30, 40, 50]
    assert [entry["step"] for entry in read_history(path, before=30)] == [10, 20, 30]
    write(path, [], first=0)
    assert steps(path) == []
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_torn_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, [10, 20])
    with path.open("a") as file:
        file.write('{"step": 30, "spl')
    assert [entry["step"] for entry in read_history(path)] == [10, 20]
    write(path, [30], first=30)
    assert steps(path) == [10, 20, 30]


def test_without_a_file_there_is_no_history(tmp_path):
    assert read_history(tmp_path / "metrics.jsonl") == []


def test_writers_write_and_close_together(tmp_path):
    files = [MetricsFile(tmp_path / f"{i}.jsonl", 0) for i in range(2)]
    with closing(Writers(files)) as writers:
        writers.write(TRAIN)
    assert all(file.file.closed for file in files)
    (entry,) = read_history(tmp_path / "0.jsonl")
    assert read_history(tmp_path / "1.jsonl") == [entry]
    assert entry.pop("seconds") > 0 and entry == TRAIN


def test_a_runs_time_goes_on_from_what_earlier_processes_took(tmp_path):
    with closing(MetricsFile(tmp_path / "m.jsonl", 0)) as first:
        first.write({**TRAIN, "seconds": 1000.0})
    again = MetricsFile(tmp_path / "m.jsonl", TRAIN["step"])
    with closing(Writers([again], again.seconds)) as writers:
        writers.write({**TRAIN, "step": 60})
    before, after = (entry["seconds"] for entry in read_history(tmp_path / "m.jsonl"))
    assert before == 1000.0 and 0 < after - before < process_seconds() + 0.01


def test_away_from_a_terminal_every_entry_is_a_plain_line(capsys):
    with closing(Console(200, 0, 128)) as console:
        console.advance(50)
        console.write(TRAIN)
        console.advance(100)
        console.write(VALIDATION)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "step 50/200  train  loss 1.25  learning_rate 0.1  images_per_second 400",
        "step 100/200  validation  loss 1.5  accuracy 0.625",
    ]


def test_on_a_terminal_a_bar_shows_speed_and_loss_and_lines_the_evaluations(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with closing(Console(200, 40, 128)) as console:
        assert console.bar.n == 40
        console.advance(50)
        console.write(TRAIN)
        console.advance(100)
        console.write(VALIDATION)
        assert console.bar.n == 100
    err = capsys.readouterr().err
    assert "400 img/s loss 1.250" in err and "50%" in err
    assert "step 100/200  validation  loss 1.5  accuracy 0.625" in err and "step 50/200" not in err


def events(folder):
    """The events of TensorBoard's files: records of length, checksum, message, checksum (TFRecord)."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            yield Event.FromString(data[at + 12 : at + 12 + length])
            at += length + 16


def test_tensorboard_gets_the_figures_by_split(tmp_path):
    pytest.importorskip("tensorboardX")
    with closing(TensorBoard(tmp_path, 0)) as board:
        board.write(TRAIN)
        board.write(VALIDATION)
    found = [(value.tag, event.step, value.simple_value) for event in events(tmp_path) for value in event.summary.value]
    assert ("train/loss", 50, 1.25) in found and ("validation/accuracy", 100, 0.625) in found
    assert not any(tag.endswith(("step", "split")) for tag, *_ in found)


@pytest.mark.parametrize("step", [0, 100])
def test_tensorboard_hides_what_came_after_the_step_that_a_run_goes_on_from(tmp_path, step):
    """TensorBoard drops older figures of the step that a session starts with, and of all later ones."""
    pytest.importorskip("tensorboardX")
    TensorBoard(tmp_path, step).close()
    assert [event.step for event in events(tmp_path) if event.HasField("session_log")] == [step + 1]


def test_without_tensorboardx_the_message_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **kinds):
        if name == "tensorboardX":
            raise ImportError(name)
        return real(name, *rest, **kinds)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"pip install 'expressnet-jax\[tensorboard\]'"):
        TensorBoard(tmp_path, 0)
