"""The tour, configs/tour.ipynb: clean as it lies there, and run as a reader runs it where Jupyter's client is."""

import ast
import json
from pathlib import Path

import pytest

import expressnet_jax

NOTEBOOK = Path(__file__).parents[1] / "configs" / "tour.ipynb"


def cells(kind):
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def test_it_holds_no_outputs_and_calls_what_there_is():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells("code"))
    nodes = [node for cell in cells("code") for node in ast.walk(ast.parse("".join(cell["source"])))]
    called = {node.attr for node in nodes if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "fer"}
    assert {"prepare", "train", "evaluate", "export_onnx", "Predictor"} <= called <= set(expressnet_jax.__all__)
    assert NOTEBOOK.stat().st_size < 20_000


def test_it_runs(monkeypatch, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    for name, value in {"TOUR_IMAGES": "64", "TOUR_EPOCHS": "1", "TMPDIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=str(tmp_path))
    printed = "".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.get("name") == "stdout"
    )
    assert "{'train': 64, 'validation': 16, 'test': 16}" in printed
    assert "balanced" in printed and "largest difference" in printed and "of 14 as they were generated" in printed
