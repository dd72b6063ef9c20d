"""From the start of a process to its first training step, with and without the compile cache."""

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from expressnet_jax.environment import machine

_FIRST_STEP = """
from expressnet_jax.cpu import tune_cpu
tune_cpu()
from expressnet_jax.bench.step import Step
Step({name!r}, size={size}, batch_size={batch_size})(1)
"""


def bench_start(name: str, *, size: int = 48, batch_size: int = 128, rounds: int = 3) -> dict[str, Any]:
    """Return the seconds of whole processes, the median of `rounds`: each imports, compiles one training step, runs it,
    ends.

    `cached` finds the compiled programs of the process before it in JAX's compilation cache. `help` is
    `expressnet --help`, which must import nothing that it does not need; `import` is JAX and the training rooms alone.
    """
    with tempfile.TemporaryDirectory() as cache:
        code = _FIRST_STEP.format(name=name, size=size, batch_size=batch_size)
        cached = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        _seconds(["-c", code], cached)
        processes = {
            "help": (["-m", "expressnet_jax.cli", "--help"], {}),
            "import": (["-c", code.splitlines()[3]], {}),
            "first_step": (["-c", code], {}),
            "first_step_cached": (["-c", code], cached),
        }
        seconds = {
            title: float(np.median([_seconds(arguments, settings) for _ in range(rounds)]))
            for title, (arguments, settings) in processes.items()
        }
    return {"network": name, "size": size, "batch_size": batch_size, "machine": machine(), "seconds": seconds}


def _seconds(arguments: list[str], settings: dict[str, str]) -> float:
    ours = ("JAX_COMPILATION_CACHE_DIR", "GLIBC_TUNABLES", "XLA_FLAGS", "EXPRESSNET_TUNE")  # each sets up for itself
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], env=environment | settings, check=True, stdout=subprocess.DEVNULL, cwd=os.getcwd()
    )
    return time.perf_counter() - start
