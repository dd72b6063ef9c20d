"""A target of a compilation: `tpu:v5e:2x2`, `gpu:h200`, `gpu:h100:8`; what its compiler needs installed and set."""

import math
import os
import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from expressnet_jax.accelerators.cards import HOST_DEVICES, Card, find_card
from expressnet_jax.errors import UserError

EXAMPLES = "tpu:v5e:2x2, tpu:v4:2x2x2, gpu:h200, gpu:h100:8"
IN_CHILD = "EXPRESSNET_TARGET"  # set in the process that compiles
# Platform -> the package whose compiler it is, and the extra that installs it.
_COMPILERS = {"tpu": ("libtpu", "tpu"), "gpu": ("jax_cuda13_plugin", "cuda13")}

# Autotuning runs candidates, which needs the device; the code of kernels that are only counted need not be good.
_COUNTING = (
    "--xla_gpu_autotune_level=0 --xla_llvm_disable_expensive_passes=true --xla_gpu_disable_gpuasm_optimizations=true"
)


class Target(NamedTuple):
    """A card and how many of it, as JAX's topologies call them: `4x4` of TPUs, slices x hosts x devices of GPUs."""

    text: str
    platform: str
    name: str
    topology: str
    devices: int

    @property
    def card(self) -> Card:
        return find_card(self.name, self.platform)


def parse_target(text: str) -> Target:
    """Return the target that `text` names.

    Raises:
      UserError: it names none.
    """
    platform, _, rest = text.partition(":")
    name, _, size = rest.partition(":")
    if platform not in _COMPILERS:
        raise UserError(f"--target {text}: no platform {platform!r}; give one like {EXAMPLES}")
    find_card(name, platform)
    if platform == "gpu":
        return _gpus(text, name, size or "1")
    three = name in ("v4", "v5p")
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2}" if three else r"[1-9]\d*x[1-9]\d*", size):
        example = "2x2x1" if three else "2x2"
        raise UserError(f"--target {text}: {name} needs a topology like tpu:{name}:{example}")
    return Target(text, platform, name, size, math.prod(map(int, size.split("x"))))


def _gpus(text: str, name: str, count: str) -> Target:
    devices = int(count) if count.isdecimal() else 0
    hosts = max(devices // HOST_DEVICES, 1)
    if devices < 1 or (devices > HOST_DEVICES and devices % HOST_DEVICES):
        raise UserError(f"--target {text}: give 1 to {HOST_DEVICES} GPUs, or a multiple of {HOST_DEVICES}")
    return Target(text, "gpu", name, f"1x{hosts}x{devices // hosts}", devices)


def check_compiler(target: Target) -> None:
    """Raises UserError unless the target's compiler is installed; the message is the line that installs it."""
    package, extra = _COMPILERS[target.platform]
    if not find_spec(package):
        raise UserError(
            f"--target {target.text}: needs the {target.platform.upper()} compiler, not the device; pip install"
            f" 'expressnet-jax[{extra}]'"
        )


def compiler_environment(target: Target, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that compiles for `target` on a machine that need not have it.

    The process itself runs on the CPU. XLA's own flags are replaced: a flag of one platform's compiler may end another.
    """
    changed = {
        **environment,
        IN_CHILD: target.text,
        "EXPRESSNET_TUNE": "0",  # the CPU's form of convolutions is not the target's
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "TPU_SKIP_MDS_QUERY": "1",
        "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "XLA_FLAGS": "",
    }
    if target.platform == "gpu":
        roots = [Path(folder) / "nvidia" for folder in sys.path]
        folders = [str(lib) for root in roots if root.is_dir() for lib in sorted(root.glob("*/lib"))]
        toolkit = next((str(root / "cu13") for root in roots if (root / "cu13/bin").is_dir()), "")
        found = f" --xla_gpu_cuda_data_dir={toolkit}" if toolkit else ""
        changed["XLA_FLAGS"] = f"{_COUNTING}{found}"
        changed["LD_LIBRARY_PATH"] = os.pathsep.join([*folders, environment.get("LD_LIBRARY_PATH", "")]).strip(":")
    return changed
