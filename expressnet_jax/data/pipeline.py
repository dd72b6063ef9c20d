"""From a split to batches on devices: streaming decode, host memory or device memory; equal batches for equal steps.

A grain source whose element i *is* dispatch i: the S steps that one call of the compiled program takes. So the position
in the stream is the step and nothing else, and prefetching threads can't change what comes.
Shapes: S steps of a dispatch, B global batch, b = B / processes, H height, W width, C channels, K classes, N examples.
A record is an image uint8[H,W,C], a clip uint8[T,H,W,C] or a waveform int16[S].
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import grain.python as grain
import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from expressnet_jax.data.decode import decode_example, decode_examples, encoded_batch, media_dtype
from expressnet_jax.data.fields import EXPRESSION, input_name
from expressnet_jax.data.prepared import Split
from expressnet_jax.data.sampling import Sampler, process_slice
from expressnet_jax.environment import granted_memory, thread_count
from expressnet_jax.errors import UserError

READERS = ("stream", "memory", "device")

ImageReader = Callable[[np.ndarray], np.ndarray]


class StreamedImages:
    """indices int64[n] -> [n,*shape], read and decoded now: for data sets larger than memory.

    `shape` is (H,W,C) of images, (T,H,W,C) of clips or (S,) of waveforms.
    """

    def __init__(self, split: Split, shape: Sequence[int]):
        self.split, self.shape = split, tuple(shape)

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        batch = np.empty((len(indices), *self.shape), media_dtype(self.shape))
        for row, encoded in enumerate(encoded_batch(self.split, indices, self.shape)):
            batch[row] = decode_example(encoded, self.shape)
        return batch


class InMemoryImages:
    """indices int64[n] -> [n,*shape], decoded once and gathered."""

    def __init__(self, images: np.ndarray):
        self.images = images

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        return self.images.take(indices, axis=0)


@dataclass(frozen=True)
class BatchSource:
    """Element i is dispatch i from `first_step` on, a dict of arrays [S,b,...]: this process's share of S batches
    (of fewer in the last one). `read_images` is None where they already lie on the device, as the batch carries
    `index`, or where no record is read; `read_sound` is that of the sound next to images, where it is an input.
    `targets` are columns by name, those that are inputs among them.
    """

    sampler: Sampler
    targets: Mapping[str, np.ndarray]
    read_images: ImageReader | None
    num_steps: int
    steps_per_call: int = 1
    first_step: int = 0
    process_index: int = 0
    process_count: int = 1
    read_sound: ImageReader | None = None

    def __len__(self) -> int:
        return -(-(self.num_steps - self.first_step) // self.steps_per_call)

    def __getitem__(self, dispatch: int) -> dict[str, np.ndarray]:
        first = self.first_step + int(dispatch) * self.steps_per_call
        steps = range(first, min(first + self.steps_per_call, self.num_steps))
        share = partial(process_slice, process_index=self.process_index, process_count=self.process_count)
        index = np.stack([share(self.sampler.indices(step)) for step in steps])
        batch = {"index": index.astype(np.int32)} | {name: values[index] for name, values in self.targets.items()}
        for read in filter(None, (self.read_images, self.read_sound)):
            images = read(index.ravel())
            batch[input_name(images)] = images.reshape(*index.shape, *images.shape[1:])
        return batch


class TrainLoader:
    """Batches on devices, from any step on.

    `table` is the uint8[N,H,W,C] of all images where the reader is `device`, otherwise None; it is an argument of the
    compiled program, which takes a batch's images out of it with `gather_inputs`.
    """

    def __init__(self, source: BatchSource, mesh: Mesh, table: Array | None, threads: int):
        self.source, self.mesh, self.table, self.threads = source, mesh, table, threads

    def start(self, step: int) -> Iterator[dict[str, Any]]:
        """Yield dispatches from `step` on, each a dict of arrays [S,B,...] sharded over the mesh's data axis."""
        dispatches = grain.MapDataset.source(replace(self.source, first_step=step))
        options = grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=2 * self.threads)
        sharding = NamedSharding(self.mesh, P(None, "data"))
        place = partial(jax.make_array_from_process_local_data, sharding)
        ahead = None
        for batch in dispatches.to_iter_dataset(options):
            batch = jax.tree.map(place, batch)
            if ahead is not None:
                yield ahead
            ahead = batch
        if ahead is not None:
            yield ahead


class ZippedLoaders:
    """Several loaders side by side: a batch is a dict of their batches by name, and so is the table."""

    def __init__(self, loaders: Mapping[str, TrainLoader]):
        self.loaders, self.table = loaders, {name: loader.table for name, loader in loaders.items()}

    def start(self, step: int) -> Iterator[dict[str, Any]]:
        """Yield dispatches from `step` on; all loaders have equally many steps."""
        streams = [loader.start(step) for loader in self.loaders.values()]
        return (dict(zip(self.loaders, batches, strict=True)) for batches in zip(*streams, strict=True))


@dataclass(frozen=True)
class EvalLoader:
    """Every example once, in order, as batches of one shape: the last is filled up with black images, mask False.

    Element i is a dict of label int32[B], mask bool[B], index int32[B] (place in the split), and of inputs, this
    process's share: uint8[b,H,W,C] of images, or, where columns [N,...] are inputs, a dict of arrays by name.
    """

    read_images: ImageReader | None
    labels: np.ndarray
    batch_size: int
    process_index: int = 0
    process_count: int = 1
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    read_sound: ImageReader | None = None

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        index = int(number) * self.batch_size + np.arange(self.batch_size)
        mask = index < len(self.labels)
        own, shown = (process_slice(rows, self.process_index, self.process_count) for rows in (index, mask))
        fill = lambda array, size: np.pad(array, ((0, size - len(array)), *[(0, 0)] * (array.ndim - 1)))
        return {
            "inputs": jax.tree.map(lambda array: fill(array, len(own)), self.read(own[shown])),
            "label": fill(self.labels[index[mask]], len(index)).astype(np.int32),
            "mask": mask,
            "index": index.astype(np.int32),
        }

    def read(self, indices: np.ndarray) -> Any:
        """Return the inputs of these examples: one array, or where there are several a dict by name."""
        media = [read(indices) for read in filter(None, (self.read_images, self.read_sound))]
        if not self.columns and len(media) == 1:
            return media[0]
        named = {input_name(array): array for array in media}
        return named | {name: values[indices] for name, values in self.columns.items()}

    def batches(self, threads: int = 2) -> Iterator[dict[str, np.ndarray]]:
        """Yield all batches, read ahead by threads where they are decoded."""
        threads = reading_threads(self.read_images, threads)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        return iter(grain.MapDataset.source(self).to_iter_dataset(options))


def make_eval_batches(
    split: Split,
    batch_size: int,
    *,
    shape: Sequence[int] | None,
    threads: int = 2,
    shared: bool = False,
    columns: Mapping[str, np.ndarray] = MappingProxyType({}),
    sound: int = 0,
) -> EvalLoader:
    """Return a split for evaluation, decoded once into host memory where it fits, else streamed; `shared` by all
    processes, or whole in this one. `shape` is (H,W,C) of images, (T,H,W,C) of clips, (S,) of waveforms, or None where
    no record is read; `columns` [N,...] are further inputs, and so are `sound` samples of what is heard next to
    images."""
    read_images = None if shape is None else _image_reader(split, shape, "auto", threads)
    read_sound = _image_reader(split, (sound,), "auto", threads) if sound else None
    index, count = (jax.process_index(), jax.process_count()) if shared else (0, 1)
    return EvalLoader(read_images, split.labels, batch_size, index, count, columns, read_sound)


def _image_reader(split: Split, shape: Sequence[int], reader: str, threads: int) -> ImageReader:
    """Return what reads a split's images, clips or sound: from host memory, unless the reader is to stream."""
    if choose_reader(reader, _stored_bytes(split, shape)) == "stream":
        return StreamedImages(split, shape)
    return InMemoryImages(decode_examples(split, shape, threads))


def _stored_bytes(split: Split, shape: Sequence[int]) -> int:
    """Return what all records of a split take, decoded."""
    return len(split) * math.prod(shape) * np.dtype(media_dtype(shape)).itemsize


def choose_reader(reader: str, num_bytes: int) -> str:
    """Return the reader for a split of `num_bytes` decoded: device memory where it takes at most a fifth, else host
    memory where it takes at most half of what is free, else streaming. On a CPU the two memories are one: host memory.

    Raises:
      UserError: a reader that does not exist.
    """
    if reader in READERS:
        return reader
    if reader != "auto":
        raise UserError(f"data.reader: no reader {reader!r}; one of auto, {', '.join(READERS)}")
    device = jax.local_devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit", 0) if device.platform != "cpu" else 0
    if num_bytes <= limit / 5:
        return "device"
    return "memory" if num_bytes <= _free_memory() / 2 else "stream"


def _free_memory() -> int:
    """Return the bytes that are available to this process, in a container no more than that has: Linux gives its file
    cache back when asked; elsewhere half of all memory is a guess."""
    try:
        with open("/proc/meminfo") as lines:
            facts = dict(line.split(":") for line in lines)
        return int(min(int(facts["MemAvailable"].split()[0]) * 1024, granted_memory()))
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def make_train_loader(
    split: Split,
    sampler: Sampler,
    mesh: Mesh,
    *,
    shape: Sequence[int] | None,
    num_steps: int,
    steps_per_call: int = 1,
    reader: str = "auto",
    threads: int = 2,
    targets: Mapping[str, np.ndarray] | None = None,
    sound: int = 0,
) -> TrainLoader:
    """Return a loader over a split by the reader asked for; all three give the same batches, with `targets` [N,...] by
    name, by default the class as `expression`. `shape` is (H,W,C) of images, (T,H,W,C) of clips, (S,) of waveforms, or
    None where no record is read: then all inputs are among the targets. With `sound` the batches have so many samples
    of what is heard next to images, too; it is never on the device.

    Raises:
      UserError: an unknown reader.
    """
    reader = choose_reader(reader, _stored_bytes(split, shape or (0, 0, 0)))
    read_images: ImageReader | None = None
    table = None
    if shape is None:
        pass
    elif reader == "device":
        table = jax.device_put(decode_examples(split, shape, threads), NamedSharding(mesh, P()))
    else:
        read_images = _image_reader(split, shape, reader, threads)
    source = BatchSource(
        sampler,
        {EXPRESSION: split.labels.astype(np.int32)} if targets is None else targets,
        read_images,
        num_steps,
        steps_per_call,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        read_sound=_image_reader(split, (sound,), reader, threads) if sound else None,
    )
    return TrainLoader(source, mesh, table, reading_threads(read_images, threads))


def reading_threads(read_images: ImageReader | None, threads: int) -> int:
    """Return `threads` where images are decoded; none where a batch is one copy, which handing it over would cost as
    much.

    The device computes meanwhile all the same: a step is started, not waited for.
    """
    return thread_count(threads, "data.threads") if isinstance(read_images, StreamedImages) else 0
