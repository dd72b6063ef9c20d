"""FER+ (Barsoum et al. 2016, "Training deep networks for facial expression recognition with crowd-sourced label
distribution"): the images of FER2013 with ten annotators' votes each.

Layouts: fer2013.csv with fer2013new.csv; the folders of Microsoft's generator (FER2013Train/, FER2013Valid/,
FER2013Test/ with fer0000000.png and label.csv, or with one fer2013new.csv); class folders of re-uploads (train/happy/),
which have the uploader's labels and no votes.

Next to the votes, every image carries FER2013's own label as the target `fer2013` where fer2013.csv is read, and
`landmarks` and `blendshapes` where the folder holds fer2013_landmarks.npz (see `face_landmarks`).

Shapes: V = 10 columns of votes (eight expressions, unknown, not a face), K = 8 classes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data.datasets.annotation_files import first_file
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.coded_folders import filed_images
from expressnet_jax.data.datasets.face_landmarks import LANDMARK_NAMES, FaceLandmarks, find_landmarks
from expressnet_jax.data.datasets.fer2013 import CSV_NAMES, Fer2013, coverage, find_csv, read_csv
from expressnet_jax.data.datasets.folder_votes import folder_votes, vote_folders
from expressnet_jax.data.datasets.locate import has_class_folders, locate
from expressnet_jax.data.datasets.votes import VOTES_NAME, check_rows, read_votes
from expressnet_jax.data.fields import Field
from expressnet_jax.data.labels import BASIC, FERPLUS_COLUMNS, WITH_CONTEMPT
from expressnet_jax.errors import UserError

EXPRESSIONS = len(WITH_CONTEMPT)
FER2013 = "fer2013"  # the target that is FER2013's own label
_TO_CLASSES = [FERPLUS_COLUMNS.index(name) for name in WITH_CONTEMPT]
UNKNOWN, NO_FACE = FERPLUS_COLUMNS.index("unknown"), FERPLUS_COLUMNS.index("NF")
# FER2013's own label agrees with the majority of FER+ on about two images in three, in rows that don't match on one
# in five: below this share the two files are not in the same order.
_LEAST_AGREEMENT = 0.4
UNLABELLED = -1  # images of the generator's folders, which have no label of FER2013


class FerPlus(FaceBuilder, skip_registration=True):
    """FER2013's images with eight classes by vote, after the rules of Barsoum et al. 2016 and their published reader.

    Both modes first drop single votes as outliers. An image is left out, and counted in the facts, if no expression
    is left by its rule:
      votes (default): expressions are taken from the most voted down, equal ones together, until they hold three
        quarters of the votes or are three; it ends where `unknown` or `not a face` comes next. Those taken must hold
        more than half of all votes and be at most three. Their shares are the soft target, the largest is the label.
      majority: the expression that holds more than half of the votes is the label; there are no soft targets.
    """

    name = "ferplus"
    CLASSES = WITH_CONTEMPT
    CHANNELS = 1
    LICENSE = f"Votes: MIT (Microsoft). {Fer2013.LICENSE}"
    HOW_TO_GET = (
        f"Download {VOTES_NAME} from github.com/microsoft/FERPlus and put it next to fer2013.csv. {Fer2013.HOW_TO_GET}"
    )
    FILES: ClassVar = ("table",)
    OPTIONS: ClassVar = {"mode": "votes"}

    @property
    def SIZE(self) -> tuple[int, int] | None:
        """FER2013's; re-uploads in class folders have others, too."""
        return Fer2013.SIZE if self._has_votes else None

    @property
    def COLUMNS(self) -> dict:
        soft = self.options["mode"] == "votes" and self._has_votes
        votes = {"votes": ((EXPRESSIONS,), np.float32)} if soft else {}
        types = {"class": np.int32}
        shape = lambda field: () if field.kind == "class" else field.shape
        return votes | {name: (shape(field), types.get(field.kind, np.float16)) for name, field in self.TARGETS.items()}

    @property
    def TARGETS(self) -> dict[str, Field]:
        """FER2013's own label, and what is known of the rows of its table."""
        if self._table is None:
            return {}
        further = self._landmarks.fields if self._landmarks else {}
        return {FER2013: Field("class", (len(BASIC),), BASIC), **further}

    @classmethod
    def source_files(cls, source: Path) -> Iterable[Path]:
        """Return all that lies below a folder; of a file, the others that are read with it, too."""
        if not source.is_file():
            return super().source_files(source)
        others = (source.parent / name for name in (*CSV_NAMES, VOTES_NAME, *LANDMARK_NAMES))
        return dict.fromkeys([source, *(path for path in others if path.is_file())])

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the tables, the generator's folders, or class folders in split folders are there."""
        tables = find_csv(folder) is not None or (folder / VOTES_NAME).is_file()
        return tables or bool(vote_folders(folder)) or has_class_folders(folder, splits=True)

    @cached_property
    def _root(self) -> Path:
        source = self.source.parent if self.source.is_file() else self.source
        return locate(self, source, f"no {' or '.join(CSV_NAMES)}, no {VOTES_NAME} and no FER2013Train/")

    @property
    def _has_votes(self) -> bool:
        """Class folders that are all that is there have none."""
        root = self._root if self.source else None
        return root is None or not has_class_folders(root, splits=True) or (root / VOTES_NAME).is_file()

    @cached_property
    def _table(self) -> Path | None:
        """The table with the images; None where other layouts have them."""
        if not self.source or not self._has_votes:
            return None
        named = self.source.is_file() and self.source.name != VOTES_NAME and self.source.name not in LANDMARK_NAMES
        return find_csv(self.source if named else self._root)

    @cached_property
    def _landmarks(self) -> FaceLandmarks | None:
        path = find_landmarks(self._root)
        return FaceLandmarks(path) if path else None

    def read(self, source: Path) -> dict[str, list[Record]]:
        """Return FER2013's splits, each without the images that the rule leaves out."""
        if self.options["mode"] not in RULES:
            raise UserError(f"ferplus: mode is {self.options['mode']!r}, not one of {', '.join(RULES)}")
        if not self._has_votes:
            return self._filed()
        table = self._table
        votes = self._root / VOTES_NAME
        if table is None and vote_folders(self._root):
            return self._generated()
        if table is None:
            raise self.missing(f"no {' or '.join(CSV_NAMES)} in {self._root}")
        if not votes.is_file():
            raise self.missing(f"no {VOTES_NAME} in {self._root}")
        counts, images = read_votes(votes), read_csv(table)
        self.notes |= coverage(images)
        for split, records in images.items():
            check_rows(split, records, counts[split])
        known = {split: self._with_targets(split, records) for split, records in images.items()}
        return {split: self._voted(split, records, counts[split]) for split, records in known.items()}

    def _with_targets(self, split: str, records: list[Record]) -> list[Record]:
        """Return the records of the table with the values of TARGETS."""
        labelled = [replace(record, extras={FER2013: np.int32(record.label)}) for record in records]
        return self._landmarks.extend(split, labelled, self.notes) if self._landmarks else labelled

    def _generated(self) -> dict[str, list[Record]]:
        splits = {}
        for split, folder in vote_folders(self._root).items():
            table = first_file(*(base / VOTES_NAME for base in (self._root, folder.parent)))
            rows = folder_votes(folder, table)
            records = [Record(f"{folder.name}/{path.name}", path, UNLABELLED) for path, _ in rows]
            splits[split] = self._voted(split, records, np.array([votes for _, votes in rows]))
        return splits

    def _filed(self) -> dict[str, list[Record]]:
        self.notes["votes"] = "none in class folders: the labels are the uploader's, not the rule of `mode`"
        return {
            split: [Record(image.key, image.path, WITH_CONTEMPT.index(image.expression)) for image in images]
            for split, images in filed_images(self.name, self._root, self.notes).items()
        }

    def _voted(self, split: str, records: list[Record], votes: np.ndarray) -> list[Record]:
        """The i-th row of votes belongs to the i-th image of the split; votes int32[N,V]."""
        rule, soft = RULES[self.options["mode"]], self.options["mode"] == "votes"
        left_out: Counter[str] = Counter()
        kept, agreeing = [], 0
        for record, counts in zip(records, votes, strict=True):
            shares = rule(np.where(counts > 1, counts, 0))
            if shares is None:
                left_out[reason(counts)] += 1
                continue
            label = WITH_CONTEMPT.index(FERPLUS_COLUMNS[shares.argmax()])
            agreeing += record.label in (label, UNLABELLED)
            kept.append(replace(record, label=label, votes=shares[_TO_CLASSES] if soft else None))
        if agreeing < _LEAST_AGREEMENT * len(kept):
            raise UserError(
                f"ferplus: the votes don't fit the images of {split}; use fer2013.csv in its official order"
            )
        self.notes[f"left out of {split}"] = dict(sorted(left_out.items()))
        return kept


def soft_shares(counts: np.ndarray) -> np.ndarray | None:
    """Turn votes int[V] without outliers into float32[V], the shares of the expressions taken, or None to leave it
    out."""
    taken = np.zeros(len(counts), np.float32)
    for value in np.unique(counts[counts > 0])[::-1]:
        if taken.sum() >= 0.75 * counts.sum() or np.count_nonzero(taken) >= 3:
            break
        tied = counts == value
        taken[:EXPRESSIONS][tied[:EXPRESSIONS]] = value
        if tied[EXPRESSIONS:].any():
            break
    if taken.sum() <= 0.5 * counts.sum() or np.count_nonzero(taken) > 3:
        return None
    return taken / taken.sum()


def majority_share(counts: np.ndarray) -> np.ndarray | None:
    """Turn votes int[V] without outliers into float32[V] with a one for the expression of the majority, or None."""
    winner = counts.argmax()
    if winner >= EXPRESSIONS or counts[winner] <= 0.5 * counts.sum():
        return None
    return np.eye(len(counts), dtype=np.float32)[winner]


def reason(counts: np.ndarray) -> str:
    """Return why an image is left out, in a word for the facts."""
    return {UNKNOWN: "unknown", NO_FACE: "not a face"}.get(int(counts.argmax()), "no agreement")


RULES = {"votes": soft_shares, "majority": majority_share}
