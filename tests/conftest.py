"""Four CPU devices and quick compilation for every test, before JAX starts, and a small split that lies in memory.

Most of what the tests cost is compiling, and without LLVM's optimizations that is two to three times as fast; that the
numbers are rounded in another way is one more thing they have to bear. JAX_DISABLE_MOST_OPTIMIZATIONS=0 has them back.
"""

import compileall
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
# Compiled programs go into one folder for the session, which xdist's workers and all child processes inherit; so
# nothing is kept in the user's folder either. It pays: operations that run without jit are the same in many files.
if "TESTS_COMPILED" not in os.environ:
    os.environ["TESTS_COMPILED"] = tempfile.mkdtemp(prefix="expressnet-compiled-")
    # With PYTHONDONTWRITEBYTECODE, each of the processes that tests start would compile the package's sources.
    compileall.compile_dir(Path(__file__).parents[1] / "expressnet_jax", quiet=2)
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["TESTS_COMPILED"]
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # as the commands have it, before a test opens the first video
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# A convolution in products takes twice as long to trace and to compile; test_convolution.py compares it with this form.
os.environ.setdefault("EXPRESSNET_TUNE", "0")
# The old way to fuse loops compiles in half the time, and a program in one piece in three quarters of the processor's:
# the workers keep the other cores busy. A flag that XLA does not know ends the process; this one knows both.
os.environ["QUICK_XLA_FLAGS"] = (
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    if version("jaxlib").startswith("0.10.")
    else ""
)
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    wanted = (
        os.environ.get("XLA_FLAGS", ""),
        os.environ["QUICK_XLA_FLAGS"],
        "--xla_force_host_platform_device_count=4",
    )
    os.environ["XLA_FLAGS"] = " ".join(filter(None, wanted))

import gc
import shutil
import signal
from dataclasses import dataclass, field

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from expressnet_jax.data.decode import encode_png
from expressnet_jax.data.labels import BASIC
from tiers import ORDER, skipped_line, tier_of


def pytest_configure(config):
    """What a script starts in the background ignores Ctrl-C, and so would all that is started here to hear it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.option.loadscopereorder = False  # xdist's `--dist loadfile` would begin with the files of most tests


def pytest_collection_finish():
    """Leave what the imports made out of garbage collection, which tracing otherwise starts thousands of times."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_unconfigure(config):
    """Remove the compiled programs, in the process that has made their folder."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["TESTS_COMPILED"], ignore_errors=True)


def pytest_collection_modifyitems(items):
    """Mark every test with the tier of its file, so that `-m fast` and the like choose among them.

    Several workers begin with the files that take longest: one of those at the end would leave the others idle.
    """
    for item in items:
        item.add_marker(tier_of(item.path.stem))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: ORDER.index(tier_of(item.path.stem)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    """Print as the last line which missing packages tests were skipped for."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reasons = [report.longrepr[2] for report in reporter.stats.get("skipped", ())] if reporter else []
    if line := skipped_line([reason for reason in reasons if isinstance(reason, str)]):
        reporter.write_line(line)


LARGEST = 2 * 2**30  # bytes that a process may hold before it forgets what it has compiled


def resident_bytes() -> float:
    """Return how much memory this process holds; infinity where the system has no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return float("inf")


@dataclass(frozen=True)
class ArraySplit:
    """What `data.prepared.Split` offers, over arrays: images uint8[N,H,W,C], labels int32[N]."""

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    subjects: np.ndarray | None = None
    votes: np.ndarray | None = None
    classes: tuple[str, ...] = BASIC
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    targets: dict = field(default_factory=dict)

    @property
    def keys(self):
        return np.array([f"row {i}" for i in self.indices])

    def __len__(self):
        return len(self.indices)

    def encoded(self, i):
        return encode_png(self.images[i])

    def encoded_batch(self, positions):
        return [self.encoded(i) for i in positions]

    def subset(self, indices):
        indices = np.asarray(indices, np.int64)
        part = lambda column: None if column is None else column[indices]
        columns = (self.images, self.labels, self.indices, self.subjects, self.votes)
        return ArraySplit(*map(part, columns), self.classes, {name: part(each) for name, each in self.columns.items()})


@pytest.fixture(scope="module", autouse=True)
def same_compiler():
    """A module that leaves other settings behind makes every later one compile in another way, and twice as long."""
    before = jax.config.values["jax_disable_most_optimizations"]
    yield
    assert jax.config.values["jax_disable_most_optimizations"] == before


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """A process that keeps what every module has compiled grows by gigabytes."""
    yield
    if resident_bytes() > LARGEST:
        jax.clear_caches()


@pytest.fixture(scope="session")
def array_split():
    """(N, side, channels) -> a split of noise, with N / 2 subjects and with votes."""

    def make(examples, size=12, channels=1, seed=0):
        rng = np.random.default_rng(seed)
        return ArraySplit(
            rng.integers(0, 256, (examples, size, size, channels), np.uint8),
            rng.integers(0, len(BASIC), examples).astype(np.int32),
            np.arange(examples),
            np.array([f"person {i}" for i in rng.integers(0, max(examples // 2, 1), examples)]),
            rng.dirichlet(np.ones(len(BASIC)), examples).astype(np.float32),
        )

    return make


@pytest.fixture(scope="session")
def mesh_of():
    """(devices, model) -> a mesh over the first devices, `model` of them side by side."""

    def make(devices, model=1):
        shape = (devices // model, model)
        auto = (AxisType.Auto, AxisType.Auto)
        return jax.make_mesh(shape, ("data", "model"), axis_types=auto, devices=jax.devices()[:devices])

    return make
