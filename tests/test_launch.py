"""The launch scripts say what they would do, and do nothing then."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))


@pytest.fixture
def clone(tmp_path):
    """What a fresh clone has beside the package, under a path with a space in it."""
    folder = tmp_path / "a clone"
    shutil.copytree(ROOT / "launch", folder / "launch")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(script, *arguments, cwd, **changes):
    environment = os.environ | {"PYTHON": sys.executable} | changes
    line = ["bash", str(script), *arguments]
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_it_is_a_script_that_stops_at_the_first_error(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and lines[1].startswith("# ")
    assert "set -euo pipefail" in lines and os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True).returncode == 0


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_shellcheck_finds_nothing(path):
    done = subprocess.run(["shellcheck", "--external-sources", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(clone, tmp_path, path):
    before = sorted(clone.rglob("*"))
    done = run(clone / "launch" / path.name, cwd=tmp_path, DRY_RUN="1")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines and all(line.startswith("would run: ") for line in lines)
    assert f"would run: {sys.executable} -m venv .venv" in lines
    assert sorted(clone.rglob("*")) == before


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_configs_that_it_names_exist(path):
    for word in path.read_text().split():
        if word.startswith("configs/"):
            assert (ROOT / word).is_file()


def test_the_quickstart_hands_on_workdir_and_arguments(clone, tmp_path):
    arguments = ("--config.train.epochs=1", "--config.export=")
    done = run(clone / "launch/quickstart.sh", *arguments, cwd=tmp_path, DRY_RUN="1", WORKDIR="runs/mine")
    last = done.stdout.splitlines()[-1]
    assert last.endswith("--config configs/quickstart.py --workdir runs/mine --config.train.epochs=1 --config.export=")


def test_the_tests_hand_on_arguments(clone, tmp_path):
    done = run(clone / "launch/test.sh", "-k", "labels", cwd=tmp_path, DRY_RUN="1")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("would run: .venv/bin/python -m pytest -n ") and last.endswith(" -k labels")


def test_setting_up_twice_installs_once_for_each_set_of_extras(clone, tmp_path):
    """With a Python that only notes what it is asked to do."""
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/usr/bin/env bash\necho "$*" >> {tmp_path}/asked\n[ "$1" = --version ] && echo "Python 3.11.9"\n'
        f'if [ "$2" = venv ]; then mkdir -p .venv/bin && cp {tmp_path}/python .venv/bin/python; fi\nexit 0\n'
    )
    fake.chmod(0o755)
    installs = lambda: [line for line in (tmp_path / "asked").read_text().splitlines() if "pip install" in line]
    for extras in ("onnx", "onnx", "test", "onnx", "test"):
        done = run(clone / "launch/setup.sh", extras, cwd=tmp_path, PYTHON=str(fake))
        assert done.returncode == 0, done.stderr
    assert [line.rsplit(" ", 1)[1] for line in installs()] == [".[onnx]", ".[test]"]
    (clone / "pyproject.toml").write_text((clone / "pyproject.toml").read_text() + "# changed\n")
    run(clone / "launch/setup.sh", "onnx", cwd=tmp_path, PYTHON=str(fake))
    assert len(installs()) == 3


def test_an_installation_that_failed_is_tried_again(clone, tmp_path):
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/usr/bin/env bash\n[ "$1" = --version ] && echo "Python 3.11.9"\n'
        f'if [ "$2" = venv ]; then mkdir -p .venv/bin && cp {tmp_path}/python .venv/bin/python; fi\n[ "$2" != pip ]\n'
    )
    fake.chmod(0o755)
    for _ in range(2):
        assert run(clone / "launch/setup.sh", "onnx", cwd=tmp_path, PYTHON=str(fake)).returncode == 1
    assert not list((clone / ".venv").glob("installed*"))


def test_an_old_python_is_refused_in_one_line(clone, tmp_path):
    old = tmp_path / "python"
    old.write_text('#!/usr/bin/env bash\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    done = run(clone / "launch/quickstart.sh", cwd=tmp_path, PYTHON=str(old))
    assert done.returncode == 2
    assert done.stderr == "error: Python 3.9.2 is too old; set PYTHON to a Python 3.11 or newer\n"


def test_a_python_that_is_not_there_is_refused_in_one_line(clone, tmp_path):
    done = run(clone / "launch/quickstart.sh", cwd=tmp_path, PYTHON="/nothing/python3")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "set PYTHON" in done.stderr
