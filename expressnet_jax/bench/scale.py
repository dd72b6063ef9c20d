"""Whether a data set of millions costs more an image than one of thousands: time an image, time to start, memory."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import grain.python as grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

from expressnet_jax.bench.interleaved import interleave
from expressnet_jax.data.datasets import FORMAT_VERSION
from expressnet_jax.data.pipeline import BatchSource, StreamedImages
from expressnet_jax.data.sampling import Uniform
from expressnet_jax.data.store import load
from expressnet_jax.environment import machine, peak_host_memory
from expressnet_jax.errors import UserError

NAME, SIDE, CLASSES = "scale", 48, ("anger", "fear")
DISTINCT = 64
RECORDS_PER_FILE = 500_000
_BYTES_PER_RECORD = 3000  # on the disk, at most


def bench_scale(
    sizes: Sequence[int] = (10_000, 100_000, 1_000_000, 5_000_000), *, batch_size: int = 256, rounds: int = 4
) -> dict[str, Any]:
    """Stream sets of these sizes, gray JPEGs of 48 pixels in random order, in turns, each in its own process.

    Of each the medians: seconds from opening it to its first batch, time an image after that (and relative to the
    smallest set), and the peak memory before and after. Images repeat; records, index and shuffling are real.

    Raises:
      UserError: too little space on the disk of the temporary folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        _check_space(Path(folder), sum(sizes))
        for size in sizes:
            write_set(Path(folder) / str(size), size)
        os.sync()  # so that no process pays for writing what was just made
        measure = lambda size: partial(_alone, Path(folder) / str(size), batch_size, min(sizes))
        found = interleave({str(size): measure(size) for size in sizes}, rounds)
    records = {size: {key: float(np.median([f[key] for f in runs])) for key in runs[0]} for size, runs in found.items()}
    smallest = records[str(min(sizes))]["us_per_image"]
    for figures in records.values():
        figures["ratio"] = figures["us_per_image"] / smallest
    return {"batch_size": batch_size, "machine": machine(), "records": records}


def write_set(data_dir: Path, count: int) -> None:
    """A prepared set of `count` records in `data_dir`, as `load` reads it."""
    directory = data_dir / NAME / FORMAT_VERSION
    directory.mkdir(parents=True)
    records = [_record(np.random.default_rng(i)) for i in range(DISTINCT)]
    for number, first in enumerate(range(0, count, RECORDS_PER_FILE)):
        writer = ArrayRecordWriter(str(directory / f"{NAME}-train.array_record-{number:05d}"), "group_size:1")
        for i in range(first, min(first + RECORDS_PER_FILE, count)):
            writer.write(records[i % DISTINCT])
        writer.close()
    keys = np.char.mod("%07d.jpg", np.arange(count))
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    np.savez_compressed(directory / "index_train.npz", label=labels, key=keys)
    facts = {"name": NAME, "classes": CLASSES, "splits": {"train": {"examples": count}}}
    (directory / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def stream(data_dir: Path, batch_size: int, images: int) -> Callable[[], float]:
    """Open a set and make its first batch; each call of what is returned reads `images` more and returns the seconds an
    image."""
    split = load(NAME, data_dir).split("train")
    sampler = Uniform(len(split), batch_size)
    source = BatchSource(sampler, {"expression": split.labels}, StreamedImages(split, (SIDE, SIDE, 1)), 2**31)
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    batches = iter(grain.MapDataset.source(source).to_iter_dataset(options))
    next(batches)
    steps = max(images // batch_size, 1)

    def block() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            next(batches)
        return (time.perf_counter() - start) / (steps * batch_size)

    return block


def _alone(data_dir: Path, batch_size: int, images: int) -> dict[str, float]:
    """Run `report` in its own process."""
    arguments = [str(data_dir), str(batch_size), str(images)]
    command = [sys.executable, "-m", "expressnet_jax.bench.scale", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(data_dir: Path, batch_size: int, images: int) -> dict[str, float]:
    """Return the seconds to the first batch, microseconds an image after it, this process's peak memory in MiB then and
    later."""
    start = time.perf_counter()
    block = stream(data_dir, batch_size, images)
    found = {"start_seconds": time.perf_counter() - start, "start_mib": peak_host_memory() / 2**20}
    seconds = [block() for _ in range(3)]
    return found | {"us_per_image": 1e6 * float(np.median(seconds)), "end_mib": peak_host_memory() / 2**20}


def _record(rng: np.random.Generator) -> bytes:
    noise = rng.integers(0, 256, (SIDE // 8, SIDE // 8), np.uint8)
    _, encoded = cv2.imencode(".jpg", cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))
    example = tf_example_pb2.Example()
    example.features.feature["image"].bytes_list.value.append(encoded.tobytes())
    return example.SerializeToString()


def _check_space(folder: Path, count: int) -> None:
    needed, free = count * _BYTES_PER_RECORD, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"bench scale: {count:,} records need about {needed / 2**30:.0f} GiB, {folder.parent} has "
            f"{free / 2**30:.0f}; set TMPDIR to a larger disk, or give smaller --records"
        )


if __name__ == "__main__":
    print(json.dumps(report(Path(sys.argv[1]), *map(int, sys.argv[2:]))), flush=True)
    os._exit(0)  # reading threads may still be waiting for work
