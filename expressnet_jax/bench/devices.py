"""What it costs to spread a training step over several devices that share the same cores.

A device more brings nothing then, so that all that is lost is what the spreading itself takes: smaller shares, sums of
gradients and statistics over the devices, and waiting for the slowest.
"""

import sys
from contextlib import ExitStack, closing
from typing import Any

import jax
import numpy as np

from expressnet_jax.bench.interleaved import compare, interleave
from expressnet_jax.bench.step import Step
from expressnet_jax.bench.worker import Peer, serve
from expressnet_jax.environment import machine


def bench_devices(
    name: str, count: int, *, size: int = 48, batch_size: int = 512, rounds: int = 6, block_seconds: float = 6.0
) -> dict[str, Any]:
    """Return the images a second of one training step at one global batch: a process with one device and one whose
    processor is cut into `count`, in turns."""
    with ExitStack() as stack:
        start = lambda devices: Peer(__name__, [name, str(devices), str(size), str(batch_size)])
        peers = {number: stack.enter_context(closing(start(number))) for number in (1, count)}
        steps = max(round(block_seconds / peers[1](1)), 1)
        images = steps * batch_size
        blocks = {str(number): lambda peer=peer: images / peer(steps) for number, peer in peers.items()}
        speeds = interleave(blocks, rounds)
    return {
        "network": name,
        "size": size,
        "batch_size": batch_size,
        "devices": count,
        "machine": machine(),
        "images_per_second": {number: float(np.median(values)) for number, values in speeds.items()},
        "to_one_device": compare(speeds[str(count)], speeds["1"]),
    }


def main(name: str, count: str, size: str, batch_size: str) -> None:
    """Run one of the two processes."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", int(count))
    step = Step(name, size=int(size), batch_size=int(batch_size), dtype="float32")
    step(1)
    serve({"devices": jax.device_count()}, lambda steps: step(steps)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
