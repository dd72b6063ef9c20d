"""Where compiled programs are kept, and that a second process finds them there."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from expressnet_jax import compile_cache

PROGRAM = """
from expressnet_jax.compile_cache import enable_compilation_cache
enable_compilation_cache()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
seen = []
jax.monitoring.register_event_listener(lambda event, **_: seen.append(event))
print(float(jax.jit(lambda x: (x * 2).sum())(jax.numpy.arange(4.0))))
print(sum(event.endswith("cache_hits") for event in seen))
"""


def run(environment):
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    value, hits = done.stdout.split()
    return float(value), int(hits)


@pytest.fixture
def environment(tmp_path):
    ours = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "XLA_FLAGS")
    return {key: value for key, value in os.environ.items() if key not in ours} | {"XDG_CACHE_HOME": str(tmp_path)}


def test_the_second_process_compiles_nothing(environment, tmp_path):
    assert run(environment) == (12.0, 0)
    assert any((tmp_path / "expressnet_jax" / "compiled").iterdir())
    value, hits = run(environment)
    assert value == 12.0 and hits > 0


def test_the_users_own_folder_is_taken_and_the_switch_obeyed(environment, tmp_path):
    run(environment | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "mine")})
    assert (tmp_path / "mine").is_dir() and not (tmp_path / "expressnet_jax").exists()
    run(environment | {"JAX_ENABLE_COMPILATION_CACHE": "false"})
    assert not (tmp_path / "expressnet_jax").exists()


def test_a_folder_that_can_not_be_written_is_no_obstacle(environment, tmp_path):
    (tmp_path / "file").write_text("")
    assert run(environment | {"XDG_CACHE_HOME": str(tmp_path / "file")}) == (12.0, 0)


@pytest.mark.parametrize("seen", [True, False])
def test_several_processes_share_the_folder_or_keep_nothing(seen, tmp_path, monkeypatch):
    settings = {}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(jax.config, "update", settings.__setitem__)
    other = lambda value: seen if value is True else value
    monkeypatch.setattr(compile_cache, "all_gather", lambda value: np.array([value, other(value)]))
    compile_cache.enable_compilation_cache()
    folder = tmp_path / "expressnet_jax" / "compiled"
    assert settings.get("jax_compilation_cache_dir") == (str(folder) if seen else None)
    assert list(folder.iterdir()) == []
