"""Settings that a CPU run needs before JAX starts; on an accelerator nothing is touched.

Two things cost a CPU run more than half its speed: XLA hands convolutions to a library that is slow at training shapes,
and the allocator returns every large buffer to the system after each step. Both are settings of the process, so the
process starts itself again once with them. EXPRESSNET_TUNE=0 leaves everything as it is.
"""

import glob
import math
import os
import re
import sys
from importlib.metadata import version

from expressnet_jax.environment import available_cores, granted_cores

_XLA = "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE"
_GLIBC = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592"
    ":glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456"
)


def accelerator_present() -> bool:
    """Return whether this machine has a GPU or TPU that JAX may use. A look at device files: asking JAX would start
    it."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms:
        return platforms != "cpu"
    return bool(glob.glob("/dev/nvidia[0-9]*") + glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*"))


def xla_flag_known(jaxlib_version: str) -> bool:
    """Return whether this release has the flag: XLA ends the process on an unknown flag, so it is set for the releases
    that were tried: 0.10 to 0.12."""
    match = re.match(r"0\.(\d+)\.", jaxlib_version)
    return match is not None and 10 <= int(match[1]) <= 12


def cpu_settings(environment: dict[str, str], jaxlib_version: str) -> dict[str, str]:
    """Return what has to change in `environment`; a variable that the user has set stays as it is."""
    changes = {}
    flags = environment.get("XLA_FLAGS", "")
    if xla_flag_known(jaxlib_version) and "ynn_fusion" not in flags:
        changes["XLA_FLAGS"] = f"{flags} {_XLA}".strip()
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in environment:
        changes["GLIBC_TUNABLES"] = _GLIBC
    if math.isfinite(granted_cores()) and "PJRT_NPROC" not in environment:  # XLA counts cores, not a container's quota
        changes["PJRT_NPROC"] = str(available_cores())
    return changes


def tune_cpu() -> None:
    """Restart this process with the CPU settings, unless they are there, not wanted or not needed."""
    if os.environ.get("EXPRESSNET_TUNE", "1") != "1" or accelerator_present() or "jax" in sys.modules:
        return
    if not sys.executable:  # an embedded interpreter can't be started again
        return
    if changes := cpu_settings(dict(os.environ), version("jaxlib")):
        os.environ.update(changes, EXPRESSNET_TUNE="done")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
