"""FER2013 (Goodfellow et al. 2013, "Challenges in representation learning"): 35,887 gray faces of 48x48 pixels.

Three layouts: `fer2013.csv` (emotion, pixels, Usage), `icml_face_data.csv` (the same columns in another order, with
spaces in the header), and class folders below train/ and test/, or train/, validation/ and test/.
"""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.trees import class_tree, split_folders
from expressnet_jax.data.datasets.votes import SPLIT_OF_USAGE, VOTES_NAME, basic_shares, check_rows, read_votes
from expressnet_jax.data.labels import BASIC, canonical
from expressnet_jax.errors import UserError

SIDE = 48
OFFICIAL_COUNTS = {"train": 28_709, "validation": 3_589, "test": 3_589}
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
# A dictionary parses a pixel and checks its range in one look-up, several times as fast as int() or NumPy's parser.
PIXEL_VALUES = {str(value): value for value in range(256)}


class Fer2013(FaceBuilder, skip_registration=True):
    """FER2013 with the splits of the challenge: Training, PublicTest -> validation, PrivateTest -> test.

    With the option `votes`, every picture also carries FER+'s votes (fer2013new.csv beside fer2013.csv) as shares of
    the seven classes; labels stay FER2013's, no picture is left out.
    """

    name = "fer2013"
    CLASSES = BASIC
    CHANNELS = 1
    SIZE = (SIDE, SIDE)
    LICENSE = "Pictures found on the web, released for the ICML 2013 challenge; research use, no licence is stated."
    HOW_TO_GET = (
        "Download it from the Kaggle challenge "
        '"challenges-in-representation-learning-facial-expression-recognition-challenge", and give fer2013.csv, '
        "or the folder that holds it or train/ and test/, with --source"
    )

    OPTIONS: ClassVar = {"votes": False}

    @property
    def COLUMNS(self) -> dict:
        return {"votes": ((len(BASIC),), np.float32)} if self.options["votes"] else {}

    def read(self, source: Path) -> dict[str, list[Record]]:
        """The splits that the source has rows or folders for."""
        table = find_csv(source)
        if table is not None:
            splits = read_csv(table)
        elif source.is_dir() and split_folders(source):
            splits = read_folders(source)
        else:
            raise self.missing(f"no {' or '.join(CSV_NAMES)} and no train/ or test/ in {source}")
        self.notes |= coverage(splits)
        return self._with_votes(table, splits) if self.options["votes"] else splits

    def _with_votes(self, table: Path | None, splits: dict[str, list[Record]]) -> dict[str, list[Record]]:
        path = table.parent / VOTES_NAME if table else None
        if path is None or not path.is_file():
            raise self.missing(f"votes are rows beside those of fer2013.csv, and there is no {path or VOTES_NAME}")
        votes = read_votes(path)
        for split, records in splits.items():
            check_rows(split, records, votes[split])
        return {
            split: [
                replace(record, votes=basic_shares(counts, record.label))
                for record, counts in zip(records, votes[split], strict=True)
            ]
            for split, records in splits.items()
        }


def find_csv(source: Path) -> Path | None:
    """The data set's CSV: `source` itself, or the file of an official name in that folder."""
    candidates = [source] if source.is_file() else [source / name for name in CSV_NAMES]
    return next((path for path in candidates if path.is_file()), None)


def read_csv(path: Path) -> dict[str, list[Record]]:
    """Rows of emotion, pixels and Usage, in any column order -> the records of each split, in the file's order."""
    splits: dict[str, list[Record]] = {split: [] for split in SPLIT_OF_USAGE.values()}
    for row, (emotion, usage, pixels) in _rows(path):
        where = f"{path.name} row {row}"
        if usage not in SPLIT_OF_USAGE:
            raise UserError(f"{where}: Usage is {usage!r}, not one of {', '.join(SPLIT_OF_USAGE)}")
        if emotion not in set("0123456"):
            raise UserError(f"{where}: emotion is {emotion!r}, not 0..6")
        image = parse_pixels(pixels, where)
        splits[SPLIT_OF_USAGE[usage]].append(Record(f"row{row}", image, int(emotion)))
    present = {split: records for split, records in splits.items() if records}
    if not present:
        raise UserError(f"{path.name}: no rows below the header; fetch the file again")
    return present


def parse_pixels(text: str, where: str) -> np.ndarray:
    """2,304 numbers with spaces between them -> uint8[48,48]."""
    words = text.split()
    if len(words) != SIDE * SIDE:
        raise UserError(f"{where}: {len(words)} pixels, not {SIDE * SIDE}: the row is torn; fetch the file again")
    try:
        flat = bytes(map(PIXEL_VALUES.__getitem__, words))
    except KeyError as error:
        raise UserError(f"{where}: pixel {error.args[0]!r} is not a number from 0 to 255") from None
    return np.frombuffer(flat, np.uint8).reshape(SIDE, SIDE)


def read_folders(root: Path) -> dict[str, list[Record]]:
    """train/, validation/ and test/ with class folders -> the records of each split, in the order of their names."""
    splits = {}
    for split, classes in class_tree(root).items():
        splits[split] = []
        for folder, paths in classes.items():
            if canonical(folder) not in BASIC:
                raise UserError(f"fer2013: unknown class folder {split}/{folder}; the classes are: {', '.join(BASIC)}")
            label = BASIC.index(canonical(folder))
            splits[split] += [Record(path.relative_to(root).as_posix(), path, label) for path in paths]
    return splits


def coverage(splits: dict[str, list[Record]]) -> dict[str, str]:
    """A note for each official split that is missing, incomplete, or (as in test/ of some copies) two in one."""
    notes = {}
    for split, official in OFFICIAL_COUNTS.items():
        found = len(splits.get(split, ()))
        if split == "test" and found == OFFICIAL_COUNTS["validation"] + official and "validation" not in splits:
            notes[split] = f"{found} pictures: PublicTest and PrivateTest together; compare with neither"
        elif found != official:
            notes[split] = f"{found} of the official {official} pictures"
    return notes


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """(row number as an editor shows it, (emotion, Usage, pixels)) of every row below the header."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        wanted = ("emotion", "Usage", "pixels")
        if not set(wanted) <= set(header):
            raise UserError(f"{path.name} row 1: the header is {header}; it needs {', '.join(wanted)}")
        columns = [header.index(name) for name in wanted]
        last = 1  # a quote that is never closed is noticed many rows further down
        try:
            for values in reader:
                if not values:
                    continue
                if len(values) < len(header):
                    raise UserError(f"{path.name} row {reader.line_num}: {len(values)} columns, not {len(header)}")
                last = reader.line_num
                yield last, tuple(values[column].strip() for column in columns)
        except csv.Error as error:
            raise UserError(f"{path.name} row {last + 1}: torn ({error}); fetch the file again") from error
