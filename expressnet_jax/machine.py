"""What a figure was measured on: device, processor, versions, date, time. A number without these can't be repeated."""

import datetime
import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "onnxruntime")


def machine() -> dict[str, Any]:
    """Facts for a result's JSON. Starts JAX."""
    import jax

    devices = jax.devices()
    return {"devices": f"{len(devices)} x {devices[0].device_kind}"} | host()


def host(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """The same without the devices, and without JAX."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: found for name in packages if (found := _version(name))},
        "date": datetime.date.today().isoformat(),
    }


_IMPORTED = time.perf_counter()


def process_seconds() -> float:
    """Seconds since this process began, Python's own start and all imports included where the system tells (Linux)."""
    try:
        with open("/proc/self/stat") as line:
            ticks = int(line.read().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.perf_counter() - _IMPORTED


def peak_memory() -> int:
    """The most bytes held so far: on the busiest local device where it counts them, else by this process."""
    import jax

    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    on_devices = max(found.get("peak_bytes_in_use", 0) for found in stats)
    return on_devices or peak_host_memory()


def peak_host_memory() -> int:
    """The most bytes this process has held. Not of getrusage where it can be had otherwise: that counts the parent's,
    too."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
