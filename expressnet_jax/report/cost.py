"""Section `cost`: the size of a model, and what one face costs on one thread in a process that does nothing else.

Seconds and bytes of memory are measured, so they differ from run to run: they go into measured.json, all else into
report.json. Run as `python -m expressnet_jax.report.cost MODEL` it measures and prints JSON.
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expressnet_jax.errors import UserError, one_line

if TYPE_CHECKING:
    from expressnet_jax.report.context import Context

KEYS = (
    "kind",
    "network",
    "parameters",
    "bytes",
    "dimensions",
    "step",
    "trained_on",
    "license",
    "temperature",
    "mirror",
)
WARM_UP, CALLS, BLOCKS = 5, 20, 7


def cost_section(context: "Context") -> dict[str, Any]:
    """Return what the model is and how large; what is measured comes from `measure_cost`."""
    facts = {key: context.subject.facts[key] for key in KEYS if key in context.subject.facts}
    return facts | {"classes": list(context.subject.classes), "image_shape": list(context.subject.image_shape)}


def measure_cost(model: str) -> dict[str, Any] | None:
    """Return milliseconds a face and MiB of memory of a model in a fresh process; None of a baseline, which is fitted.

    Raises:
      UserError: the process failed; with the last line of what it said.
    """
    if "+" in model:
        return None
    command = [sys.executable, "-m", "expressnet_jax.report.cost", model]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise UserError(f"--model {model}: its cost can't be measured ({one_line(ran.stderr[-300:])})")
    return json.loads(ran.stdout.splitlines()[-1])


def peak_mib() -> float:
    """Return the largest resident memory that this process has had, in MiB.

    Linux's own count starts with the program; that of getrusage includes what the calling process had.
    """
    import resource

    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main(model: str) -> None:
    """Time single faces on one core: the median over blocks of the mean of their calls, quartiles of the blocks."""
    if hasattr(os, "sched_setaffinity"):  # before a library counts the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import numpy as np

    before, (predict, shape) = peak_mib(), _predictor(model)
    face = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    for _ in range(WARM_UP):
        np.asarray(predict(face))
    blocks = []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(CALLS):
            np.asarray(predict(face))  # JAX answers before it is done
        blocks.append(1000 * (time.perf_counter() - start) / CALLS)
    low, middle, high = statistics.quantiles(blocks, n=4)
    found = {"milliseconds": middle, "quartiles": [low, high], "peak_mib": peak_mib(), "before_mib": before}
    print(json.dumps(found))


def _predictor(model: str) -> tuple[Callable[[Any], Any], tuple[int, ...]]:
    """Return a predict function and the shape of its images; an ONNX file's without JAX, which would count as its
    memory."""
    from expressnet_jax.inference.model_files import training_run
    from expressnet_jax.inference.predictor import load_model

    if not training_run(Path(model)):
        predictor = load_model(model, threads=1)
        return predictor, predictor.image_shape
    from expressnet_jax.report.subject import load_subject

    subject = load_subject(model)
    return subject.predict, subject.image_shape


if __name__ == "__main__":
    main(sys.argv[1])
