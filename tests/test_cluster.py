"""Several real processes as one run, over gloo: the same numbers, one log, one end."""

import shutil
import signal

import jax
import numpy as np
import pytest

from expressnet_jax import cluster
from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.manager import saved_steps
from runs import arrays, as_one_run, history, train

pytest_plugins = ["run_fixtures"]
# Every step is saved and evaluated. At a low rate rounding does not grow meanwhile.
EVERY_STEP = {
    "train.epochs": 1.5,
    "optimizer.learning_rate": 0.005,
    "checkpoint.every_epochs": 0.25,
    "eval.every_epochs": 0.25,
    "checkpoint.keep": 2,
}
OVERRIDES = [f"{key}={value}" for key, value in EVERY_STEP.items()]


@pytest.fixture
def start_all(start, environment):
    """(workdir, overrides, count, overrides of the last alone) -> processes of one run."""

    def begin(workdir, *overrides, count=2, last=(), heartbeat=10):
        owns = [()] * (count - 1) + [last]
        return [
            start(workdir, *overrides, *own, more=told | {cluster.HEARTBEAT: str(heartbeat)})
            for told, own in zip(as_one_run(count), owns, strict=True)
        ]

    return begin


@pytest.fixture(scope="module")
def changed(tiny_config):
    return lambda: tiny_config(**{key.replace(".", "__"): value for key, value in EVERY_STEP.items()})


def assert_alike(left, right, tolerance=1e-3):
    one, other = arrays(left), arrays(right)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_two_processes_are_one_run_and_one_goes_on(start_all, changed, tmp_path, capsys):
    """The latest and the best are written at the same time, each with barriers of its own: where they shared one, such
    a run failed at it, three times of three."""
    together, alone = tmp_path / "together", tmp_path / "alone"
    (out, err), (silent, hushed) = [run.finish() for run in start_all(together, *OVERRIDES)]
    assert "2 x cpu of 2 processes" in err and "accuracy" in out
    assert [line for line in (silent + hushed).splitlines() if not line.startswith("[Gloo]")] == []
    assert [path.name for path in saved_steps(together / "checkpoints")] == ["5", "6"]
    train(changed(), alone)
    assert_alike(alone, together)
    ours, theirs = history(together), history(alone)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    np.testing.assert_allclose(ours[0]["loss"], theirs[0]["loss"], rtol=1e-4)
    seen = [line["accuracy"] for line in ours if line["split"] == "validation"]
    assert seen == [line["accuracy"] for line in theirs if line["split"] == "validation"] and len(seen) == 6
    shutil.rmtree(together / "checkpoints" / "6")
    train(changed(), together)
    assert "resuming from step 5" in capsys.readouterr().err
    assert_alike(alone, together)


def test_all_stop_after_the_same_step(start_all, tmp_path):
    first, second = start_all(tmp_path / "run", "train.epochs=400")
    second.stop(signal.SIGTERM)
    _, err = first.finish(128 + signal.SIGTERM)
    second.finish(128 + signal.SIGTERM)
    left = saved_steps(tmp_path / "run/checkpoints")[-1].name
    assert f"stopped at step {left} by SIGTERM; the same command resumes from there" in err


def test_processes_agree_by_calls_for_steps_may_come_several_at_a_time(monkeypatch):
    """JAX stops where it is given the number behind the highest that any process gave, and at no other."""
    given = []
    monkeypatch.setattr(cluster, "_is_single_process", lambda: False)
    monkeypatch.setattr(
        "jax.experimental.multihost_utils.reached_preemption_sync_point",
        lambda number: given.append(number) or len(given) == 5,
    )
    stops = []
    for _ in range(2):  # runs of one process
        with cluster.StopSignal() as stop:
            stops += [stop.after_call() for _ in range(3)]
    assert np.diff(given).tolist() == [1] * 5
    assert stops == [0, 0, 0, 0, signal.SIGTERM, 0]


def test_one_that_hangs_is_noticed_and_named(start_all, tmp_path):
    """By JAX's own runtime, which ends the others."""
    first, second = start_all(tmp_path / "run", "train.epochs=400", heartbeat=3)
    try:
        second.stop(signal.SIGSTOP)
        _, err = first.communicate(timeout=120)
    finally:
        second.kill()
        second.communicate()
    assert first.returncode not in (0, 2)
    assert "unhealthy (stopped sending heartbeats):\n1\n" in err and "Thread 0x" not in err


def test_another_config_in_one_process_ends_both_before_anything_is_written(start_all, tmp_path):
    runs = start_all(tmp_path / "run", last=("train.steps_per_call=3",))
    for run in runs:
        _, err = run.finish(2)
        assert (
            "process 1 has another config than process 0 (train.steps_per_call was 0, now 3); start all of them" in err
        )
    assert not (tmp_path / "run").exists()


def test_what_one_can_not_do_ends_both(start_all, tmp_path):
    first, second = start_all(tmp_path / "run", last=(f"data.dir={tmp_path}",))
    _, err = second.finish(2)
    assert "error: data.name: no data set 'tiny' in" in err
    _, err = first.finish(2)
    assert "error: process 1 ended with an error, which its own output explains" in err


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_NUM_PROCESSES set, but not JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID"),
        (("a:1", "two", "0"), "JAX_NUM_PROCESSES=two, JAX_PROCESS_ID=0; give whole numbers"),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "a:1",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": "0",
                cluster.HEARTBEAT: "soon",
            },
            "EXPRESSNET_HEARTBEAT=soon; give whole seconds",
        ),
        (("a:1", "2", "2"), "JAX_PROCESS_ID=2 is not 0..1 of JAX_NUM_PROCESSES=2"),
    ],
)
def test_variables_that_make_no_sense_are_one_line(monkeypatch, environment, expected):
    names = (cluster.ADDRESS, cluster.COUNT, cluster.NUMBER)
    told = environment if isinstance(environment, dict) else dict(zip(names, environment, strict=True))
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as refused:
        cluster.join_cluster("auto")
    assert expected in str(refused.value)


def test_alone_nothing_is_joined_and_on_says_what_is_missing(monkeypatch):
    for name in cluster.SIZES:
        monkeypatch.delenv(name, raising=False)
    assert cluster.join_cluster("auto") is None and cluster.join_cluster("off") is None
    with pytest.raises(UserError, match="--distributed: no 'maybe'; one of auto, on, off"):
        cluster.join_cluster("maybe")


def test_hosts_of_a_slice_that_have_not_joined_are_one_line(monkeypatch, tmp_path, tiny_config):
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    with pytest.raises(UserError, match=r"one of 4 of a TPU slice, which have not joined.* --distributed=on"):
        train(tiny_config(), tmp_path / "run")
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    cluster.check_joined()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SLURM_STEP_NUM_TASKS", "2", True),
        ("SLURM_STEP_NUM_TASKS", "1", False),
        ("OMPI_COMM_WORLD_SIZE", "8", True),
        ("TPU_WORKER_HOSTNAMES", "a,b", True),
        ("TPU_WORKER_HOSTNAMES", "a", False),
    ],
)
def test_launchers_are_known_by_their_variables(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    assert cluster.launched() is expected
