"""Figures across seeds against SciPy's own interval, and what may not be put together."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from expressnet_jax.config import default
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import summarise
from expressnet_jax.evaluation.seeds import across_seeds, format_summary, read_run, summarise_runs
from expressnet_jax.io import write_json
from expressnet_jax.report.context import QUICK, Context
from expressnet_jax.report.figures import figures_section


def run_of(seed, **changes):
    """A finished run's figures on 40 examples of three classes, different for every seed."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), 40).astype(np.float32)
    labels = rng.integers(0, 3, 40)
    figures = summarise(probabilities, labels, np.arange(40), ("anger", "fear", "neutral"), [1, 2, 3])
    config = default()
    config.seed = seed
    facts = {"data": "d", "split": "validation", "tta": "flip", "seed": seed, "step": 10, "seconds": 5.0 + seed}
    return json.loads(json.dumps({**figures, **facts, "config": config.to_dict(), **changes}, default=float))


def test_the_interval_of_the_mean_is_students():
    values = [0.71, 0.725, 0.705, 0.72]
    found = across_seeds(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(found["interval"], [low, high], rtol=1e-9)
    assert found["standard_deviation"] == pytest.approx(stats.tstd(values))


def test_one_value_has_no_interval():
    assert across_seeds([0.7]) == {"mean": 0.7, "standard_deviation": None, "interval": None}


def test_runs_are_put_together_by_seed():
    runs = {f"run{seed}": run_of(seed) for seed in (2, 0, 1)}
    summary = summarise_runs(runs)
    assert [row["seed"] for row in summary["seeds"]] == [0, 1, 2]
    for key in ("accuracy", "balanced_accuracy", "macro_f1", "seconds"):
        assert summary["across_seeds"][key]["mean"] == pytest.approx(np.mean([run[key] for run in runs.values()]))
    assert "seed" not in summary["config"] and summary["count"] == 40
    fresh = [run["deduplicated"]["accuracy"] for run in runs.values()]
    assert summary["across_seeds"]["deduplicated_accuracy"]["mean"] == pytest.approx(np.mean(fresh))
    text = format_summary(summary, mark=sorted(run["accuracy"] for run in runs.values())[1])
    assert "95 % interval of the mean" in text and "2 of 3 seeds reach" in text and "6 seconds a run" in text


def test_a_report_counts_runs_of_one_name_in_several_folders(tmp_path):
    runs = [tmp_path / f"seed{seed}" / "run" for seed in range(3)]
    for seed, run in enumerate(runs):
        run.mkdir(parents=True)
        for name, content in (("evaluation", found := run_of(seed)), ("config", found["config"])):
            (run / f"{name}.json").write_text(json.dumps(content))
    seeds = figures_section(Context(None, None, [], QUICK, tmp_path, runs=runs))["seeds"]
    assert seeds["seeds"] == [0, 1, 2]


def test_one_seed_gives_the_interval_over_examples():
    summary = summarise_runs({"run": run_of(0)})
    assert summary["across_seeds"]["accuracy"]["interval"] is None
    assert "one seed; 95 % interval over the 40 examples" in format_summary(summary)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"split": "test"}, "split"), ({"tta": "none"}, "tta"), ({"count": 41}, "count")],
)
def test_runs_that_measured_different_things_are_refused(change, word):
    with pytest.raises(UserError, match=rf"b and a differ in {word}"):
        summarise_runs({"a": run_of(0), "b": run_of(1, **change)})


def test_runs_of_different_recipes_are_refused_wherever_they_read_from():
    other = run_of(1)
    other["config"]["data"]["dir"] = "/elsewhere"
    summarise_runs({"a": run_of(0), "b": other})
    del other["config"]["data"]["flip_labels"]  # of a run that is older than the key
    summarise_runs({"a": run_of(0), "b": other})
    other["config"]["optimizer"]["learning_rate"] = 0.3
    with pytest.raises(UserError, match=r"differ in config\.optimizer\.learning_rate;"):
        summarise_runs({"a": run_of(0), "b": other})


def test_the_same_seed_twice_is_refused():
    with pytest.raises(UserError, match="the same seed twice"):
        summarise_runs({"a": run_of(0), "b": run_of(0)})


def test_names_are_read_as_they_were_written_whatever_the_locale(tmp_path):
    write_json(tmp_path / "evaluation.json", {"classes": ["Überraschung"]})
    write_json(tmp_path / "config.json", {})
    code = "import sys; from pathlib import Path; from expressnet_jax.evaluation.seeds import read_run;"
    code += "print(len(read_run(Path(sys.argv[1]))['classes'][0]))"
    ascii_only = os.environ | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    found = subprocess.run([sys.executable, "-c", code, tmp_path], env=ascii_only, capture_output=True, text=True)
    assert found.stdout.split() == ["12"], found.stderr


def test_a_run_that_has_not_finished_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        read_run(tmp_path)
    (tmp_path / "evaluation.json").write_text('{"seed": 0}')
    (tmp_path / "config.json").write_text('{"seed": 0}')
    assert read_run(tmp_path) == {"seed": 0, "config": {"seed": 0}}
