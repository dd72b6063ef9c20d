"""The loop in one process: what it refuses, what it survives, and that readers and dispatches make no difference."""

import errno
import gc
import os
import shutil
import signal
import subprocess

import jax
import numpy as np
import pytest
from runs import arrays, history, write_pictures

from expressnet_jax.config import default
from expressnet_jax.data import prepare
from expressnet_jax.errors import Interrupted, UserError
from expressnet_jax.training import loop
from expressnet_jax.training.checkpoints import BEST, LATEST, Checkpoints, saved_steps
from expressnet_jax.training.loop import Meter, StopSignal, all_finite, train
from expressnet_jax.training.setup import best_divisor, check, load_data, make_plan
from expressnet_jax.training.writers import MetricsFile

pytest_plugins = ["run_fixtures"]

SHORT = {"train__epochs": 2.0, "checkpoint__keep": 2, "eval__every_epochs": 1.0}  # 8 steps on this data set


@pytest.fixture(scope="module", autouse=True)
def compile_once(environment):
    """The programs of this module's runs are compiled once, by whichever run comes first."""
    settings = {
        "jax_compilation_cache_dir": environment["JAX_COMPILATION_CACHE_DIR"],
        "jax_persistent_cache_min_compile_time_secs": 0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, tiny_config):
    """A straight run of 8 steps on four devices."""
    folder = tmp_path_factory.mktemp("reference")
    train(tiny_config(**SHORT), folder)
    return folder


def assert_close(left, right, tolerance=1e-5):
    one, other = arrays(left), arrays(right)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"data__reader": "stream"},
        {"data__reader": "device", "data__threads": 1},
    ],
    ids=["stream", "device"],
)
def test_readers_end_in_the_same_weights(tmp_path, reference, tiny_config, changes):
    train(tiny_config(**SHORT, **changes), tmp_path)
    assert_close(tmp_path, reference)


def test_it_goes_on_with_more_steps_a_dispatch(tmp_path, reference, tiny_config):
    run = shutil.copytree(reference, tmp_path / "run")
    shutil.rmtree(run / LATEST / "8")
    train(tiny_config(**SHORT, train__steps_per_dispatch=4), run)
    assert_close(run, reference)
    assert [entry["step"] for entry in history(run)] == [
        entry["step"] for entry in history(reference) if entry["step"] != 6
    ]


def test_stopped_half_way_it_goes_on_to_the_same_bits(tmp_path, reference, tiny_config, monkeypatch):
    add = Meter.add

    def stop_at_five(self, step, metrics):
        add(self, step, metrics)
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Meter, "add", stop_at_five)
        with pytest.raises(Interrupted, match="stopped at step 5 by SIGTERM") as stopped:
            train(tiny_config(**SHORT), tmp_path)
    assert stopped.value.signum == signal.SIGTERM and stopped.value.step == 5
    assert saved_steps(tmp_path / LATEST)[-1].name == "5"
    train(tiny_config(**SHORT, data__reader="stream"), tmp_path)
    one, other = arrays(tmp_path), arrays(reference)
    assert [name for name in other if one[name].tobytes() != other[name].tobytes()] == []


def test_a_finished_run_is_left_as_it_is(reference, tiny_config, capsys, monkeypatch):
    before = (reference / "metrics.jsonl").read_text()
    monkeypatch.setattr(Checkpoints, "save", lambda *args: pytest.fail("saved"))
    data = train(tiny_config(**SHORT), reference)
    assert len(data.chosen.train) == 60
    assert "finished before, at step 8: nothing to train" in capsys.readouterr().err
    assert (reference / "metrics.jsonl").read_text() == before


def test_another_config_is_refused_with_the_key(reference, tiny_config):
    with pytest.raises(UserError, match=r"holds a run with another config \(loss.label_smoothing was 0.0, now 0.1\)"):
        train(tiny_config(**SHORT, loss__label_smoothing=0.1), reference)


def test_torn_newest_checkpoint_and_torn_metrics_are_made_again(tmp_path, reference, tiny_config, capsys):
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    (run / LATEST / "8" / "optimizer" / "manifest.ocdbt").unlink()
    lines = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(lines[: len(lines) * 3 // 4])
    train(tiny_config(**SHORT), run)
    said = capsys.readouterr().err
    assert f"{run / LATEST / '8'} is damaged" in said and "going on from step 4" in said
    one, other = arrays(run), arrays(reference)
    assert [name for name in other if one[name].tobytes() != other[name].tobytes()] == []
    assert history(run) == history(reference)


# What goes wrong on the way.


def test_a_loss_that_is_not_finite_stops_the_run_and_is_never_saved(tmp_path, tiny_config):
    config = tiny_config(
        **SHORT, optimizer__learning_rate=1e30, optimizer__warmup_epochs=0.0, checkpoint__every_epochs=0.26
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
    train(tiny_config(**SHORT), tmp_path / "same process")  # nothing is left locked or half open


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
    meter = Meter(16, 4, 4, NoCheckpoints())
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
    meter = Meter(16, 4, 4, NoCheckpoints())
    meter.add(5, metrics(1.0))
    with pytest.raises(UserError, match="step 5: the loss, its gradient or a weight is not finite"):
        meter.read(state)


def test_all_finite():
    assert all_finite({"a": np.ones(3), "b": (np.zeros((2, 2)),)})
    assert not all_finite({"a": np.ones(3), "b": (np.array([[0, np.nan]]),)})


def test_a_full_disk_ends_in_one_line_and_the_last_checkpoint_is_whole(tmp_path, tiny_config, monkeypatch, reference):
    write = MetricsFile.write

    def full(self, entry):
        if entry["step"] > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "write", full)
        with pytest.raises(UserError, match="no space left on device; the checkpoint of step 4 is whole") as stopped:
            train(tiny_config(**SHORT), tmp_path)
    assert "\n" not in str(stopped.value)
    train(tiny_config(**SHORT), tmp_path)
    one, other = arrays(tmp_path), arrays(reference)
    assert [name for name in other if one[name].tobytes() != other[name].tobytes()] == []
    assert history(tmp_path) == history(reference)


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


def test_evaluation_is_compiled_once(tmp_path, tiny_config, monkeypatch):
    compiled = []
    make = loop.make_predict

    def noted(model, variables):
        compiled.append(make(model, variables))
        return compiled[-1]

    monkeypatch.setattr(loop, "make_predict", noted)
    train(tiny_config(**SHORT), tmp_path)
    (predict,) = compiled
    assert sum(entry["split"] == "validation" for entry in history(tmp_path)) == 2
    assert predict.func._cache_size() == 1


# What is refused before anything is read, compiled or written.

REFUSED = {
    "model.name": ("vgg", "no model 'vgg'; one of expressnet_tiny"),
    "model.dropout": (1.5, "it must be at least 0 and at most 1"),
    "data.reader": ("disk", "no reader 'disk'; one of auto, stream, memory, device"),
    "data.channels": (2, "1 is gray, 3 is RGB"),
    "data.size": (10, "from 32 to 512"),
    "data.threads": (0, "at least 1"),
    "augment.flip": (1.5, "at most 1"),
    "augment.crop": (64, "do not fit into pictures of data.size 32"),
    "augment.rotate": (-1.0, "at least 0"),
    "train.batch_size": (0, "at least 1"),
    "train.accumulate": (0, "at least 1"),
    "train.epochs": (0.0, "above 0"),
    "train.dtype": ("float64", "one of auto, float32, bfloat16"),
    "optimizer.name": ("adagrad", "one of sgd, adam"),
    "optimizer.schedule": ("exponential", "one of constant"),
    "optimizer.learning_rate": (float("nan"), "at least 0"),
    "optimizer.step_epochs": ((5.0, -1.0), "at least 0"),
    "loss.name": ("hinge", "one of cross_entropy, focal"),
    "loss.targets": ("soft", "one of label, votes"),
    "loss.rebalance": ("sqrt", "one of none, inverse"),
    "loss.effective_beta": (1.0, "at most"),
    "eval.metric": ("auc", "one of accuracy, balanced_accuracy, macro_f1"),
    "eval.tta": ("rotate", "one of none, flip, ten_crop"),
    "eval.batch_size": (0, "at least 1"),
    "eval.every_epochs": (0.0, "above 0"),
    "checkpoint.keep": (0, "at least 1"),
    "log.every_steps": (0, "at least 1"),
    "mesh.model": (0, "at least 1"),
    "seed": (-1, "at least 0"),
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_wrong_value_is_refused_with_its_key(tmp_path, tiny_config, key, monkeypatch):
    value, expected = REFUSED[key]
    monkeypatch.setattr(loop, "load_data", lambda config: pytest.fail("data was read"))
    with pytest.raises(UserError) as refused:
        train(tiny_config(**{key.replace(".", "__"): value}), tmp_path / "run")
    assert str(refused.value).startswith(key) and expected in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


REFUSED_WITH_DATA = {
    "train.batch_size=64": "train.batch_size: 64 is more than the 60 training examples",
    "train.batch_size=6": "train.batch_size: 6 can't be split evenly over 4 devices x 1 accumulation slices",
    "train.accumulate=3": "use a multiple of 12",
    "mesh.data=3": "mesh.data: 3 x mesh.model 1 is not the number of devices, 4",
    "mesh.model=3": "mesh.model: 3 does not divide the 4 devices",
    "data.name=fer2031": "data.name: no data set 'fer2031' in .*; one of fer2013, ferplus",
    "data.name=fer2013": "fer2013 is not prepared in .*; run: expressnet prepare fer2013 --source PATH",
    "data.source=none": "none does not exist",
    "data.train_split=trian": "tiny has no split 'trian'; its splits are: train, validation, test",
    "data.select_split=test": "data.select_split: the test split never selects",
    "data.drop_leaks=True": "run `expressnet audit tiny` first",
    "loss.targets=votes": "loss.targets: tiny has no votes; use loss.targets=label",
}


@pytest.mark.parametrize("change", REFUSED_WITH_DATA)
def test_what_does_not_fit_the_data_is_refused_before_the_folder_is_made(tmp_path, tiny_config, change):
    key, value = change.split("=")
    value = {"True": True}.get(value, int(value) if value.isdigit() else value)
    config = tiny_config(**{key.replace(".", "__"): value})
    if key == "data.source":
        config.data.name = "folder"
    with pytest.raises(UserError, match=REFUSED_WITH_DATA[change]) as refused:
        train(config, tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_config_of_another_kind_is_refused():
    with pytest.raises(UserError, match="get_config\\(\\) must return"):
        check({"model": "plain_cnn"})
    config = default().unlock()
    del config.train["accumulate"]
    with pytest.raises(UserError, match=r"train\.accumulate is missing"):
        check(config)
    config = default().unlock()
    config.train.warmup = 3
    with pytest.raises(UserError, match=r"no run reads train\.warmup"):
        check(config)


def test_options_of_a_model_are_free_in_a_config_but_checked():
    config = default()
    config.model.options.reduction = 4
    check(config)
    config.model.options.reductoin = 4
    with pytest.raises(UserError, match=r"expressnet_small has no 'reductoin'; it has .*reduction"):
        check(config)


def test_a_crop_that_would_change_the_network_is_refused(tiny_config):
    with pytest.raises(UserError, match=r"augment\.crop: this model takes pictures of one size only"):
        check(tiny_config(data__size=48, augment__crop=40))
    check(tiny_config(data__size=48, augment__crop=40, model__name="expressnet_tiny"))


@pytest.mark.parametrize(
    ("key", "value", "package"), [("export", "m.onnx", "jax2onnx"), ("log__tensorboard", True, "tensorboardX")]
)
def test_a_missing_extra_is_named_before_the_training(tiny_config, monkeypatch, key, value, package):
    monkeypatch.setattr("expressnet_jax.training.setup.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"needs {package}; pip install 'expressnet-jax\["):
        check(tiny_config(**{key: value}))


def test_a_training_split_of_one_class_is_refused(tmp_path, tiny_config):
    pictures = write_pictures(tmp_path / "pictures", {"train": 3}, classes=("anger",))
    write_pictures(tmp_path / "pictures", {"validation": 3}, classes=("fear", "anger"))
    prepare.prepare("folder", pictures, tmp_path / "data", name="one")
    with pytest.raises(UserError, match="every training example is 'anger'"):
        load_data(tiny_config(data__name="one", data__dir=str(tmp_path / "data")))


def test_a_plan_counts_steps(tiny_config):
    plan = make_plan(tiny_config(train__epochs=2.0, eval__every_epochs=0.5, checkpoint__every_epochs=4.0), 60)
    assert (plan.total, plan.per_epoch, plan.evaluate_every, plan.save_every) == (8, 3.75, 2, 15)
    assert best_divisor(8972) == 16 and best_divisor(64) == 32 and best_divisor(8971) == 16
