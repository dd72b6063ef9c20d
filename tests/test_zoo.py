"""The table of networks: one recipe, rows that stay, and configs/README.md says what the JSON says."""

import json
import re
from pathlib import Path

import pytest

from expressnet_jax.bench.zoo import add_runs
from expressnet_jax.bench.zoo_table import CLAIMS, HEAD, OLD, SAID, tables
from expressnet_jax.cli import main
from expressnet_jax.models.registry import MODELS, models_of
from runs import train

pytest_plugins = ["run_fixtures"]
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "configs" / "results"
ROW = {
    "own": {},
    "parameters": 12345,
    "mflop": 41.7,
    "onnx_bytes": 2_340_000,
    "onnx_latency_ms": 0.123,
    "accuracy": 0.5,
    "accuracy_interval": [0.484, 0.516],
    "balanced_accuracy": 0.45,
    "macro_f1": 0.44,
    "deduplicated_accuracy": 0.49,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_config):
    """(name, changes) -> the workdir of a finished run of a step or two."""

    def run(name, **changes):
        workdir = tmp_path_factory.mktemp(name)
        config = tiny_config(train__epochs=0.5, eval__error_gallery=False, **changes)
        train(config, workdir).finish(workdir)
        return workdir

    return run


def test_finished_runs_become_rows_and_rows_stay(finished, tmp_path, capsys):
    path, workdir = tmp_path / "zoo.json", finished("one")
    assert main(["bench", "zoo", str(workdir), "--json", str(path)]) == 0
    stored = json.loads(path.read_text())
    row = stored["networks"]["plain_cnn"]
    report = json.loads((workdir / "evaluation.json").read_text())
    assert {key: row[key] for key in ("accuracy", "macro_f1", "seed")} == {
        key: report[key] for key in ("accuracy", "macro_f1", "seed")
    }
    assert row["own"] == {} and row["onnx_latency_ms"] > 0 and row["onnx_bytes"] > 4 * row["parameters"]
    assert stored["recipe"]["train.epochs"] == 0.5 and "data.dir" not in stored["recipe"]
    printed = capsys.readouterr().out
    assert f"| `plain_cnn` | {row['parameters']:,} |" in printed

    other = finished("two", model__name="explainable_cnn", model__options__widths=(4,), augment__random_erasing=0.5)
    grown = add_runs(stored, [other], rounds=1)
    assert grown["networks"]["plain_cnn"] == row
    own = {"augment.random_erasing": 0.5, "model.options.widths": [4]}
    assert grown["networks"]["explainable_cnn"]["own"] == own
    older = stored | {"recipe": {key: stored["recipe"][key] for key in stored["recipe"] if key != "data.flip_labels"}}
    assert add_runs(older, [other], rounds=1)["networks"]["explainable_cnn"]["own"] == own
    report = json.loads((workdir / "config.json").read_text())
    report["train"]["epochs"] = 99.0
    (workdir / "config.json").write_text(json.dumps(report))
    assert main(["bench", "zoo", str(workdir), "--json", str(path)]) == 2
    assert "train.epochs is 99.0, in the table's other runs 0.5" in capsys.readouterr().err
    assert json.loads(path.read_text()) == stored


def test_what_is_no_table_and_no_run_is_one_line(tmp_path, capsys):
    (tmp_path / "zoo.json").write_text("[]")
    assert main(["bench", "zoo", "--json", str(tmp_path / "zoo.json")]) == 2
    assert "zoo.json: no table of networks" in capsys.readouterr().err
    assert main(["bench", "zoo", str(tmp_path), "--json", str(tmp_path / "new.json")]) == 2
    assert "no finished run" in capsys.readouterr().err and not (tmp_path / "new.json").exists()


def test_the_tables_have_the_networks_the_old_methods_and_the_claims(tmp_path):
    old = {"features": "hog", "classifier": "knn", "k": 15, "dimensions": 900, "deduplicated": {"accuracy": 0.4}}
    (tmp_path / "baselines_fer2013.json").write_text(json.dumps({"rows": [old | {k: ROW[k] for k in list(ROW)[5:9]}]}))
    (tmp_path / "plain_cnn_fer2013.json").write_text(json.dumps({"seeds": [{"accuracy": 0.607}]}))
    better = ROW | {"accuracy": 0.6}
    made = tables({"networks": {"plain_cnn": ROW, "vgg16": better}}, tmp_path)
    first, second, third = made.split("\n\n")
    assert first.startswith(HEAD) and second.startswith(OLD) and third.startswith(SAID)
    lines = first.splitlines()[2:]
    assert lines[0].startswith("| `vgg16` |")
    assert lines[1] == "| `plain_cnn` | 12,345 | 42 | 2.3 | 0.12 | 50.0 % (48.4 to 51.6) | 45.0 % | 44.0 % | 49.0 % |"
    assert lines[2].startswith("| not trained yet: `expressnet_tiny`, ") and lines[2].count("|") == HEAD.count("|") // 2
    assert "`vgg16`" not in lines[2] and "`ddamfn`" in lines[2] and "landmark_mlp" not in lines[2]
    assert "| hog | knn, k = 15 | 900 | 50.0 % (48.4 to 51.6) | 45.0 % | 44.0 % | 40.0 % |" in second
    assert "| 91 % | `plain_cnn` | 50.0 % | 60.7 % (`plain_cnn_fer2013`) |" in third and "not yet" in third
    assert "hog" not in tables({"networks": {"plain_cnn": ROW}}, tmp_path / "nowhere")


def test_claims_and_the_script_name_networks_that_exist():
    assert {name for _, _, name, _ in CLAIMS} <= set(MODELS)
    listed = re.search(r'all="([^"]*)"', (ROOT / "launch" / "zoo.sh").read_text())[1].split()
    assert sorted(listed) == sorted(models_of("image"))


def test_the_readme_has_the_tables_that_the_json_gives():
    figures = json.loads((RESULTS / "zoo_fer2013.json").read_text())
    made, readme = tables(figures, RESULTS), (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    assert len(figures["networks"]) > 3
    assert [table for table in made.split("\n\n") if table not in readme] == []
