"""What a stranger gives away is data: nothing that is read here can run code."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import expressnet_jax
from expressnet_jax.data.prepared import Columns
from expressnet_jax.errors import UserError

ROOT = Path(expressnet_jax.__file__).parents[1]


def test_no_module_allows_pickles_compiles_text_or_unpacks():
    """What ruff has no rule for."""
    for path in (ROOT / "expressnet_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") not in ("compile", "__import__"), path
                assert getattr(node.func, "attr", "") not in ("extractall", "unsafe_load", "full_load"), path
                assert not any(each.arg == "allow_pickle" and each.value.value for each in node.keywords), path


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import pickle", "TID251"),
        ("from joblib import load", "TID251"),
        ("eval(text)", "S307"),
        ("exec(text)", "S102"),
        ("yaml.load(text)", "S506"),
        ("subprocess.run(text, shell=True)", "S602"),
    ],
)
def test_ruff_refuses_code_that_unpickles_or_evaluates(line, rule):
    source = f"import subprocess\nimport yaml\nfrom elsewhere import text\n\n{line}\n"
    name = str(ROOT / "expressnet_jax" / "sample.py")
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--output-format=concise",
        f"--stdin-filename={name}",
    ]
    ran = subprocess.run([*command, "-"], input=source, capture_output=True, text=True, cwd=ROOT, check=False)
    assert f" {rule} " in ran.stdout, ran.stderr


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_an_index_that_hides_a_program_is_refused_and_does_not_run(tmp_path):
    np.savez(tmp_path / "index.npz", label=np.arange(2), key=np.array([Trap(tmp_path / "ran")] * 2, object))
    columns = Columns(tmp_path / "index.npz")
    np.testing.assert_array_equal(columns["label"], [0, 1])
    with pytest.raises(UserError, match=r"index\.npz is damaged"):
        columns["key"]
    assert not (tmp_path / "ran").exists()
    np.load(tmp_path / "index.npz", allow_pickle=True)["key"]  # it was a trap indeed
    assert (tmp_path / "ran").exists()
