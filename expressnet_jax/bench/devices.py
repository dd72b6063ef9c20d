"""What it costs to spread a training step over several devices that share the same cores.

A device more brings nothing then, so that all that is lost is what the spreading itself takes: smaller shares, sums of
gradients and statistics over the devices, and waiting for the slowest.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType

from expressnet_jax.bench.step import Step
from expressnet_jax.bench.turns import compare, take_turns
from expressnet_jax.errors import UserError
from expressnet_jax.machine import machine


def force_devices(count: int) -> None:
    """Cuts the CPU into so many devices. Call it before anything asks JAX for devices.

    Raises:
      UserError: there is an accelerator, whose devices are as many as they are.
    """
    jax.config.update("jax_num_cpu_devices", count)
    if jax.default_backend() != "cpu":
        raise UserError("bench devices: JAX has an accelerator here; JAX_PLATFORMS=cpu measures on the processor")


def bench_devices(
    name: str, count: int, *, size: int = 48, batch_size: int = 128, rounds: int = 6, block_seconds: float = 4.0
) -> dict[str, Any]:
    """Images a second of one training step at one global batch, on one device and on the first `count`, in turns."""
    axes = {"axis_names": ("data", "model"), "axis_types": (AxisType.Auto, AxisType.Auto)}
    mesh = lambda number: jax.make_mesh((number, 1), **axes, devices=jax.devices()[:number])
    options = {"size": size, "batch_size": batch_size, "dtype": "float32"}
    steps = {number: Step(name, mesh=mesh(number), **options) for number in (1, count)}
    steps[count](1)
    dispatches = max(round(block_seconds / (steps[1](3)[0] / 3)), 1)
    images = dispatches * batch_size
    speeds = take_turns(
        {str(number): lambda s=step: images / s(dispatches)[0] for number, step in steps.items()}, rounds
    )
    return {
        "network": name,
        "size": size,
        "batch_size": batch_size,
        "devices": count,
        "machine": machine(),
        "images_per_second": {number: float(np.median(values)) for number, values in speeds.items()},
        "to_one_device": compare(speeds[str(count)], speeds["1"]),
    }
