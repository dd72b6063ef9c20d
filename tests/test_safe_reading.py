"""What a stranger gives away is data: nothing that is read here can run code."""

import ast
from pathlib import Path

import numpy as np
import pytest

import expressnet_jax
from expressnet_jax.data.prepared import Columns
from expressnet_jax.errors import UserError

FILES = sorted(Path(expressnet_jax.__file__).parent.rglob("*.py"))
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
CALLS = {"eval", "exec", "compile", "extractall", "unsafe_load", "full_load"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FILES[0].parent)))
def test_no_module_unpickles_evaluates_or_unpacks(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not MODULES & {name.split(".")[0] for name in names}
        if isinstance(node, ast.Call):
            assert getattr(node.func, "id", "") not in CALLS
            assert getattr(node.func, "attr", "") not in CALLS - {"compile"}  # a lowered JAX function compiles
            assert not any(each.arg == "allow_pickle" and each.value.value for each in node.keywords)


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
