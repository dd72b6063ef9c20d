"""The architecture: who may import whom, what comes along with an import, and no cycles."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import expressnet_jax

ROOT = Path(expressnet_jax.__file__).parent
# Each package imports only from floors below its own and from itself; modules that are not named are on floor 0.
FLOORS = (
    {"models", "data", "accelerators"},
    {"evaluation", "runtime"},
    {"training"},
    {"adaptation", "inference", "export", "baselines"},
    {"web", "finetune", "report", "folds", "tasks"},
    {"bench", "sweeps"},
    {"cli", "main", "api"},
)
MODULES_WITH_A_FLOOR = {"tasks", "cli", "main", "api"}  # all others that have one are packages


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(modules):
    """Return {module: the modules of this package that it imports}, also inside functions and for annotations."""
    graph = {}
    for name, path in modules.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: a relative import"
                submodules = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= (submodules & set(modules)) or {node.module}
        graph[name] = {each for each in found if each in modules} - {name}
    return graph


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
GRAPH = read_imports(MODULES)


def floor(module):
    package = module.split(".")[1] if "." in module else ""
    return next((number for number, names in enumerate(FLOORS, start=1) if package in names), 0)


def upward_imports(graph):
    """Return the imports that do not go downwards or stay within the package."""
    package = lambda module: module.split(".")[1:2]
    return {
        (module, imported)
        for module, found in graph.items()
        for imported in found
        if floor(imported) and floor(imported) >= floor(module) and package(module) != package(imported)
    }


def cycles(graph):
    """Return the sets of modules that reach each other (strongly connected components of more than one)."""

    def reach(start):
        seen, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reached = {module: reach(module) for module in graph}
    loops = {frozenset(other for other in found if module in reached[other]) for module, found in reached.items()}
    return sorted(sorted(loop) for loop in loops if loop)


def test_packages_import_only_from_lower_floors():
    assert upward_imports(GRAPH) == set()


def test_every_package_has_a_floor():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert packages == {name for names in FLOORS for name in names} - MODULES_WITH_A_FLOOR


def test_no_module_imports_itself_in_a_circle():
    assert cycles(GRAPH) == []


def test_the_checks_see_what_they_forbid():
    graph = {"p.data.a": {"p.training.b"}, "p.training.b": {"p.data.c"}, "p.data.c": {"p.data.a"}, "p.errors": set()}
    assert upward_imports(graph) == {("p.data.a", "p.training.b")}
    assert cycles(graph) == [["p.data.a", "p.data.c", "p.training.b"]]
    assert "expressnet_jax.inference.detection" in GRAPH["expressnet_jax.inference.detector"]
    assert "expressnet_jax.inference.centerface" in GRAPH["expressnet_jax.inference.detector"]  # inside a function


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        (
            "inference.predictor",
            {"jax", "flax", "optax", "orbax", "tensorflow_datasets", "tensorflow", "grain", "array_record"},
        ),
        ("training.step", {"tensorflow_datasets", "tensorflow", "grain", "cv2", "array_record"}),
        ("models.registry", {"tensorflow_datasets", "tensorflow", "grain", "cv2", "array_record", "orbax"}),
        ("cli", {"jax", "flax", "tensorflow_datasets", "cv2", "grain", "numpy"}),
    ],
)
def test_an_import_brings_only_what_it_needs(module, heavy):
    code = f"import sys, expressnet_jax.{module}; print(sorted({heavy!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr
