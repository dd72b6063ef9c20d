"""`expressnet runs`: every run below a folder by what it has written."""

import json

import pytest

from expressnet_jax.cli import main
from expressnet_jax.config import default
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.list_runs import find_runs


def write_run(folder, accuracies, finished, **changes):
    folder.mkdir(parents=True)
    config = default()
    config.train.epochs = 4.0
    config.update_from_flattened_dict(changes)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    lines = [
        {"step": 10 * i, "epoch": float(i), "split": "validation", "accuracy": value, "seconds": 30.0 * i}
        for i, value in enumerate(accuracies, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 9')
    if finished:
        (folder / "evaluation.json").write_text("{}")


def test_runs_are_listed_with_their_best_figure(tmp_path, capsys):
    write_run(tmp_path / "a", (0.5, 0.7, 0.7, 0.6), True, **{"eval.metric": "expression/accuracy", "seed": 3})
    write_run(tmp_path / "deep" / "b", (0.25,), False, **{"data.name": "fer2013@0123456789ab"})
    write_run(tmp_path / "c", (), False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metrics.jsonl").write_text("{}\n")
    assert main(["runs", str(tmp_path), "--json"]) == 0
    a, c, b = json.loads(capsys.readouterr().out)
    assert (a["run"], a["seed"], a["best"], a["best_step"], a["epoch"], a["seconds"]) == ("a", 3, 0.7, 30, 4.0, 120.0)
    assert (b["run"], b["data"], b["best"], b["finished"], c["best"]) == ("deep/b", "fer2013", 0.25, False, None)
    assert main(["runs", str(tmp_path), "--json", str(tmp_path / "runs.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [
        "a",
        "expressnet_small",
        "synthetic",
        "3",
        "4/4",
        "accuracy",
        "0.7000",
        "3",
        "2.0",
        "min",
        "finished",
    ]
    assert lines[3].endswith("unfinished") and json.loads((tmp_path / "runs.json").read_text())["runs"] == [a, c, b]


def test_a_folder_without_runs_or_none_at_all_is_said(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no run in {tmp_path}\n"
    with pytest.raises(UserError, match="no such folder; give one that holds the --workdir of runs"):
        find_runs(tmp_path / "none")
