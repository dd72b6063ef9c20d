"""Sweeps: the grid, successive halving by hand, a real one that is stopped and resumed, and what is refused."""

import json
import math
import time

import pytest

from expressnet_jax.cli import main
from expressnet_jax.errors import DivergedError, UserError
from expressnet_jax.metric_writers import read_history
from expressnet_jax.sweeps import point_run
from expressnet_jax.sweeps.grid import check_grid, grid_points, parse_grid
from expressnet_jax.sweeps.halving import Rung, at_evaluations, best_of, make_rungs, rung_step, total_share
from expressnet_jax.sweeps.harness import run_sweep
from runs import CONFIG, SETTINGS, arrays, train

pytest_plugins = ["run_fixtures"]


def test_a_grid_is_read_as_numbers_words_and_tuples():
    grid = parse_grid(
        [
            "optimizer.learning_rate=0.01,2e-2",
            "optimizer.name=sgd,adam",
            "data.drop_leaks=True,false",
            "train.progressive_sizes=(24, 32),(24,),()",
        ]
    )
    assert grid == {
        "optimizer.learning_rate": (0.01, 0.02),
        "optimizer.name": ("sgd", "adam"),
        "data.drop_leaks": (True, False),
        "train.progressive_sizes": ((24, 32), (24,), ()),
    }


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["model.dropout"], "write KEY=VALUE,VALUE"),
        (["model.dropout=0,0.1,0"], "model.dropout: 0 is there twice"),
        (["seed=1", "seed=2"], "seed is there already"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(texts, expected):
    with pytest.raises(UserError, match=expected):
        parse_grid(texts)


@pytest.mark.parametrize("values", ["0.1,0.2", 0.1, ()])
def test_a_grid_from_python_has_lists(values):
    with pytest.raises(UserError, match=r"optimizer.learning_rate: give a list of values"):
        check_grid({"optimizer.learning_rate": values})


def test_halving_is_that_of_the_paper():
    assert make_rungs(8, 2) == [Rung(1 / 8, 4), Rung(1 / 4, 2), Rung(1 / 2, 1), Rung(1.0, 1)]
    assert make_rungs(9, 3) == [Rung(1 / 9, 3), Rung(1 / 3, 1), Rung(1.0, 1)]
    assert make_rungs(5) == [Rung(1.0, 5)]
    # 8 runs of 1/8, 4 of another 1/8, 2 of 1/4, 1 of 1/2.
    assert total_share(make_rungs(8, 2), 8) == 8 / 8 + 4 / 8 + 2 / 4 + 1 / 2 and total_share(make_rungs(5), 5) == 5
    assert [rung_step(Rung(share, 1), 45, 4) for share in (0.05, 0.125, 0.25, 0.5, 1.0)] == [4, 4, 12, 24, 45]
    # Three steps a call: the evaluations of steps 4 and 12 come behind 6 and 12, that of 44 behind the end.
    assert [rung_step(Rung(share, 1), 45, 4, 3) for share in (0.05, 0.25, 0.98, 1.0)] == [6, 12, 45, 45]
    # Eight epochs of 224.3 steps: the eighth is one epoch, not two, though it ends a fraction of a step after it.
    rungs = at_evaluations(make_rungs(8, 2), 1794, 224)
    assert [round(rung.share * 1794) for rung in rungs] == [224, 448, 896, 1794]
    assert best_of({0: 0.5, 1: 0.7, 2: math.nan, 3: 0.7}, 2) == [1, 3]
    with pytest.raises(UserError, match="--halving 1: give 2 or more"):
        make_rungs(4, 1)


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def swept(tmp_path_factory, tiny_config):
    """Two seeds that learn and one that diverges, killed after the first run and resumed."""
    output, lines = tmp_path_factory.mktemp("sweep") / "out", []
    config, grid = tiny_config(train__epochs=4.0, eval__error_gallery=False), {"seed": (0, 1, 2)}
    real, started = point_run._train, time.monotonic()

    def diverging(point, *rest):
        if point.changes["seed"] == 2:
            raise DivergedError("step 3: the loss is not finite; lower optimizer.learning_rate")
        real(point, *rest)

    def say(text):
        lines.append(text)
        if len(lines) == 2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(point_run, "_train", diverging)
        patch.setattr(point_run.jax, "clear_caches", lambda: None)
        with pytest.raises(Killed):
            run_sweep(config, grid, output, halving=3, say=say)
        results = run_sweep(config, grid, output, halving=3, say=lines.append)
    return config, grid, output, lines, results, time.monotonic() - started


def test_the_better_run_continues_and_one_that_diverges_does_not(swept):
    _, _, output, lines, results, took = swept
    runs = {run["run"]: run for run in results["runs"]}
    assert [runs[name]["changes"] for name in sorted(runs)] == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    assert runs["002"]["diverged"].startswith("step 3: the loss is not finite") and runs["002"]["value"] is None
    # 15 steps, evaluated every 4: a third is step 5, nearest to step 4, where the better one of both seeds is chosen.
    best, other = results["best"], {"000": "001", "001": "000"}[results["best"]]
    assert (runs[best]["step"], runs[other]["step"]) == (15, 4)
    followed = lambda name: read_history(output / "runs" / name / "metrics.jsonl", 4)
    at_4 = lambda name: max(line["accuracy"] for line in followed(name) if line["split"] == "validation")
    assert (at_4(best), other) > (at_4(other), best)
    assert (output / "runs" / best / "evaluation.json").is_file()
    assert not (output / "runs" / other / "evaluation.json").exists()
    # A run's seconds are its own: neither those of the runs before it nor the age of the process.
    assert 0 < runs[best]["seconds"] + runs[other]["seconds"] <= took
    stored = json.loads((output / "results.json").read_text())
    assert stored == json.loads(json.dumps(results)) and (output / "sweep.png").stat().st_size > 5000
    rows = [line.split("|")[1].strip() for line in (output / "table.md").read_text().splitlines() if line[:1] == "|"]
    assert rows == ["run", "---", best, other, "002"]
    assert lines[0].startswith("3 runs, 1.53 whole trainings") and (output / "runs" / best / "log.txt").stat().st_size


def test_a_survivor_is_the_run_that_it_would_have_been_alone(swept, tmp_path):
    config, grid, output, _, results, _ = swept
    train(grid_points(config, grid)[int(results["best"])].config, tmp_path)
    alone, paused = arrays(tmp_path), arrays(output / "runs" / results["best"])
    assert alone.keys() == paused.keys() and all(alone[name].tobytes() == paused[name].tobytes() for name in alone)


def test_a_finished_sweep_trains_nothing_and_another_one_is_refused(swept, data_dir, tmp_path, monkeypatch, capsys):
    config, grid, output, _, results, _ = swept
    monkeypatch.setattr(point_run, "_train", None)
    settings = SETTINGS | {"data.dir": str(data_dir), "train.epochs": 4.0, "eval.error_gallery": False}
    (tmp_path / "c.py").write_text(CONFIG.format(settings=settings))
    given = ["--config", str(tmp_path / "c.py"), "--grid", "seed=0,1,2", "--halving", "3", "--output", str(output)]
    assert main(["sweep", *given]) == 0
    printed = capsys.readouterr().out
    assert (output / "table.md").read_text() in printed and f"best: {output / 'runs' / results['best']}" in printed
    assert json.loads((output / "results.json").read_text()) == json.loads(json.dumps(results))
    with pytest.raises(UserError, match=r"holds another sweep \(halving was 3, now 0\); give another --output"):
        run_sweep(config, grid, output)
    with pytest.raises(UserError, match=r"holds another sweep \(grid was "):
        run_sweep(config, {"seed": (0, 1)}, output, halving=3)


def test_a_run_that_diverged_later_counts_at_the_rung_that_it_reached(tmp_path, tiny_config, monkeypatch):
    """Resumed, a sweep chooses as it did: what a run did behind a rung is no reason to leave it out there."""
    monkeypatch.setattr(point_run, "_train", None)
    point = grid_points(tiny_config(), {"seed": (0, 1)})[0]
    line = {"split": "validation", "step": 4, "epoch": 1.0, "seconds": 2.0, "accuracy": 0.5}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "diverged.txt").write_text("step 7: the loss is not finite; lower optimizer.learning_rate\n")
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    at_4, at_8 = (point_run.train_point(point, step, 8, tmp_path) for step in (4, 8))
    assert (at_4.value, at_4.diverged) == (0.5, "") and math.isnan(at_8.value)
    assert at_8.diverged.startswith("step 7")


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ("optimizer.learning_rat=0.1,0.2", "--grid: no key 'optimizer.learning_rat'; did you mean"),
        ("optimizer.learning_rate=low,high", "--grid: optimizer.learning_rate='low' is no float"),
        ("model.dropout=0.1,1.5", "model.dropout: 1.5; it must be at least 0 and at most 1 (run 001: dropout=1.5)"),
        ("train.batch_size=16,64", "train.batch_size: 64 is more than the 60 training examples (run 001"),
    ],
)
def test_a_wrong_key_or_value_is_refused_before_anything_runs(tmp_path, data_dir, capsys, grid, expected):
    (tmp_path / "c.py").write_text(CONFIG.format(settings=SETTINGS | {"data.dir": str(data_dir)}))
    given = ["sweep", "--config", str(tmp_path / "c.py"), "--output", str(tmp_path / "out"), "--grid", grid]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and expected in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
