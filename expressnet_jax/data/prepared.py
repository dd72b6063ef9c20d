"""A prepared data set, read by position. Shapes: N examples of a split, K classes.

A folder as TensorFlow Datasets writes it (`store` says where), and with its records
    facts.json           classes, counts per class and split, hashes, licence, source, options, notes, further targets
    index_SPLIT.npz      label int32[N], key str[N], and every further column of the data set
    digests_SPLIT.npy    uint8[N,16], equal exactly where pixels are equal, whatever their labels are
"""

import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from tensorflow_datasets.proto import tf_example_pb2

from expressnet_jax.data.fields import Field
from expressnet_jax.data.fingerprint import content_identity
from expressnet_jax.errors import UserError, one_line

MEDIA = {"image": "images", "waveform": "sound", "text": "text"}  # what a record is called -> what a set of it holds
_AGAIN = "prepare the data set again with --overwrite"


class Columns(Mapping[str, np.ndarray]):
    """The columns of an index file, each read when it is first asked for: of millions of records, training never asks
    for the keys, which are most of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with np.load(path) as index:
            self._read: dict[str, np.ndarray | None] = dict.fromkeys(index.files)

    def __getitem__(self, name: str) -> np.ndarray:
        column = self._read[name]
        if column is None:
            try:
                with np.load(self.path) as index:
                    column = self._read[name] = index[name]
            except (ValueError, BadZipFile, zlib.error) as error:  # ValueError: it would have to be unpickled
                raise UserError(f"{self.path} is damaged ({one_line(error)}); {_AGAIN}") from error
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


class Split:
    """One split, read by position; safe to share between threads and to pickle, for files are opened on first use.

    Attributes:
      classes: the K class names.
      indices: int64[N], the positions in the full split.
      stored: how many records the files hold, those of the full split.
      columns: every column of the split, each [N, ...]: `label`, `key`, and what else the data set has.
      targets: the columns that the data set declares as targets, by name; those of standard names need no declaration.
    """

    def __init__(
        self,
        files: Sequence[str],
        classes: tuple[str, ...],
        columns: Mapping[str, np.ndarray],
        indices: np.ndarray,
        stored: int,
        targets: Mapping[str, Field] | None = None,
    ) -> None:
        self.files, self.classes, self.columns, self.indices = tuple(files), classes, columns, indices
        self.stored, self.targets = stored, dict(targets or {})
        self._lock = threading.Lock()
        self._source: Records | None = None

    @property
    def labels(self) -> np.ndarray:
        """int32[N]."""
        return self.columns["label"]

    @property
    def keys(self) -> np.ndarray:
        """str[N]: the file name or row that each image came from."""
        return self.columns["key"]

    @property
    def subjects(self) -> np.ndarray | None:
        """str[N]: who is in the image, or None where the data set doesn't say."""
        return self.columns.get("subject")

    @property
    def votes(self) -> np.ndarray | None:
        """float32[N,K]: the share of annotators who chose each class, or None where there is one label only."""
        return self.columns.get("votes")

    def __len__(self) -> int:
        return len(self.indices)

    def encoded(self, i: int) -> bytes:
        """Return the i-th image as PNG or JPEG bytes, the i-th sound as 16-bit PCM, or the i-th text in UTF-8."""
        return self.encoded_batch([i])[0]

    def encoded_batch(self, positions: Sequence[int] | np.ndarray, media: str = "") -> list[bytes]:
        """Return the images at these positions, in this order: several times as fast as one by one; with `media`
        "waveform" the sound, which may lie next to images and is empty where nothing is heard."""
        return [_media(record, media) for record in self._records().read(self.indices[positions])]

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Split":
        """Return the same split with only these examples, in this order; they are renumbered."""
        indices = np.asarray(indices, np.int64)
        columns = {name: column[indices] for name, column in self.columns.items()}
        return Split(self.files, self.classes, columns, self.indices[indices], self.stored, self.targets)

    def relabelled(self, classes: tuple[str, ...], labels: np.ndarray) -> "Split":
        """Return the same images with other classes, and `labels` int[N] in them. Votes are of the old classes: left
        out."""
        columns = {name: column for name, column in self.columns.items() if name not in ("label", "votes")}
        columns |= {"label": labels.astype(np.int32)}
        return Split(self.files, classes, columns, self.indices, self.stored, self.targets)

    def with_targets(self, fields: Mapping[str, Field], values: Mapping[str, np.ndarray]) -> "Split":
        """Return the same examples with further targets, [N,...] by name."""
        columns = {**self.columns, **values}
        return Split(self.files, self.classes, columns, self.indices, self.stored, {**self.targets, **fields})

    def _records(self) -> "Records":
        with self._lock:
            if self._source is None:
                self._source = Records(self.files, self.stored)
            return self._source

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_source")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock(), _source=None)


class Records:
    """The records of several ArrayRecord files, one after the other. Safe to share between threads.

    array_record's own data source asks its files for lists of positions: that takes a time which grows with the file
    (2 ms a call at a million records), and a new pool of threads for each batch. A range of one costs 4 us, always.
    """

    def __init__(self, files: Sequence[str], count: int) -> None:
        self._files = files
        self._readers = [_opened(file) for file in files]
        self._starts = np.cumsum([0, *(reader.num_records() for reader in self._readers)])
        if self._starts[-1] != count:  # a lost file would give every image behind it another one's label
            folder = Path(files[0]).parent
            raise UserError(f"{folder}: its files hold {self._starts[-1]:,} images, not {count:,}; {_AGAIN}")

    def read(self, positions: np.ndarray) -> list[bytes]:
        """Return the records at `positions` int64[n], in this order.

        Raises:
          UserError: a file is damaged there, by its own checksums.
        """
        files = np.searchsorted(self._starts, positions, side="right") - 1
        places = positions - self._starts[files]
        pairs = zip(files.tolist(), places.tolist(), strict=True)
        return [self._record(file, place) for file, place in pairs]

    def _record(self, file: int, place: int) -> bytes:
        try:
            return self._readers[file].read(place, place + 1)[0]
        except (RuntimeError, IndexError) as error:  # IndexError: nothing came back
            raise UserError(f"{self._files[file]} is damaged ({one_line(error)}); {_AGAIN}") from error


def _opened(file: str) -> ArrayRecordReader:
    try:
        return ArrayRecordReader(file, "readahead_buffer_size:0")
    except RuntimeError as error:
        raise UserError(f"{file} is damaged ({one_line(error)}); {_AGAIN}") from error


@dataclass(frozen=True)
class Prepared:
    """A prepared data set: where it is, what its classes are, and what is known of it (`facts.json`).

    `source` is the path that it was prepared from, as far as that is known.
    """

    name: str
    directory: Path
    classes: tuple[str, ...]
    facts: dict[str, Any]
    source: str | None = None

    @cached_property
    def identity(self) -> str:
        """A hash of the content alone; sets that were prepared before there were identities are read for it."""
        if own := self.facts.get("identity"):
            return own
        return content_identity(self.facts, {split: Columns(self._index(split)) for split in self.splits})

    @property
    def label(self) -> str:
        """NAME@IDENTITY, as `load` takes it."""
        return f"{self.name}@{self.identity}"

    @property
    def splits(self) -> dict[str, int]:
        """Split name -> number of examples."""
        return {split: facts["examples"] for split, facts in self.facts["splits"].items()}

    def split(self, name: str) -> Split:
        """Return one split by its name."""
        if name not in self.splits:
            raise UserError(f"{self.name} has no split {name!r}; its splits are: {', '.join(self.splits)}")
        columns = Columns(self._index(name))
        pattern = f"{self.facts['name']}-{stored_split(name)}.array_record-*"
        files = sorted(str(path) for path in self.directory.glob(pattern))
        if not files:
            raise UserError(f"{self.directory} lacks {pattern}; prepare {self.name} again with --overwrite")
        count = self.splits[name]
        return Split(files, self.classes, columns, np.arange(count), count, self.targets)

    @property
    def targets(self) -> dict[str, Field]:
        """The columns that the data set declares as targets, by name."""
        return {name: Field.from_json(field) for name, field in self.facts.get("targets", {}).items()}

    @property
    def holds(self) -> str:
        """What the records are: "images", "sound" or "text"."""
        sizes = next(iter(self.facts["splits"].values()))
        text = "height" not in sizes and any(field.kind == "tokens" for field in self.targets.values())
        return MEDIA["text" if text else "waveform" if "sample_rate" in self.facts["notes"] else "image"]

    @property
    def with_sound(self) -> bool:
        """Whether there is sound next to the images or clips."""
        return bool(self.facts["notes"].get("with_sound"))

    def stored_size(self, split: str) -> tuple[int, int] | None:
        """Return (height, width) of a split's stored images, the largest where they differ; None of sound and text."""
        facts = self.facts["splits"][split]
        return (facts["height"][1], facts["width"][1]) if "height" in facts else None

    def digests(self, split: str) -> np.ndarray | None:
        """Return uint8[N,16] of a split's pixels; None for a set that was prepared before they were kept."""
        path = self.directory / f"digests_{split}.npy"
        return np.load(path, allow_pickle=False) if path.is_file() else None

    def _index(self, split: str) -> Path:
        return self.directory / f"index_{split}.npz"


def stored_split(name: str) -> str:
    """Return the split's name in the file names: TFDS keeps the word "all" for itself."""
    return "everything" if name == "all" else name


def _media(record: bytes, media: str) -> bytes:
    feature = tf_example_pb2.Example.FromString(record).features.feature
    name = media or next(name for name in MEDIA if name in feature)
    return feature[name].bytes_list.value[0]
