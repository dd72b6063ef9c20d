"""Compiled programs are kept between processes, so that a resumed or repeated run starts in seconds."""

import os
import sys

from expressnet_jax.process import cache_folder

LARGEST = 2 * 2**30  # bytes; the programs not used for longest go first


def enable_compilation_cache() -> None:
    """Keep compiled programs in this project's folder of caches, unless JAX_COMPILATION_CACHE_DIR is
    set or the folder can't be written.

    JAX_ENABLE_COMPILATION_CACHE=false does without.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    import jax

    folder = cache_folder("compiled")
    if folder is None or not jax.config.values["jax_enable_compilation_cache"]:
        return
    if not folder.exists():
        print(f"compiled programs are kept in {folder}; JAX_ENABLE_COMPILATION_CACHE=false keeps none", file=sys.stderr)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", LARGEST)
