"""What a wheel and a source archive hold, by the build backend's own list, against what git has."""

import subprocess
import tomllib
from pathlib import Path

import pytest

import expressnet_jax

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git here: the files are those of an archive")
    return set(filter(None, listed.stdout.split("\0")))


def included(kind):
    module = pytest.importorskip(f"hatchling.builders.{kind}")
    builder = {"wheel": "WheelBuilder", "sdist": "SdistBuilder"}[kind]
    return {file.distribution_path for file in getattr(module, builder)(str(ROOT)).recurse_included_files()}


def test_a_wheel_holds_the_package_and_nothing_else():
    files = {name for name in tracked() if name.startswith("expressnet_jax/") and not name.endswith("/README.md")}
    assert included("wheel") >= files
    assert {"expressnet_jax/py.typed", "expressnet_jax/__init__.pyi", "expressnet_jax/web/page/index.html"} <= files
    assert all(name.startswith("expressnet_jax/") for name in included("wheel"))


def test_a_source_archive_holds_what_its_tests_need():
    wanted = {name for name in tracked() if name.split("/")[0] in ("expressnet_jax", "configs", "launch", "tests")}
    assert included("sdist") >= wanted | {"CONTRIBUTING.md"}  # and always pyproject.toml, README.md and LICENSE


def test_what_the_index_shows_is_true():
    pythons = {each.rpartition(" ")[2] for each in PROJECT["classifiers"] if ":: Python :: 3." in each}
    assert PROJECT["requires-python"] == f">={min(pythons, key=lambda version: int(version.split('.')[1]))}"
    assert "Typing :: Typed" in PROJECT["classifiers"] and (ROOT / "expressnet_jax" / "py.typed").is_file()
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])
    assert PROJECT["dynamic"] == ["version"] and expressnet_jax.__version__.count(".") == 2
