"""How close the input pipeline is to the bare work that it can't do without: a copy, or decoding.

Shapes: B batch, N examples.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import cv2
import grain.python as grain
import numpy as np

from expressnet_jax.bench.interleaved import compare, interleave
from expressnet_jax.data.decode import decode
from expressnet_jax.data.fields import EXPRESSION
from expressnet_jax.data.pipeline import BatchSource, ImageReader, InMemoryImages, StreamedImages, reading_threads
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.prepared import Split
from expressnet_jax.data.sampling import Uniform
from expressnet_jax.environment import available_cores, machine

_ROUNDS = 6


def bench_memory(
    num_examples: int = 30_000, size: int = 48, channels: int = 1, batch_size: int = 256
) -> dict[str, Any]:
    """Return the images a second of the host-memory source through grain, and of a bare NumPy gather of the same
    batches."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_examples, size, size, channels), np.uint8)
    sampler = Uniform(num_examples, batch_size)
    steps = max(num_examples // batch_size, 1)
    bare = (images[sampler.indices(step)] for step in range(steps * (_ROUNDS + 1)))
    figures = _race(InMemoryImages(images), sampler, bare, steps)
    return {"reader": "memory", "images": [num_examples, size, size, channels], **figures}


def bench_stream(
    num_examples: int = 2_000, size: int = 112, stored: int = 112, channels: int = 3, batch_size: int = 128
) -> dict[str, Any]:
    """Return the images a second of the streaming source, ArrayRecord to batch, and of bare decoding from memory.

    The images are JPEGs of `stored` pixels a side. The bare decoder's speed is that of one thread times the cores;
    next to it, what it reaches on all cores at once, for two hyper-threads are not two cores.
    """
    cores = available_cores()
    with tempfile.TemporaryDirectory() as folder:
        split = _jpegs(Path(folder), num_examples, stored, channels)
        encoded = split.encoded_batch(np.arange(num_examples))
        sampler = Uniform(num_examples, batch_size)
        steps = max(num_examples // batch_size, 1)
        order = chain.from_iterable(sampler.indices(step) for step in range(steps * (_ROUNDS + 1)))
        decoded = (decode(encoded[i], size, channels) for i in order)
        bare = (list(islice(decoded, batch_size)) for _ in repeat(None))

        def together() -> float:
            """Return the images a second of a thread on each core, nothing between them."""
            decode_some = lambda part: [decode(encoded[i], size, channels) for i in part]
            start = time.perf_counter()
            list(pool.map(decode_some, np.array_split(np.arange(num_examples), cores)))
            return num_examples / (time.perf_counter() - start)

        with ThreadPoolExecutor(cores) as pool:
            read_images = StreamedImages(split, (size, size, channels))
            also = {"bare, all cores at once": together}
            figures = _race(read_images, sampler, bare, steps, threads=cores, times=cores, also=also)
    return {"reader": "stream", "jpeg": stored, "images": [num_examples, size, size, channels], **figures}


def _race(
    read_images: ImageReader,
    sampler: Uniform,
    bare: Iterable,
    steps: int,
    *,
    threads: int = 0,
    times: int = 1,
    also: Mapping[str, Callable[[], float]] | None = None,
) -> dict[str, Any]:
    """Return the pipeline over `read_images` in turns with `bare`, which makes the same batches and counts `times` as
    fast."""
    labels = np.zeros(sampler.num_examples, np.int32)
    source = BatchSource(sampler, {EXPRESSION: labels}, read_images, steps * (_ROUNDS + 1))
    threads = reading_threads(read_images, threads)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    piped, bare = iter(grain.MapDataset.source(source).to_iter_dataset(options)), iter(bare)
    next(piped), next(bare)
    blocks: dict[str, Callable[[], float]] = {
        "pipeline": lambda: _speed(piped, steps, sampler.batch_size),
        "bare": lambda: times * _speed(bare, steps, sampler.batch_size),
        **(also or {}),
    }
    speeds = interleave(blocks, _ROUNDS)
    return {
        "batch_size": sampler.batch_size,
        "threads": threads,
        "machine": machine(),
        "images_per_second": {name: float(np.median(values)) for name, values in speeds.items()},
        **compare(speeds["pipeline"], speeds["bare"]),
    }


def _speed(batches: Iterator, steps: int, batch_size: int, clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    for _ in islice(batches, steps):
        pass
    return steps * batch_size / (clock() - start)


def _jpegs(folder: Path, count: int, side: int, channels: int) -> Split:
    """Return blurred noise, which has about the bytes of a photograph, stored as `prepare` stores images."""
    rng = np.random.default_rng(0)
    for i in range(count):
        noise = rng.integers(0, 256, (side // 4, side // 4, channels), np.uint8)
        path = folder / "images" / ("anger", "fear")[i % 2] / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC))
    return prepare("folder", folder / "images", folder / "data").split("all")
