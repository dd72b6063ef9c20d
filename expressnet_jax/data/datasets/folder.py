"""`folder`: anybody's pictures, in class-named folders or listed in a CSV of path and label.

ROOT/CLASS/*                    no official split: the split is "all"
ROOT/train|validation|test/CLASS/*
FILE.csv                        path (or image, file) and label (or emotion, class); optional split and subject
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.trees import SPLIT_WORDS, class_tree, split_of
from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT, canonical
from expressnet_jax.errors import UserError

CSV_COLUMNS = {
    "path": ("path", "image", "file", "filename"),
    "label": ("label", "emotion", "class"),
    "split": ("split", "usage"),
    "subject": ("subject", "person", "identity"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture as it is listed: where it is, and what is written about it."""

    key: str
    path: Path
    word: str
    split: str = "all"
    subject: str = ""


class Folder(FaceBuilder, skip_registration=True):
    """Pictures of any size and format with labels of the user's own.

    If every class name means an emotion of the taxonomy (`Happy`, `1_sad`), the classes are the taxonomy's: the seven
    basic ones, or eight if contempt is among them. Otherwise they are the names as found, sorted.
    """

    name = "folder"
    LICENSE = "The user's own pictures; whoever prepares them knows their terms."
    HOW_TO_GET = "Give a folder with one folder for each class, or a CSV with the columns path and label, with --source"
    OPTIONS: ClassVar = {"name": "folder"}

    def __init__(self, *, options: dict | None = None, **kwargs) -> None:
        self.name = (options or {}).get("name", "folder")
        super().__init__(options=options, **kwargs)

    @cached_property
    def CLASSES(self) -> tuple[str, ...]:
        return class_names(sample.word for sample in self._samples)

    @cached_property
    def COLUMNS(self) -> dict:
        return {"subject": ((), str)} if any(sample.subject for sample in self._samples) else {}

    @cached_property
    def _samples(self) -> list[Sample]:
        return list(list_samples(self.source))

    @classmethod
    def source_files(cls, source: Path) -> Iterable[Path]:
        """Return the files of the tree, or the CSV and the images that it lists."""
        listed = [sample.path for sample in list_samples(source)] if source.is_file() else []
        return [*super().source_files(source), *listed]

    def read(self, source: Path) -> dict[str, list[Record]]:
        """The splits that are named, in the order train, validation, test; "all" where none is."""
        splits: dict[str, list[Record]] = {split: [] for split in (*SPLIT_WORDS, "all")}
        for sample in self._samples:
            label = self.CLASSES.index(canonical(sample.word) if sample.word not in self.CLASSES else sample.word)
            splits[sample.split].append(Record(sample.key, sample.path, label, subject=sample.subject))
        return {split: records for split, records in splits.items() if records}


def class_names(words: Iterable[str]) -> tuple[str, ...]:
    """The classes that these labels, as people write them, stand for."""
    found = set(words)
    known = {canonical(word) for word in found}
    if None in known:
        return tuple(sorted(found))
    return BASIC if known <= set(BASIC) else WITH_CONTEMPT


def list_samples(source: Path) -> Iterator[Sample]:
    """Every picture of a tree of class folders, or of a CSV, in order."""
    if source.is_file():
        yield from _csv_samples(source)
        return
    for split, classes in class_tree(source).items():
        for word, paths in classes.items():
            for path in paths:
                yield Sample(path.relative_to(source).as_posix(), path, word, split)


def _csv_samples(path: Path) -> Iterator[Sample]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            columns = _columns(path, reader.fieldnames or [])
            for row in reader:
                values = {name: (row[header] or "").strip() for name, header in columns.items()}
                yield _sample(path.parent, f"{path.name} row {reader.line_num}", values)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{path.name} row {reader.line_num}: {error}; save the file as plain UTF-8 CSV") from error
    if reader.line_num < 2:
        raise UserError(f"{path.name}: no rows below the header; list at least one picture")


def _columns(path: Path, header: Iterable[str]) -> dict[str, str]:
    """Our name -> the header's word, for every column that is there."""
    words = {word.strip().lower(): word for word in header}
    columns = {}
    for name, aliases in CSV_COLUMNS.items():
        found = [words[alias] for alias in aliases if alias in words]
        if found:
            columns[name] = found[0]
        elif name in ("path", "label"):
            raise UserError(f"{path.name} row 1: no column for the {name}; name it {' or '.join(aliases)}")
    return columns


def _sample(folder: Path, where: str, row: dict[str, str]) -> Sample:
    for name in ("path", "label"):
        if not row[name]:
            raise UserError(f"{where}: the {name} is empty; fill it in or remove the row")
    path = folder / Path(row["path"]).expanduser()
    if not path.is_file():
        raise UserError(f"{where}: no file {path}; correct the path (relative paths start at the CSV's folder)")
    split = split_of(row["split"]) if "split" in row else "all"
    if split is None:
        raise UserError(f"{where}: split {row['split']!r} is not one of {', '.join(SPLIT_WORDS)}")
    return Sample(row["path"], path, row["label"], split, row.get("subject", ""))
