"""The whole training loop against its own bare step, and where its time goes."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from expressnet_jax.bench.interleaved import compare, interleave
from expressnet_jax.environment import machine, peak_memory
from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.manager import Checkpoints
from expressnet_jax.training.checkpoints.reading import describe
from expressnet_jax.training.classification import build_experiment
from expressnet_jax.training.loop import set_up
from expressnet_jax.training.network import image_shape
from expressnet_jax.training.state import init_state
from expressnet_jax.training.step import make_multi_step


def bench_train(config: ConfigDict, *, rounds: int = 4, block_seconds: float = 6.0) -> dict[str, Any]:
    """Return the images a second with the config's own input, in turns with the same step on one batch that already
    lies there.

    Then the parts of a dispatch with a halt after each: waiting for input (decoding, gathering and the way to the
    device, prefetched behind the computation), computing, and what a checkpoint takes: how long it holds the loop up,
    when it is written, and which share of a minute the concurrent steps and itself need more than steps alone.
    """
    mesh, experiment = set_up(config, build_experiment)
    plan, program = experiment.plan, experiment.program
    loader, _ = experiment.make_loaders()
    state = init_state(
        program.init_fn, program.optimizer, mesh, ema=config.optimizer.ema > 0, pretrained=program.pretrained
    )
    loop = _Loop(make_multi_step(program.phases[-1][1]), state, loader)
    images = plan.steps_per_call * config.train.batch_size
    count = min(max(round(block_seconds / (loop.bare(2) / 2)), 1), loop.longest)
    blocks: dict[str, Callable[[], float]] = {
        "loop": lambda: count * images / loop.fed(count),
        "bare step": lambda: count * images / loop.bare(count),
    }
    speeds = interleave(blocks, rounds)
    return {
        "network": config.model.name,
        "data": config.data.name,
        "reader": "device" if loader.table is not None else type(loader.source.read_images).__name__,
        "batch_size": config.train.batch_size,
        "steps_per_call": plan.steps_per_call,
        "machine": machine(),
        "images_per_second": {name: float(np.median(values)) for name, values in speeds.items()},
        "loop_to_bare": compare(speeds["loop"], speeds["bare step"]),
        **loop.parts(count),
        "to_device_ms": loop.to_device_ms(count),
        "peak_memory_mib": peak_memory() / 2**20,
        **loop.saving(describe(config.to_dict(), experiment.classes, image_shape(config)), count, rounds),
    }


class _Loop:
    """A training that is run in blocks, fed or on the batch it began with.

    Attributes:
      longest: the dispatches that can be fed in a block, behind the one that is waited for.
    """

    def __init__(self, dispatch, state, loader):
        self.longest = loader.source.num_steps // loader.source.steps_per_call - 1  # the last one may be shorter
        if self.longest < 1:
            raise UserError("--data: too few examples, they make one dispatch; give a larger data set")
        self.dispatch, self.state, self.table = dispatch, state, loader.table
        self.loader = lambda: iter(loader.start(0))
        self.host_batches = (loader.source[i] for i in range(len(loader.source)))
        self.batch = next(self.loader())
        self.bare(1)

    def bare(self, count: int) -> float:
        """Return the seconds of so many dispatches on one batch."""
        return self._run([self.batch] * count)

    def fed(self, count: int) -> float:
        """Return the seconds of so many dispatches on batches as they come, once the first is there."""
        batches = self.loader()
        self._run([next(batches)])
        return self._run(islice(batches, count))

    def parts(self, count: int) -> dict[str, float]:
        """Return shares of the time with a halt after every part, and milliseconds of each."""
        batches = self.loader()
        self._run([next(batches)])
        spent = {"input_wait": 0.0, "compute": 0.0}
        for _ in range(count):
            start = time.perf_counter()
            batch = jax.block_until_ready(next(batches, self.batch))
            ready = time.perf_counter()
            self._run([batch])
            spent["input_wait"] += ready - start
            spent["compute"] += time.perf_counter() - ready
        whole = sum(spent.values())
        return {f"{name}_ms": 1000 * seconds / count for name, seconds in spent.items()} | {
            "input_wait_share": spent["input_wait"] / whole
        }

    def to_device_ms(self, count: int) -> float:
        """Return the milliseconds for the way of one dispatch's batches from host memory to the devices, nothing
        else."""
        sharding, seconds = self.batch["index"].sharding, []
        for batch in islice(self.host_batches, count):
            start = time.perf_counter()
            jax.block_until_ready(jax.tree.map(partial(jax.make_array_from_process_local_data, sharding), batch))
            seconds.append(time.perf_counter() - start)
        return 1000 * float(np.median(seconds))

    def saving(self, metadata: dict[str, Any], count: int, rounds: int) -> dict[str, float]:
        """Return the milliseconds for which a checkpoint holds the loop up, until it is on the disk, and what `count`
        dispatches with one need longer than without, as a share of a minute: medians."""
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder), metadata)
            holds, written = [], []

            def with_one() -> float:
                start = time.perf_counter()
                checkpoints.save(self.state)
                self.bare(count)
                spent = time.perf_counter() - start
                checkpoints.wait()
                return spent

            with_one()
            seconds = interleave({"with": with_one, "without": lambda: self.bare(count)}, rounds)
            for _ in range(rounds):
                self.bare(1)  # a step that is saved already is not saved again
                start = time.perf_counter()
                checkpoints.save(self.state)
                holds.append(time.perf_counter() - start)
                checkpoints.wait()
                written.append(time.perf_counter() - start)
            checkpoints.close()
        more = np.subtract(seconds["with"], seconds["without"])
        return {
            "save_holds_ms": 1000 * float(np.median(holds)),
            "save_written_ms": 1000 * float(np.median(written)),
            "save_share": float(np.median(more)) / 60,
        }

    def _run(self, batches) -> float:
        start = time.perf_counter()
        for batch in batches:
            self.state, metrics = self.dispatch(self.state, self.table, batch)
        jax.block_until_ready((self.state, metrics))
        return time.perf_counter() - start
