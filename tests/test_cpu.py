"""The process starts itself again once, with its arguments, however it was launched."""

import json
import math
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from expressnet_jax import cpu
from expressnet_jax.cpu import accelerator_present, cpu_settings, tune_cpu, xla_flag_known

PROGRAM = """
import json
import math
import os
import sys

from expressnet_jax.cpu import tune_cpu

started = int(os.environ.get("STARTED", "0")) + 1
os.environ["STARTED"] = str(started)
tune_cpu()
seen = {name: os.environ.get(name) for name in ("XLA_FLAGS", "GLIBC_TUNABLES", "EXPRESSNET_TUNE")}
print(json.dumps({"started": started, "argv": sys.argv[1:], **seen}))
sys.exit(7)
"""


@pytest.fixture
def plain(monkeypatch):
    """A process without JAX and without any setting of ours."""
    for name in ("EXPRESSNET_TUNE", "JAX_PLATFORMS", "XLA_FLAGS", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cpu, "glob", type("", (), {"glob": staticmethod(lambda pattern: [])}))
    monkeypatch.delitem(sys.modules, "jax")
    executed = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: executed.append((program, arguments)))
    return executed


@pytest.mark.parametrize(
    ("jaxlib", "known"),
    [("0.9.2", False), ("0.10.0", True), ("0.12.1", True), ("0.13.0", False), ("1.11.0", False), ("0.11.0rc1", True)],
)
def test_a_flag_that_ends_the_process_is_set_for_known_releases_only(jaxlib, known):
    assert xla_flag_known(jaxlib) is known
    assert ("XLA_FLAGS" in cpu_settings({}, jaxlib)) is known


def test_a_version_that_is_no_release_is_unknown():
    assert not xla_flag_known("0.12rc1") and not xla_flag_known("main")


def test_what_the_user_has_set_stays():
    mine = {"XLA_FLAGS": "--xla_dump_to=/x", "GLIBC_TUNABLES": "glibc.malloc.check=1"}
    changes = cpu_settings(mine, "0.10.2")
    assert changes["XLA_FLAGS"].split()[0] == "--xla_dump_to=/x" and "ynn_fusion" in changes["XLA_FLAGS"]
    assert "GLIBC_TUNABLES" not in changes
    assert cpu_settings(mine | changes, "0.10.2") == {}


@pytest.mark.parametrize(("platforms", "present"), [("cpu", False), ("cuda", True), ("tpu,cpu", True)])
def test_jax_platforms_decides(monkeypatch, platforms, present):
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert accelerator_present() is present


def test_it_starts_again_with_the_interpreter_and_its_options(plain, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "-m", "module", "--flag", "a b"])
    tune_cpu()
    assert plain == [(sys.executable, [sys.executable, "-X", "dev", "-m", "module", "--flag", "a b"])]
    assert os.environ["EXPRESSNET_TUNE"] == "done"


@pytest.mark.parametrize(
    "name_and_value",
    [("EXPRESSNET_TUNE", "0"), ("EXPRESSNET_TUNE", "done"), ("EXPRESSNET_TUNE", ""), ("JAX_PLATFORMS", "cuda")],
)
def test_it_does_not_where_it_is_not_wanted_or_not_needed(plain, monkeypatch, name_and_value):
    monkeypatch.setenv(*name_and_value)
    tune_cpu()
    assert plain == []


def test_it_does_not_when_jax_runs_already(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", object())
    tune_cpu()
    assert plain == []


def test_it_does_not_when_nobody_knows_the_interpreter(plain, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    tune_cpu()
    assert plain == []


def launched(arguments, folder, **changes):
    hidden = ("EXPRESSNET_TUNE", "XLA_FLAGS", "GLIBC_TUNABLES", "STARTED")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"JAX_PLATFORMS": "cpu"} | changes
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    script = tmp_path / "script"
    script.write_text(f"#!{sys.executable}\n{PROGRAM}")
    script.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("how", ["file", "module", "script", "command"])
def test_arguments_and_exit_status_come_through(program, how):
    start = {
        "file": [sys.executable, "program.py"],
        "module": [sys.executable, "-m", "program"],
        "script": [str(program / "script")],
        "command": [sys.executable, "-c", PROGRAM],
    }[how]
    status, seen = launched([*start, "a b", "--config.x='y'", "*"], program)
    assert status == 7 and seen["argv"] == ["a b", "--config.x='y'", "*"]
    assert seen["started"] == 2 and seen["EXPRESSNET_TUNE"] == "done"
    if sys.platform == "linux":
        assert "glibc.malloc.hugetlb=1" in seen["GLIBC_TUNABLES"]


def test_switched_off_nothing_is_started_or_set(program):
    status, seen = launched([sys.executable, "program.py"], program, EXPRESSNET_TUNE="0")
    assert status == 7 and seen["started"] == 1 and seen["XLA_FLAGS"] is None and seen["GLIBC_TUNABLES"] is None


def test_the_installed_command_starts_again_and_comes_through(tmp_path):
    """The console script, as pip writes it: an unknown model's line proves that its arguments arrived."""
    command = Path(sysconfig.get_path("scripts")) / "expressnet"
    if not command.exists():
        pytest.skip("not installed as a command")
    environment = {name: value for name, value in os.environ.items() if name not in ("EXPRESSNET_TUNE", "XLA_FLAGS")}
    done = subprocess.run([command, "models", "vgg"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: model.name: no model 'vgg'; one of")


@pytest.mark.parametrize(("granted", "told"), [(math.inf, None), (1.5, "2")])
def test_xla_is_told_of_a_container_s_quota(monkeypatch, granted, told):
    monkeypatch.setattr(cpu, "granted_cores", lambda: granted)
    monkeypatch.setattr(cpu, "available_cores", lambda: 2)
    assert cpu_settings({}, "0.10.2").get("PJRT_NPROC") == told
    assert "PJRT_NPROC" not in cpu_settings({"PJRT_NPROC": "7"}, "0.10.2")
