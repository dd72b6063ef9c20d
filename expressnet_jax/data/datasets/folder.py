"""`folder`: your own images, in class-named folders, in a list, or in Parquet files of the Hugging Face hub.

ROOT/CLASS/*                    no official split: the split is "all"
ROOT/train|validation|test/CLASS/*
FILE.csv|tsv|txt|jsonl          path (or image, file) and label (or emotion, class); optional split and subject
ROOT/[SPLIT/]metadata.csv|jsonl file_name and label, next to the images: `imagefolder` of the hub
FILE.parquet, ROOT/[data/]train-00000-of-00003.parquet

Recordings and videos are read as well, from class folders and lists that hold no image; a video becomes a clip.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from expressnet_jax.data import clip_frames
from expressnet_jax.data.clip_frames import ClipShape
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.class_folders import SPLIT_WORDS, class_tree
from expressnet_jax.data.datasets.clips import CLIP_COLUMNS, Clip, clip_notes, clip_records, wants_sound
from expressnet_jax.data.datasets.folder_layout import class_root, list_files
from expressnet_jax.data.datasets.locate import has_class_folders, refuse_wrong_file
from expressnet_jax.data.datasets.numbered import name_numbers
from expressnet_jax.data.datasets.parquet import ParquetFaces, parquet_files
from expressnet_jax.data.datasets.sample_list import Sample, listed_samples
from expressnet_jax.data.labels import BASIC, LABELS, WITH_CONTEMPT, canonical
from expressnet_jax.data.media_files import media_kind
from expressnet_jax.data.remarks import KEPT_APART, MERGED
from expressnet_jax.data.sound import RATE
from expressnet_jax.errors import UserError, printable


class Folder(FaceBuilder, skip_registration=True):
    """Images of any size and format with labels of the user's own.

    If every class name means an emotion of the taxonomy (`Happy`, `1_sad`), the classes are the taxonomy's: the seven
    basic ones, or eight if contempt is among them. Otherwise they are the names as found, sorted. With the option
    `labels=own` they always are; labels that mean the same class (`joy` and `smile`) are listed in the notes. Labels
    that are numbers are named by the option `label_names` ("anger,disgust,..." for 0, 1, ...), or stay numbers.
    """

    name = "folder"
    LICENSE = "The user's own images; whoever prepares them knows their terms."
    HOW_TO_GET = (
        "Give a folder with one folder for each class, a CSV with the columns path and label, or Parquet files, "
        "with --source"
    )
    FILES: ClassVar = ("table", "a Parquet table")
    OPTIONS: ClassVar = {"name": "folder", "labels": "auto", "label_names": "", **clip_frames.OPTIONS, "sound": False}

    def __init__(self, *, options: dict | None = None, **kwargs) -> None:
        self.name = (options or {}).get("name", "folder")
        super().__init__(options=options, **kwargs)

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether class folders named after expressions, or Parquet files, are there."""
        return has_class_folders(folder) or bool(parquet_files(folder))

    @cached_property
    def CLASSES(self) -> tuple[str, ...]:
        return class_names(self._named.values(), self.options["labels"])

    @cached_property
    def MEDIA(self) -> str:
        """What the first sample is; a folder with any image is one of images, and a clip is stored as one."""
        return "waveform" if self._kind == "audio" else "image"

    @cached_property
    def _kind(self) -> str:
        """What the first sample is by its content: "image", "audio" or "video"."""
        return media_kind(self._samples[0].path) if self._tables is None and self._samples else "image"

    @cached_property
    def _clips(self) -> ClipShape | None:
        return ClipShape.of(self.options, self.name) if self._kind == "video" else None

    @cached_property
    def SOUND(self) -> bool:
        """Whether the sound of videos is asked for."""
        if self.options["sound"] and not self._clips:
            raise UserError(f"{self.name}: sound: is of videos, but the source holds none; leave it out")
        return wants_sound(self.options)

    @property
    def SIZE(self) -> tuple[int, int] | None:
        return self._clips.stored if self._clips else None

    @property
    def CHANNELS(self) -> int | None:
        return 3 if self._clips else None

    @cached_property
    def COLUMNS(self) -> dict:
        subjects = self._tables is None and any(sample.subject for sample in self._samples)
        return ({"subject": ((), str)} if subjects else {}) | (CLIP_COLUMNS if self._clips else {})

    @cached_property
    def _tables(self) -> ParquetFaces | None:
        files = parquet_files(self.source)
        return ParquetFaces(files) if files else None

    @cached_property
    def _samples(self) -> list[Sample]:
        return list(list_samples(self.source, self.notes))

    @classmethod
    def source_files(cls, source: Path) -> Iterable[Path]:
        """Return the files of the tree, or the list and the images that it names."""
        is_list = source.is_file() and not parquet_files(source)
        listed = [sample.path for sample in list_samples(source)] if is_list else []
        return [*super().source_files(source), *listed]

    @cached_property
    def _named(self) -> dict[str, str]:
        """Label as it is written -> class name as people write it."""
        words = self._tables.words if self._tables else {sample.label_text for sample in self._samples}
        return name_numbers(words, str(self.options["label_names"]), self.notes)

    def read(self, source: Path) -> dict[str, Iterable[Record]]:
        """Return the splits that are named, in the order train, validation, test; "all" where none is."""
        self.notes |= shared_meanings(self._named.values(), self.CLASSES)
        if self.MEDIA == "waveform":
            self.notes["sample_rate"] = RATE
        names = {word: name if name in self.CLASSES else canonical(name) for word, name in self._named.items()}
        labels = {word: self.CLASSES.index(name) for word, name in names.items()}
        if self._tables:
            self.notes |= {f"{split} left out": {"no label": n} for split, n in self._tables.left_out.items()}
            return {split: self._tables.records(split, labels) for split in self._tables.files}
        splits: dict[str, list[Any]] = {split: [] for split in (*SPLIT_WORDS, "all")}
        kind = Clip if self._clips else Record
        for sample in self._samples:
            label = labels[sample.label_text]
            splits[sample.split].append(kind(sample.key, sample.path, label, subject=sample.subject))
        return {split: self._as_clips(records) for split, records in splits.items() if records}

    def _as_clips(self, found: Sequence[Any]) -> Sequence[Record]:
        """Return the records of videos, each read when it is asked for; of other media, what is given."""
        if self._clips is None:
            return found
        self.notes |= clip_notes(self._clips, self.SOUND)
        heard = [replace(clip, sound=clip.source) for clip in found] if self.SOUND else found
        return clip_records(self.name, heard, self._clips)


def class_names(words: Iterable[str], labels: str = "auto") -> tuple[str, ...]:
    """Return the classes that these labels, as people write them, stand for; with labels "own" they stand for
    themselves.

    So do labels of one meaning where there is no other, as it would be the only class.
    """
    if labels not in LABELS:
        raise UserError(f"labels: {labels!r} is not one of {', '.join(LABELS)}")
    found = set(words)
    known = {canonical(word) for word in found}
    if None in known or labels == "own" or (len(known) == 1 and len({_plain(word) for word in found}) > 1):
        return tuple(sorted(found, key=lambda word: (int(word) if word.isdecimal() else -1, word)))
    return BASIC if known <= set(BASIC) else WITH_CONTEMPT


def shared_meanings(words: Iterable[str], classes: Collection[str]) -> dict[str, dict[str, list[str]]]:
    """Return the notes on labels of one meaning: MERGED if `classes` have it as one, KEPT_APART if it is the only one.

    Each is meaning -> labels. `Happy` and `happy` are the same label.
    """
    groups: dict[str, dict[str, str]] = {}
    for word in sorted(set(words)):
        groups.setdefault(canonical(word) or word, {}).setdefault(_plain(word), word)
    several = {meaning: [*group.values()] for meaning, group in groups.items() if len(group) > 1}
    if not several or not (set(groups) <= set(classes) or len(groups) == 1):
        return {}
    return {MERGED if set(groups) <= set(classes) else KEPT_APART: several}


def _plain(word: str) -> str:
    return word.strip().lower()


def list_samples(source: Path, notes: dict[str, Any] | None = None) -> Iterator[Sample]:
    """Yield every image of a tree of class folders, or of a list, in order; what is left out goes into the notes."""
    notes = {} if notes is None else notes
    if source.is_file():
        refuse_wrong_file("folder", source, ("table",), Folder.HOW_TO_GET)
    lists = {"all": source} if source.is_file() else list_files(source)
    if lists:
        for split, path in lists.items():
            yield from listed_samples(path, notes, split)
        return
    root = class_root(source, notes)
    for split, classes in class_tree(root, notes, ("image", "audio", "video")).items():
        for word, paths in classes.items():
            for path in paths:
                yield Sample(printable(path.relative_to(source).as_posix()), path, printable(word), split)
