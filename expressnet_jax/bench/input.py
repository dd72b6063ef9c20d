"""How near the input pipeline comes to the bare copy that it can't do without.

Shapes: B batch, N examples.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import grain.python as grain
import numpy as np

from expressnet_jax.data.pipeline import DispatchSource, PicturesInMemory
from expressnet_jax.data.sampling import Uniform


def bench_input(num_examples: int = 30_000, size: int = 48, channels: int = 1, batch_size: int = 256) -> dict[str, Any]:
    """Images a second of the host-memory source through grain, and of a bare NumPy gather of the same batches.

    The two take turns, so that a change of the machine's speed meets both; the ratio is that of their medians.
    """
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (num_examples, size, size, channels), np.uint8)
    labels = rng.integers(0, 7, num_examples).astype(np.int32)
    sampler = Uniform(num_examples, batch_size)
    steps, rounds = max(num_examples // batch_size, 1), 7
    source = DispatchSource(sampler, labels, None, PicturesInMemory(pictures), steps * rounds)

    piped = iter(grain.MapDataset.source(source).to_iter_dataset(grain.ReadOptions(num_threads=2)))
    bare = (pictures[sampler.indices(step)] for step in range(steps * rounds))
    next(piped), next(bare)
    speeds = {"pipeline": [], "gather": []}
    for _ in range(rounds - 1):
        speeds["pipeline"].append(_speed(piped, steps, batch_size))
        speeds["gather"].append(_speed(bare, steps, batch_size))
    medians = {name: float(np.median(values)) for name, values in speeds.items()}
    return {
        "pictures": [num_examples, size, size, channels],
        "batch_size": batch_size,
        "images_per_second": medians,
        "ratio": medians["pipeline"] / medians["gather"],
        "ratios": [p / g for p, g in zip(speeds["pipeline"], speeds["gather"], strict=True)],
    }


def _speed(batches: Iterator, steps: int, batch_size: int, clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    for _ in islice(batches, steps):
        pass
    return steps * batch_size / (clock() - start)
