"""The public names: their stub, what an import brings along, and the page of examples, run as it stands."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import expressnet_jax
from expressnet_jax.metric_writers import read_history
from runs import CONFIG, SETTINGS, write_images

ROOT = Path(expressnet_jax.__file__).parent
(EXAMPLE,) = re.findall(r"```python\n(import expressnet_jax.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_stub_names_what_there_is():
    stub = ast.parse((ROOT / "__init__.pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    found = {
        alias.asname: getattr(importlib.import_module(node.module), alias.name)
        for node in imports
        for alias in node.names
    }
    assert {name: getattr(expressnet_jax, name) for name in expressnet_jax.__all__} == found
    assert set(found) < set(dir(expressnet_jax)) and all(each.__doc__ for each in found.values())
    with pytest.raises(AttributeError, match="no attribute 'trian'; it has Predictor"):
        _ = expressnet_jax.trian


def test_importing_the_package_loads_nothing_and_the_examples_name_all_of_it():
    code = "import sys, expressnet_jax as e; e.UserError, e.prepare, e.train; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "jax", "onnxruntime", "cv2", "ml_collections"}.isdisjoint(ran.stdout.split())
    used = set(re.findall(r"fer\.(\w+)", EXAMPLE)) | {"UserError", "load_data", "sweep"}
    assert used == set(expressnet_jax.__all__)


def test_a_path_in_the_home_folder_is_not_a_folder_called_tilde(tmp_path, monkeypatch):
    written = []
    keep = lambda *given, **_: written.append(next(each for each in given if isinstance(each, Path)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("expressnet_jax.sweeps.harness.run_sweep", keep)
    monkeypatch.setattr("expressnet_jax.export.onnx_export.export_onnx", keep)
    monkeypatch.setattr("expressnet_jax.report.run.run_report", lambda request: keep(request.output))
    expressnet_jax.sweep(None, {}, "~/a")
    expressnet_jax.export_onnx(None, "~/b")
    expressnet_jax.make_report("tiny", [], "~/c")
    assert written == [tmp_path / name for name in "abc"]


def test_the_page_of_examples_runs(tmp_path, monkeypatch, capsys):
    write_images(tmp_path / "faces", {"train": 20, "validation": 7, "test": 3})
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(tmp_path / "photo.jpg")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "folder.py").write_text(CONFIG.format(settings=SETTINGS | {"eval.error_gallery": False}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EXPRESSNET_DATA", str(tmp_path / "data"))
    names = {}
    exec(EXAMPLE, names)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("{'train': 60, 'validation': 21, 'test': 9} ('anger', ")
    followed = [entry for entry in read_history(tmp_path / "runs/mine/metrics.jsonl") if entry["split"] == "validation"]
    assert names["figures"]["accuracy"] == pytest.approx(max(entry["accuracy"] for entry in followed))
    assert names["proof"]["largest_difference"] < 1e-4 and names["page"].is_file()
    assert set(names["weights"]) == {"params", "batch_stats"} and names["network"].heads["expression"].shape == (7,)
