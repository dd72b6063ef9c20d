"""Compiled programs are kept between processes, so that a resumed or repeated run starts in seconds."""

import os
from pathlib import Path

LARGEST = 2 * 2**30  # bytes; the programs not used for longest go first


def keep_compiled() -> None:
    """JAX's persistent compilation cache in the user's cache folder, unless JAX_COMPILATION_CACHE_DIR is set.

    JAX_ENABLE_COMPILATION_CACHE=false does without.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    import jax

    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser()
    jax.config.update("jax_compilation_cache_dir", str(caches / "expressnet_jax" / "compiled"))
    jax.config.update("jax_compilation_cache_max_size", LARGEST)
