"""Compiled programs are kept between processes, so that a resumed or repeated run starts in seconds."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from expressnet_jax.cluster import all_gather, is_main_process
from expressnet_jax.process import cache_folder

LARGEST = 2 * 2**30  # bytes; the programs not used for longest go first


def enable_compilation_cache() -> None:
    """Keep compiled programs in this project's folder of caches, unless JAX_COMPILATION_CACHE_DIR is
    set, the folder can't be written, or the processes of a run don't share it.

    JAX_ENABLE_COMPILATION_CACHE=false does without.
    """
    import jax

    wanted = "JAX_COMPILATION_CACHE_DIR" not in os.environ and jax.config.values["jax_enable_compilation_cache"]
    folder = cache_folder("compiled") if wanted else None
    is_new = folder is not None and not folder.exists()
    if jax.distributed.is_initialized() and not _is_shared(folder):
        return
    if folder is None:
        return
    if is_new:
        print(f"compiled programs are kept in {folder}; JAX_ENABLE_COMPILATION_CACHE=false keeps none", file=sys.stderr)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", LARGEST)


def _is_shared(folder: Path | None) -> bool:
    """Return whether all processes of the run see this folder of the first one. All have to call it.

    JAX lets the first one alone write programs. Where the others don't see them, they compile what it finds, and on
    GPUs wait without end for its part of the tuning, which XLA shares out among all.
    """
    number = all_gather(np.int32(int.from_bytes(os.urandom(3))))[0]
    mark = folder / f".seen_by_all_{number}" if folder else None
    if mark and is_main_process():
        with suppress(OSError):  # then none sees it
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
    all_gather(np.int32(0))  # it is there
    seen = all_gather(bool(mark and mark.exists())).all()
    if mark and is_main_process():
        mark.unlink(missing_ok=True)
    return bool(seen)
