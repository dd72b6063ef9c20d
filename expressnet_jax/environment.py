"""What a figure was measured on: device, processor, versions, date, time. A number without these can't be repeated."""

import datetime
import functools
import logging
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from expressnet_jax.errors import UserError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "onnxruntime")


def machine() -> dict[str, Any]:
    """Return facts for a result's JSON. Starts JAX."""
    import jax

    devices = jax.devices()
    return {"devices": f"{len(devices)} x {devices[0].device_kind}"} | host()


def host(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Return the same without the devices, and without JAX."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "python": platform.python_version(),
        "packages": {name: found for name in packages if (found := _version(name))},
        "date": datetime.date.today().isoformat(),
    }


@functools.cache
def available_cores() -> int:
    """Return how many cores this process may keep busy: those it may run on, and no more than its container is granted.

    A quota of 2.5 cores counts as 3. Nothing else in this project counts cores.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(math.ceil(min(allowed, granted_cores())), 1)


def granted_cores(own: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the least quota of this process's control groups, in cores; infinity where there is none.

    A line of `own` is number:controllers:path, in version 2 with 0 and no controllers. A container often sees only its
    own group, at the root of `mounts`, under the host's path.
    """
    return min([math.inf, *map(_quota, _groups("cpu", own, mounts))])


def granted_memory(own: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the bytes that this process's control groups leave it, what can be given back of their file cache
    counted; infinity where there is no limit. Arguments as of `granted_cores`."""
    return min([math.inf, *map(_memory_left, _groups("memory", own, mounts))])


def _groups(controller: str, own: Path, mounts: Path) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, and of those that they are in."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in lines:
        if controllers and controller not in controllers.split(","):
            continue
        roots = [mounts, mounts / "unified"] if not controllers else [mounts / controllers, mounts / controller]
        place = Path(path.lstrip("/"))
        yield from (root / group for root in roots for group in (place, *place.parents))


def _memory_left(group: Path) -> float:
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            most, held = (group / limit).read_text().strip(), int((group / used).read_text())
            stats = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            cached = int(stats.get("total_inactive_file", stats.get("inactive_file", 0)))
            return math.inf if most == "max" else max(int(most) - held + cached, 0)
        except (OSError, ValueError):
            continue
    return math.inf


def _quota(group: Path) -> float:
    """Return what one control group is granted: cpu.max is "QUOTA PERIOD" or "max PERIOD", in version 1 two files."""
    for files in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((group / name).read_text() for name in files).split()
            return int(quota) / int(period) if quota != "max" and int(quota) > 0 else math.inf
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return math.inf


def thread_count(threads: int, name: str = "threads") -> int:
    """Return how many threads to start: one for each available core where `threads` is 0, and never more than that.

    Raises:
      UserError: a negative number.
    """
    if threads < 0:
        raise UserError(f"{name}: {threads}; give 0 for one on each core, or a number above it")
    if threads > available_cores():
        _say_capped(name, threads, available_cores())
    return min(threads or available_cores(), available_cores())


@functools.cache
def _say_capped(name: str, asked: int, cores: int) -> None:
    known = f"{cores} core{'s' if cores > 1 else ''}"
    logging.getLogger("expressnet_jax").warning("%s: %d, but %s may be used; %d it is", name, asked, known, cores)


_IMPORTED = time.perf_counter()


def process_seconds() -> float:
    """Return the seconds since this process began, Python's own start and all imports included where the system tells
    (Linux)."""
    try:
        with open("/proc/self/stat") as line:
            ticks = int(line.read().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.perf_counter() - _IMPORTED


def peak_memory() -> int:
    """Return the most bytes held so far: on the busiest local device where it counts them, else by this process."""
    import jax

    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    on_devices = max(found.get("peak_bytes_in_use", 0) for found in stats)
    return on_devices or peak_host_memory()


def peak_host_memory() -> int:
    """Return the most bytes this process has held. Not of getrusage where it can be had otherwise: that counts the
    parent's, too."""
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
