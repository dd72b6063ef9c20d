"""MLflow and Weights & Biases, by the real packages where they are: on the disk alone, one run when resumed."""

import json
import os
import time

import pytest

from expressnet_jax import trackers
from expressnet_jax.config import default
from expressnet_jax.errors import UserError
from expressnet_jax.trackers import TRACKERS, named_figures, open_trackers

ENTRIES = [
    {"step": 50, "split": "train", "epoch": 1.0, "loss": 1.25},
    {"step": 100, "split": "validation", "epoch": 2.0, "accuracy": 0.625},
]


def config(**log):
    made = default()
    made.log.update(log)
    return made.to_dict()


def test_nothing_is_opened_unless_it_is_asked_for(tmp_path):
    assert open_trackers(config(), tmp_path, 0) == [] and list(tmp_path.iterdir()) == []
    assert {name for name, value in config()["log"].items() if value is False} == set(TRACKERS)
    assert named_figures(ENTRIES[0]) == {"train/epoch": 1.0, "train/loss": 1.25}


def test_what_a_library_raises_is_one_line(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no\nserver")

    monkeypatch.setitem(trackers.TRACKERS, "mlflow", TRACKERS["mlflow"]._replace(open=fail))
    with pytest.raises(UserError, match=r"^log\.mlflow: can't be opened \(no server\); fix it or switch it off$"):
        open_trackers(config(mlflow=True), tmp_path, 0)


@pytest.mark.filterwarnings("ignore")  # of their libraries
def test_mlflow_has_the_figures_and_the_config(tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for entry in ENTRIES:  # a process each
        (writer,) = open_trackers(config(mlflow=True), tmp_path, 0)
        writer.write(entry)
        writer.close()
    client = tracking.MlflowClient((tmp_path / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("expressnet").experiment_id])
    assert run.data.metrics == {
        "train/epoch": 1.0,
        "train/loss": 1.25,
        "validation/epoch": 2.0,
        "validation/accuracy": 0.625,
    }
    assert [each.step for each in client.get_metric_history(run.info.run_id, "validation/accuracy")] == [100]
    assert run.data.params["optimizer.learning_rate"] == "0.1" and run.info.status == "FINISHED"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.filterwarnings("ignore")
def test_wandb_stays_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    (writer,) = open_trackers(config(wandb=True), tmp_path, 0)
    for entry in ENTRIES:
        writer.write(entry)
    assert writer.run.offline and json.loads(json.dumps(dict(writer.run.config)))["optimizer"]["learning_rate"] == 0.1
    name = writer.run.id
    writer.close()
    assert (tmp_path / "wandb_run.txt").read_text() == name
    (stored,) = (tmp_path / "wandb").glob(f"offline-run-*/run-{name}.wandb")
    started = time.monotonic()
    while b"validation/accuracy" not in stored.read_bytes():  # another process writes it, a moment later
        assert time.monotonic() < started + 60
        time.sleep(0.05)
    assert b"0.625" in stored.read_bytes()
