"""The tiny data set and a straight run on it, made once for all tests: a plugin of the modules that need them."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from expressnet_jax.config import default, set_key
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.data.store import load
from runs import CONFIG, SETTINGS, Run, one_device, write_images


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    """Where `tiny` is prepared: 60 training, 21 validation and 9 test images of three emotions."""
    folder = tmp_path_factory.mktemp("data")
    images = write_images(folder / "images", {"train": 20, "validation": 7, "test": 3})
    prepare("folder", images, folder / "prepared", name="tiny")
    return folder / "prepared"


@pytest.fixture(scope="session")
def tiny(data_dir) -> Prepared:
    return load("tiny", data_dir)


@pytest.fixture(scope="session")
def tiny_config(data_dir):
    """(section__key=value, ...) -> the config of the runs here, with changes."""

    def make(**changes):
        config = default()
        changes = {name.replace("__", "."): value for name, value in changes.items()}
        for key, value in (SETTINGS | {"data.dir": str(data_dir)} | changes).items():
            set_key(config, key, value)
        return config

    return make


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """One CPU device, nothing to start twice for, and the session's folder of compiled programs."""
    return one_device(Path(os.environ["JAX_COMPILATION_CACHE_DIR"]))


@pytest.fixture(scope="session")
def start(tmp_path_factory, data_dir, environment):
    """(workdir, overrides such as "seed=1", devices, more variables) -> a Run."""
    config = tmp_path_factory.mktemp("config") / "tiny.py"
    config.write_text(CONFIG.format(settings=SETTINGS | {"data.dir": str(data_dir)}))

    def run(workdir: Path, *overrides: str, devices: int = 1, more: Mapping[str, str] = MappingProxyType({})) -> Run:
        flags = f"{environment['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}".strip()
        return Run(config, workdir, environment | {"XLA_FLAGS": flags} | dict(more), *overrides)

    return run


@pytest.fixture(scope="session")
def straight(tmp_path_factory, start) -> Run:
    """A run from beginning to end; `out` and `err` are what it printed."""
    run = start(tmp_path_factory.mktemp("straight") / "run")
    run.out, run.err = run.finish()
    return run
