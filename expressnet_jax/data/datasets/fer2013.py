"""FER2013 (Goodfellow et al. 2013, "Challenges in representation learning"): 35,887 gray faces of 48x48 pixels.

Layouts: `fer2013.csv` (emotion, pixels, Usage), `icml_face_data.csv` (the same columns in another order, with spaces in
the header), `train.csv` and `test.csv` (emotion, pixels; the challenge's test.csv has no labels), and class folders
below train/ and test/, or train/, validation/ and test/.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.coded_folders import filed_images
from expressnet_jax.data.datasets.face_landmarks import LANDMARK_NAMES, FaceLandmarks, find_landmarks
from expressnet_jax.data.datasets.locate import has_class_folders, locate
from expressnet_jax.data.datasets.pixel_table import SIDE, is_pixel_table, parse_pixels, pixel_rows
from expressnet_jax.data.datasets.tables import header_of
from expressnet_jax.data.datasets.votes import SPLIT_OF_USAGE, VOTES_NAME, basic_shares, check_rows, read_votes
from expressnet_jax.data.fields import Field
from expressnet_jax.data.labels import BASIC, FER2013_CODES
from expressnet_jax.errors import UserError

OFFICIAL_COUNTS = {"train": 28_709, "validation": 3_589, "test": 3_589}
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
_SPLIT_TABLES = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}
_USAGE_OF_FILE = {"train.csv": "Training"}
NOTHING = f"no {' or '.join(CSV_NAMES)} and no train/ or test/"
_USAGE_OF_SPLIT = {split: usage for usage, split in SPLIT_OF_USAGE.items()}


class Fer2013(FaceBuilder, skip_registration=True):
    """FER2013 with the splits of the challenge: Training, PublicTest -> validation, PrivateTest -> test.

    With the option `votes`, every image also carries FER+'s votes (fer2013new.csv next to fer2013.csv) as shares of
    the seven classes; labels stay FER2013's, no image is left out. With the option `landmarks`, every image carries 146
    `landmarks` in space and 52 `blendshapes` of fer2013_landmarks.npz (see `face_landmarks`) in the same folder.
    """

    name = "fer2013"
    CLASSES = BASIC
    CHANNELS = 1
    SIZE = (SIDE, SIDE)
    LICENSE = "Images found on the web, released for the ICML 2013 challenge; research use, no licence is stated."
    HOW_TO_GET = (
        "Download it from the Kaggle challenge "
        '"challenges-in-representation-learning-facial-expression-recognition-challenge", and give fer2013.csv, '
        "or the folder that holds it or train/ and test/, with --source"
    )

    FILES: ClassVar = ("table",)
    OPTIONS: ClassVar = {"votes": False, "landmarks": False}

    @property
    def COLUMNS(self) -> dict:
        votes = {"votes": ((len(BASIC),), np.float32)} if self.options["votes"] else {}
        return votes | {name: (field.shape, np.float16) for name, field in self.TARGETS.items()}

    @property
    def TARGETS(self) -> dict[str, Field]:
        """Landmarks and blendshapes, where they are wanted."""
        return self._landmarks.fields if self.options["landmarks"] and self.source else {}

    @cached_property
    def _landmarks(self) -> FaceLandmarks:
        table = self.source.is_file()
        folder = self.source.parent if table else locate(self, self.source, NOTHING)
        path = find_landmarks(folder)
        if path is None or not (table or find_csv(folder)):
            missing = f"landmarks are rows that go with those of fer2013.csv, and there is no {LANDMARK_NAMES[0]}"
            raise self.missing(f"{missing} next to one in {folder}")
        return FaceLandmarks(path, depth=True)

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether one of the tables is there, or class folders below split folders."""
        if find_csv(folder) is not None or is_pixel_table(folder / _SPLIT_TABLES["train"]):
            return True
        return has_class_folders(folder, FER2013_CODES, splits=True)

    def read(self, source: Path) -> dict[str, list[Record]]:
        """Return the splits that the source has rows or folders for."""
        source = locate(self, source, NOTHING)
        table = find_csv(source)
        if table is not None:
            splits = read_csv(table)
        elif is_pixel_table(source / _SPLIT_TABLES["train"]):
            splits = self._split_tables(source)
        else:
            splits = _read_folders(source, self.notes)
        self.notes |= coverage(splits)
        if self.options["landmarks"]:
            splits = {split: self._landmarks.extend(split, records, self.notes) for split, records in splits.items()}
        return self._with_votes(table, splits) if self.options["votes"] else splits

    def _split_tables(self, source: Path) -> dict[str, list[Record]]:
        splits: dict[str, list[Record]] = {}
        for split, name in _SPLIT_TABLES.items():
            if "emotion" in header_of(source / name, ("emotion", "pixels")):
                splits |= read_csv(source / name, _USAGE_OF_SPLIT[split])
            elif (source / name).is_file():
                self.notes[f"{name} left out"] = "it has no labels; its images and theirs are in icml_face_data.csv"
        return splits

    def _with_votes(self, table: Path | None, splits: dict[str, list[Record]]) -> dict[str, list[Record]]:
        path = table.parent / VOTES_NAME if table else None
        if path is None or not path.is_file():
            raise self.missing(
                f"votes are rows that go with those of fer2013.csv, and there is no {path or VOTES_NAME}"
            )
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
    """Return the data set's CSV: `source` itself, or the file of an official name in that folder."""
    candidates = [source] if source.is_file() else [source / name for name in CSV_NAMES]
    return next((path for path in candidates if path.is_file()), None)


def read_csv(path: Path, usage: str = "") -> dict[str, list[Record]]:
    """Read rows of emotion, pixels and Usage, in any column order -> the records of each split, in the file's order.

    usage: what a table without the column Usage holds.
    """
    splits: dict[str, list[Record]] = {split: [] for split in SPLIT_OF_USAGE.values()}
    for row, values in pixel_rows(path, ("emotion", "Usage", "pixels"), usage or _USAGE_OF_FILE.get(path.name, "")):
        where = f"{path.name} row {row}"
        if values["Usage"] not in SPLIT_OF_USAGE:
            raise UserError(f"{where}: Usage is {values['Usage']!r}, not one of {', '.join(SPLIT_OF_USAGE)}")
        if values["emotion"] not in set("0123456"):
            raise UserError(f"{where}: emotion is {values['emotion']!r}, not 0..6")
        image = parse_pixels(values["pixels"], where)
        splits[SPLIT_OF_USAGE[values["Usage"]]].append(Record(f"row{row}", image, int(values["emotion"])))
    present = {split: records for split, records in splits.items() if records}
    if not present:
        raise UserError(f"{path.name}: no rows below the header; fetch the file again")
    return present


def _read_folders(root: Path, notes: dict[str, Any] | None = None) -> dict[str, list[Record]]:
    """train/, validation/ and test/ with class folders -> the records of each split, in the order of their names."""
    return {
        split: [Record(image.key, image.path, BASIC.index(image.expression)) for image in images]
        for split, images in filed_images("fer2013", root, {} if notes is None else notes, FER2013_CODES).items()
    }


def coverage(splits: dict[str, list[Record]]) -> dict[str, str]:
    """Return a note for each official split that is missing, incomplete, or (as in test/ of some copies) two in one."""
    notes = {}
    for split, official in OFFICIAL_COUNTS.items():
        found = len(splits.get(split, ()))
        if split == "test" and found == OFFICIAL_COUNTS["validation"] + official and "validation" not in splits:
            notes[split] = f"{found} images: PublicTest and PrivateTest together; compare with neither"
        elif found != official:
            notes[split] = f"{found} of the official {official} images"
    return notes
