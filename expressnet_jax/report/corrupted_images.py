"""Corrupted images, made once on all cores and kept as uint8. Shapes: N examples, H height, W width, C channels."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from expressnet_jax.environment import available_cores
from expressnet_jax.io import write_bytes
from expressnet_jax.report.context import progress
from expressnet_jax.report.corruptions import CORRUPTIONS, all_levels

_FEW = 16  # images that are not worth starting processes

_Levels = Callable[[np.ndarray, np.ndarray, str], np.ndarray]


def corrupted_images(images: np.ndarray, index: np.ndarray, cache: Path, key: str) -> dict[str, np.ndarray]:
    """Return every corruption of images uint8[N,H,W,C]: name -> uint8[5,N,H,W,C], from the cache where they are there.

    `index` int[N] is what their random numbers are drawn from, `key` says which images they are. Each corruption is
    one file, so that an interrupted run resumes behind the last one.
    """
    paths = {name: cache / f"corrupted-{key}-{name}.npy" for name in CORRUPTIONS}
    missing = [name for name in CORRUPTIONS if not paths[name].is_file()]
    if missing:
        with _levels_on_all_cores(len(images)) as make:
            for name in progress(missing, "corrupting"):
                content = io.BytesIO()
                np.save(content, make(images, index, name), allow_pickle=False)
                write_bytes(paths[name], content.getvalue())
    return {name: np.load(path, allow_pickle=False, mmap_mode="r") for name, path in paths.items()}


@contextmanager
def _levels_on_all_cores(count: int) -> Iterator[_Levels]:
    """What makes uint8[5,N,H,W,C] of images, their index and a corruption; each process works on parts of the images.

    Processes, not threads: the library draws from NumPy's one global generator. They are started, not forked, for JAX
    and ONNX Runtime have threads by now.
    """
    cores = available_cores()
    if count <= _FEW or cores == 1:
        yield lambda images, index, name: all_levels((images, index, name))
        return
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:

        def make(images: np.ndarray, index: np.ndarray, name: str) -> np.ndarray:
            parts = zip(np.array_split(images, 4 * cores), np.array_split(index, 4 * cores), strict=True)
            return np.concatenate(list(pool.map(all_levels, [(*part, name) for part in parts if len(part[0])])), axis=1)

        yield make
