"""The loop in one process: what it refuses, what it survives, and that readers and dispatches make no difference."""

import errno
import gc
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest

from expressnet_jax.errors import Interrupted, UserError
from expressnet_jax.metric_writers import MetricsFile
from expressnet_jax.training import classification
from expressnet_jax.training.checkpoints.manager import Checkpoints, saved_steps
from expressnet_jax.training.checkpoints.reading import BEST, LATEST
from expressnet_jax.training.loop import StopSignal
from expressnet_jax.training.train_metrics import MetricAccumulator, all_finite
from runs import arrays, history, train

pytest_plugins = ["run_fixtures"]

SHORT = {
    "train__epochs": 2.0,
    "optimizer__learning_rate": 0.02,
    "checkpoint__keep": 2,
    "eval__every_epochs": 1.0,
}  # 8 steps on this data set


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_config):
    """The folder of a straight run of 8 steps on four devices, and the functions that evaluated it."""
    folder, made = tmp_path_factory.mktemp("reference"), []
    make = classification.make_predict_fn

    def noted(model, *rest):
        made.append(make(model, *rest))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "make_predict_fn", noted)
        train(tiny_config(**SHORT), folder)
    return folder, made


@pytest.fixture(scope="module")
def reference(finished):
    return finished[0]


def assert_close(left, right, tolerance=1e-5):
    one, other = arrays(left), arrays(right)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_images_on_the_device_end_in_the_same_weights(tmp_path, reference, tiny_config):
    """As those in memory do, which the reference takes, and those of a stream, with which a stopped run continues."""
    train(tiny_config(**SHORT, data__reader="device", data__threads=1), tmp_path)
    assert_close(tmp_path, reference)


def test_phases_of_a_growing_run_follow_each_other(tmp_path, tiny_config):
    small = {"model__name": "expressnet_tiny", "train__epochs": 1.0, "train__progressive_until": (0.5,)}
    options = {"widths": (4,), "depths": (1,), "stem_width": 4, "attention": "none"}
    found = {}
    for size in (32, 16):  # the images have 32 pixels: a first phase that leaves them so changes nothing
        config = tiny_config(**small)
        config.model.options.update(options)
        config.train.progressive_sizes = (size,)
        train(config, tmp_path / str(size))
        found[size] = arrays(tmp_path / str(size))
    config.train.progressive_sizes, config.train.progressive_until = (), ()
    train(config, tmp_path / "straight")
    straight = arrays(tmp_path / "straight")
    assert all((found[32][name] == values).all() for name, values in straight.items())
    assert any((found[16][name] != values).any() for name, values in straight.items())


def test_it_goes_on_with_more_steps_a_dispatch(tmp_path, reference, tiny_config, monkeypatch):
    monkeypatch.setenv("EXPRESSNET_TUNE", "1")  # inside a loop, XLA computes its own convolutions slowly
    run = shutil.copytree(reference, tmp_path / "run")
    shutil.rmtree(run / LATEST / "8")
    train(tiny_config(**SHORT, train__steps_per_call=4), run)
    assert_close(run, reference)
    assert [entry["step"] for entry in history(run)] == [
        entry["step"] for entry in history(reference) if entry["step"] != 6
    ]


def test_stopped_half_way_it_goes_on_to_the_same_bits(tmp_path, reference, tiny_config, monkeypatch):
    add = MetricAccumulator.add

    def stop_at_five(self, step, metrics):
        add(self, step, metrics)
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MetricAccumulator, "add", stop_at_five)
        with pytest.raises(Interrupted, match="stopped at step 5 by SIGTERM") as stopped:
            train(tiny_config(**SHORT), tmp_path)
    assert stopped.value.signum == signal.SIGTERM and stopped.value.step == 5
    assert saved_steps(tmp_path / LATEST)[-1].name == "5"
    train(tiny_config(**SHORT, data__reader="stream"), tmp_path)
    one, other = arrays(tmp_path), arrays(reference)
    assert [name for name in other if one[name].tobytes() != other[name].tobytes()] == []


def test_a_signal_in_the_last_evaluation_stops_as_well_and_the_run_is_whole(tmp_path, tiny_config, monkeypatch):
    save = Checkpoints.save

    def stopped(self, state):
        save(self, state)
        if int(state.step) == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Checkpoints, "save", stopped)
    with pytest.raises(Interrupted, match="stopped at step 8 by SIGTERM"):
        train(tiny_config(**SHORT), tmp_path)
    assert saved_steps(tmp_path / LATEST)[-1].name == "8"


def test_a_finished_run_is_left_as_it_is(reference, tiny_config, capsys, monkeypatch):
    before = (reference / "metrics.jsonl").read_text()
    monkeypatch.setattr(Checkpoints, "save", lambda *args: pytest.fail("saved"))
    job = train(tiny_config(**SHORT), reference)
    assert job.plan.total == 8
    assert "finished before, at step 8: nothing to train" in capsys.readouterr().err
    assert (reference / "metrics.jsonl").read_text() == before


def test_another_config_is_refused_with_the_key(reference, tiny_config):
    changed = r"another config \(losses.expression.label_smoothing was 0.0, now 0.1\)"
    with pytest.raises(UserError, match=changed):
        train(tiny_config(**SHORT, losses__expression__label_smoothing=0.1), reference)


def test_torn_newest_checkpoint_and_torn_metrics_are_made_again(tmp_path, reference, tiny_config, capsys):
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    (run / LATEST / "8" / "optimizer" / "manifest.ocdbt").unlink()
    lines = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(lines[: len(lines) * 3 // 4])
    train(tiny_config(**SHORT), run)
    said = capsys.readouterr().err
    assert f"{run / LATEST / '8'} is damaged" in said and "resuming from step 4" in said
    one, other = arrays(run), arrays(reference)
    assert [name for name in other if one[name].tobytes() != other[name].tobytes()] == []
    assert history(run) == history(reference)


# What goes wrong on the way.


def test_a_loss_that_is_not_finite_stops_the_run_and_is_never_saved(tmp_path, tiny_config):
    config = tiny_config(
        **SHORT | {"optimizer__learning_rate": 1e30, "optimizer__warmup_epochs": 0.0, "checkpoint__every_epochs": 0.26}
    )
    with pytest.raises(UserError, match=r"^step \d: the loss, its gradient or a weight is not finite") as stopped:
        train(config, tmp_path)
    named = str(stopped.value).split("last good checkpoint: ")[1].split(";")[0]
    steps = saved_steps(tmp_path / LATEST)
    assert named == (str(steps[-1]) if steps else "none was saved yet")
    for path in steps:
        assert int(path.name) < int(str(stopped.value).split()[1].rstrip(":"))
    for name, array in arrays(tmp_path).items() if steps and saved_steps(tmp_path / BEST) else ():
        assert np.isfinite(array).all(), name


class NoCheckpoints:
    """Stands for the checkpoints of a run whose last good one is of step 4."""

    waited = False

    def wait(self):
        self.waited = True

    def last_good(self):
        assert self.waited, "a checkpoint that is still being written is not yet good"
        return "W/checkpoints/4"


class State:
    """The three parts of a state that are looked at."""

    params, batch_stats, ema = {"kernel": np.ones(3, np.float32)}, {}, {}


def metrics(*losses):
    losses = np.array(losses, np.float32)
    return {"loss": losses, "gradient_norm": losses, "learning_rate": np.zeros_like(losses)}


def test_the_first_step_that_is_not_finite_is_named():
    meter = MetricAccumulator(16, 4, 4, NoCheckpoints())
    meter.add(6, metrics(1.0, 2.0))
    assert meter.read(State)["loss"] == 1.5
    meter.add(8, metrics(1.0, 2.0))
    meter.add(11, metrics(1.0, np.inf, np.nan))
    with pytest.raises(UserError, match=r"step 10: .*last good checkpoint: W/checkpoints/4; lower optimizer"):
        meter.read(State)


@pytest.mark.parametrize("part", ["params", "batch_stats", "ema"])
def test_weights_that_overflowed_after_a_finite_loss_are_found(part):
    state = State()
    setattr(state, part, {"kernel": np.array([1, np.inf], np.float32)})
    meter = MetricAccumulator(16, 4, 4, NoCheckpoints())
    meter.add(5, metrics(1.0))
    with pytest.raises(UserError, match="step 5: the loss, its gradient or a weight is not finite"):
        meter.read(state)


def test_all_finite():
    assert all_finite({"a": np.ones(3), "b": (np.zeros((2, 2)),)})
    assert not all_finite({"a": np.ones(3), "b": (np.array([[0, np.nan]]),)})


def test_a_full_disk_ends_in_one_line_and_the_last_checkpoint_is_whole(tmp_path, tiny_config, monkeypatch):
    write = MetricsFile.write

    def full(self, entry):
        if entry["step"] > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "write", full)
        with pytest.raises(UserError, match="no space left on device; the checkpoint of step 4 is whole") as stopped:
            train(tiny_config(**SHORT), tmp_path)
    assert "\n" not in str(stopped.value) and saved_steps(tmp_path / LATEST)[0].name == "4"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a small disk")
def test_a_disk_that_is_really_full(tmp_path, tiny_config):
    tmp_path.joinpath("disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(tmp_path / "disk")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        with pytest.raises(UserError, match="no space left on device; the checkpoint of step 4 is whole"):
            train(tiny_config(**SHORT), tmp_path / "disk" / "run")
        with Checkpoints(tmp_path / "disk" / "run", {}) as checkpoints:
            assert checkpoints.latest.latest_step() == 4
    finally:
        gc.collect()
        subprocess.run(["umount", "--lazy", str(tmp_path / "disk")], check=True)


def test_a_second_signal_ends_the_process_at_once(capfd):
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signum == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capfd.readouterr().err.strip() == "stopping after this step; once more to stop at once"


def test_evaluation_is_compiled_once(finished):
    folder, (classify,) = finished
    assert sum(entry["split"] == "validation" for entry in history(folder)) == 2
    assert classify._cache_size() == 1
