"""Images and labels in Parquet files as the Hugging Face hub stores them, read a few rows at a time.

FILE.parquet, FOLDER/train-00000-of-00003.parquet, FOLDER/data/test-*.parquet, FOLDER/default/train/0000.parquet. The
images are a column of {bytes, path} or of bytes; the labels are text, or numbers whose names the file's schema has.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.class_folders import SPLIT_WORDS, split_of
from expressnet_jax.data.datasets.sample_list import COLUMNS
from expressnet_jax.data.media_files import is_litter_name
from expressnet_jax.errors import UserError, one_line, shorten

_SHARD = re.compile(r"(.+?)[-_.]\d+([-_.]of[-_.]\d+)?")  # train-00000-of-00003
ROWS = 64  # that are in memory at a time
FOLDERS = ("*.parquet", "data/*.parquet", "*/*.parquet", "*/*/*.parquet")
DAMAGED = "is damaged or not readable"


class ParquetFaces:
    """The images of Parquet files and what their labels say.

    Attributes:
      files: split -> its files in order.
      words: the class names; those of the schema, or the labels that occur.
      left_out: split -> how many rows have no label (none, or -1).
    """

    def __init__(self, files: Mapping[str, Sequence[Path]]) -> None:
        self.files = files
        first = next(iter(files.values()))[0]
        schema = _opened(first).schema_arrow
        self._image, self._label = _image_column(first, schema), _label_column(first, schema)
        self._names = _class_names(schema, self._label)
        self.counts = {split: self._labels(paths) for split, paths in files.items()}
        self.left_out = {split: found[None] for split, found in self.counts.items() if found[None]}
        found = {word for counts in self.counts.values() for word in counts if word is not None}
        self.words = set(self._names) if self._names else found

    def records(self, split: str, labels: Mapping[str, int]) -> Iterator[Record]:
        """Yield the labelled rows of a split in order; labels: word -> position of its class."""
        for path in self.files[split]:
            for number, (image, label) in enumerate(self._rows(path, [self._image, self._label]), start=1):
                if (word := self._word(label)) is not None:
                    key = f"{path.name} row {number}"
                    yield Record(key, _content(image, path, key), labels[word])

    def _labels(self, paths: Sequence[Path]) -> Counter:
        """Return how often each word occurs; None counts the rows without one. Only the column of labels is read."""
        return Counter(self._word(label) for path in paths for (label,) in self._rows(path, [self._label]))

    def _word(self, label: Any) -> str | None:
        if label is None or label == "" or (isinstance(label, int | float) and label < 0):
            return None
        if isinstance(label, float) and label.is_integer():
            label = int(label)
        if self._names and isinstance(label, int):
            if label >= len(self._names):
                raise UserError(f"label {label} is not one of the {len(self._names)} names: {shorten(self._names)}")
            return self._names[label]
        return str(label).strip()

    @staticmethod
    def _rows(path: Path, columns: list[str]) -> Iterator[tuple]:
        file = _opened(path)
        if absent := set(columns) - set(file.schema_arrow.names):
            raise UserError(f"{path}: no column {', '.join(absent)}, which the first file has; give files of one kind")
        try:
            for batch in file.iter_batches(ROWS, columns=columns):
                yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
        except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
            raise UserError(f"{path} {DAMAGED} ({one_line(error)}); fetch it again") from error


def parquet_files(source: Path | None) -> dict[str, list[Path]]:
    """Return split -> Parquet files in order, of a file or a folder; empty where there are none.

    Raises:
      UserError: some files name a split and others don't.
    """
    if source is None or not source.exists():
        return {}
    if source.is_file():
        with source.open("rb") as file:
            found = [source] if file.read(4) == b"PAR1" else []
    else:
        found = next((paths for pattern in FOLDERS if (paths := _visible(source, pattern))), [])
    files: dict[str, list[Path]] = {}
    for path in found:
        files.setdefault(_split(path), []).append(path)
    if len(files) > 1 and "all" in files:
        raise UserError(f"{files['all'][0]}: its name has no split, others have ({shorten(list(files))}); rename it")
    return {split: files[split] for split in (*SPLIT_WORDS, "all") if split in files}


def _visible(source: Path, pattern: str) -> list[Path]:
    return sorted(path for path in source.glob(pattern) if not is_litter_name(path.name))


def _split(path: Path) -> str:
    """Find the split by the name up to its number, else by the folder: train-00000-of-00003.parquet,
    train/0000.parquet."""
    match = _SHARD.fullmatch(path.stem)
    return split_of(match[1] if match else path.stem) or split_of(path.parent.name) or "all"


def _opened(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: reading Parquet needs pyarrow: pip install 'expressnet-jax[parquet]'") from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} {DAMAGED} ({one_line(error)}); fetch it again") from error


def _image_column(path: Path, schema: Any) -> str:
    """Return the column of bytes, or of {bytes, path}; of several, the one that is called an image."""
    import pyarrow.types as types

    binary = lambda kind: types.is_binary(kind) or types.is_large_binary(kind)
    nested = lambda kind: types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    found = [field.name for field in schema if binary(field.type) or nested(field.type)]
    named = [name for name in found if name.lower() in COLUMNS["path"]]
    if len(named or found) != 1:
        which = f"several columns of images: {', '.join(found)}" if found else "no column of images"
        raise UserError(f"{path}: {which}; its columns are {shorten(schema.names)}; store the images' bytes as 'image'")
    return (named or found)[0]


def _label_column(path: Path, schema: Any) -> str:
    names = {name.lower(): name for name in reversed(schema.names)}
    for alias in COLUMNS["label"]:
        if alias in names:
            return names[alias]
    raise UserError(f"{path}: no column of labels; its columns are {shorten(schema.names)}; rename one to 'label'")


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """Return the names of a Hugging Face ClassLabel, kept as JSON in the schema; none where the file wasn't made
    there."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(info["info"]["features"][label]["names"])
    except (KeyError, ValueError, TypeError):
        return ()


def _content(image: Any, path: Path, key: str) -> bytes | Path:
    """Return the encoded image; a row may name a file next to the table instead."""
    content = image.get("bytes") if isinstance(image, dict) else image
    if content:
        return content
    name = image.get("path") if isinstance(image, dict) else None
    if name and (file := path.parent / name).is_file():
        return file
    raise UserError(f"{path.parent / key}: no image in it" + (f", and no file {name} next to it" if name else ""))
