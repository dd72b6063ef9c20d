"""The ablation: rows by what is changed, differences seed by seed, and a script whose changes are real ones."""

import json
import re
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from scipy.stats import t

from expressnet_jax.bench.ablation import HEAD, WHOLE, add_runs, table
from expressnet_jax.cli import main
from expressnet_jax.cli_args import key_and_value
from expressnet_jax.config import default, flatten, set_key
from expressnet_jax.models.attention import ATTENTIONS

ROOT = Path(__file__).parents[1]
FIGURES = {"balanced_accuracy": 0.4, "macro_f1": 0.3}


@pytest.fixture
def finished(tmp_path):
    """(accuracy, seed, **changes) -> the folder that such a run leaves."""

    def write(accuracy, seed, **changes):
        config = default()
        config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
        config.seed = seed
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        report = FIGURES | {"accuracy": accuracy, "seed": seed, "step": 7, "per_class": {}, "confusion": []}
        (folder / "evaluation.json").write_text(json.dumps(report | {"machine": {"cores": 2}}))
        (folder / "config.json").write_text(json.dumps(config.to_dict()))
        return folder

    return write


def test_runs_become_rows_by_what_they_change_and_rows_stay(finished):
    whole = add_runs({}, [finished(0.5, 0), finished(0.6, 1)])
    grown = add_runs(whole, [finished(0.4, 1, augment__flip=0.5), finished(0.3, 0, model__options__attention="eca")])
    assert list(grown["changes"]) == [WHOLE, "augment.flip=0.5", "model.options.attention=eca"]
    assert grown["changes"][WHOLE] == whole["changes"][WHOLE] and list(grown["changes"][WHOLE]["seeds"]) == ["0", "1"]
    assert grown["changes"]["augment.flip=0.5"]["seeds"]["1"]["accuracy"] == 0.4
    assert list(whole["changes"]) == [WHOLE]
    older = whole | {"recipe": {key: value for key, value in whole["recipe"].items() if key != "data.flip_labels"}}
    assert list(add_runs(older, [finished(0.4, 2)])["changes"]) == [WHOLE]


def test_differences_are_taken_seed_by_seed_with_students_interval(finished):
    wholes, others = [0.50, 0.55, 0.61], [0.48, 0.50, 0.60]
    runs = [finished(value, seed) for seed, value in enumerate(wholes)]
    runs += [finished(value, seed, augment__random_erasing=0.25) for seed, value in enumerate(others)]
    runs += [finished(0.7, 5, augment__random_erasing=0.5)]
    lines = table(add_runs({}, runs)).splitlines()
    differences = 100 * (np.array(others) - np.array(wholes))
    low, high = t.interval(0.95, 2, differences.mean(), differences.std(ddof=1) / np.sqrt(3))
    cells = lines[3].strip("| ").split(" | ")
    assert lines[:2] == HEAD.splitlines()
    assert cells[:2] == ["`augment.random_erasing=0.25`", "0, 1, 2"]
    assert cells[3] == f"{differences.mean():+.1f} ± {(high - low) / 2:.1f}"
    assert lines[4] == "| `augment.random_erasing=0.5` | 5 | 70.0 |  | 40.0 |  | 30.0 |  |"  # no such seed of the whole


def test_the_command_writes_and_prints_it_and_refuses_other_files(finished, tmp_path, capsys):
    path = tmp_path / "ablation.json"
    assert main(["bench", "ablation", str(finished(0.5, 0)), "--json", str(path)]) == 0
    assert "| nothing | 0 | 50.0 |" in capsys.readouterr().out
    assert json.loads(path.read_text())["recipe"]["augment.flip"] == 0
    path.write_text("{}")
    assert main(["bench", "ablation", "--json", str(path)]) == 2
    assert "ablation.json: no table of changes" in capsys.readouterr().err and path.read_text() == "{}"


def test_the_script_changes_every_part_and_no_key_that_is_none():
    text = (ROOT / "launch" / "ablation.sh").read_text()
    zoo = run_path(ROOT / "configs" / "zoo.py")["get_config"]
    changes = [line.split() for line in re.search(r'changes="([^"]*)"', text)[1].splitlines()]
    for _, *pairs in changes:
        recipe = zoo("expressnet_tiny")
        for key, value in map(key_and_value, pairs):
            assert flatten(recipe.to_dict()).get(key) != value
            set_key(recipe, key, value)
    assert len({name for name, *_ in changes}) == len(changes) and changes[0] == ["whole"]
    assert {pair.split("=")[1] for _, *pairs in changes for pair in pairs if "attention" in pair} < set(ATTENTIONS)
    touched = {pair.split("=")[0] for _, *pairs in changes for pair in pairs}
    assert {key for key, value in flatten(zoo().augment.to_dict(), "augment.").items() if value} <= touched


def test_the_readme_has_the_table_that_the_json_gives():
    made = table(json.loads((ROOT / "configs" / "results" / "ablation_fer2013.json").read_text()))
    assert len(made.splitlines()) > 10 and made in (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
