"""FER+ (Barsoum et al. 2016, "Training deep networks for facial expression recognition with crowd-sourced label
distribution"): the pictures of FER2013 with ten annotators' votes each, in `fer2013new.csv`.

Shapes: V = 10 columns of votes (eight expressions, unknown, not a face), K = 8 classes.
"""

from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.fer2013 import CSV_NAMES, Fer2013, coverage, find_csv, read_csv
from expressnet_jax.data.datasets.votes import VOTES_NAME, check_rows, read_votes
from expressnet_jax.data.labels import FERPLUS_COLUMNS, WITH_CONTEMPT
from expressnet_jax.errors import UserError

EXPRESSIONS = len(WITH_CONTEMPT)
TO_CLASSES = [FERPLUS_COLUMNS.index(name) for name in WITH_CONTEMPT]
UNKNOWN, NO_FACE = FERPLUS_COLUMNS.index("unknown"), FERPLUS_COLUMNS.index("NF")
# FER2013's own label agrees with the majority of FER+ on about two pictures in three, in rows that don't match on one
# in five: below this share the two files are not in the same order.
LEAST_AGREEMENT = 0.4


class FerPlus(FaceBuilder, skip_registration=True):
    """FER2013's pictures with eight classes by vote, after the rules of Barsoum et al. 2016 and their published reader.

    Both modes first drop single votes as outliers. A picture is left out, and counted in the facts, if no expression
    is left by its rule:
      votes (default): expressions are taken from the most voted down, equal ones together, until they hold three
        quarters of the votes or are three; it ends where `unknown` or `not a face` comes next. Those taken must hold
        more than half of all votes and be at most three. Their shares are the soft target, the largest is the label.
      majority: the expression that holds more than half of the votes is the label; there are no soft targets.
    """

    name = "ferplus"
    CLASSES = WITH_CONTEMPT
    CHANNELS = 1
    SIZE = Fer2013.SIZE
    LICENSE = f"Votes: MIT (Microsoft). {Fer2013.LICENSE}"
    HOW_TO_GET = (
        f"Download {VOTES_NAME} from github.com/microsoft/FERPlus and put it beside fer2013.csv. {Fer2013.HOW_TO_GET}"
    )
    OPTIONS: ClassVar = {"mode": "votes"}

    @property
    def COLUMNS(self) -> dict:
        return {"votes": ((EXPRESSIONS,), np.float32)} if self.options["mode"] == "votes" else {}

    def read(self, source: Path) -> dict[str, list[Record]]:
        """FER2013's splits, each without the pictures that the rule leaves out."""
        if self.options["mode"] not in RULES:
            raise UserError(f"ferplus: mode is {self.options['mode']!r}, not one of {', '.join(RULES)}")
        folder = source.parent if source.is_file() else source
        table = find_csv(folder if source.name == VOTES_NAME else source)
        if table is None:
            raise self.missing(f"no {' or '.join(CSV_NAMES)} in {folder}")
        if not (folder / VOTES_NAME).is_file():
            raise self.missing(f"no {VOTES_NAME} in {folder}")
        votes = read_votes(folder / VOTES_NAME)
        pictures = read_csv(table)
        self.notes |= coverage(pictures)
        return {split: self._voted(split, records, votes[split]) for split, records in pictures.items()}

    def _voted(self, split: str, records: list[Record], votes: np.ndarray) -> list[Record]:
        """The i-th row of votes belongs to the i-th picture of the split; votes int32[N,V]."""
        check_rows(split, records, votes)
        rule, soft = RULES[self.options["mode"]], self.options["mode"] == "votes"
        kept, left_out, agreeing = [], Counter(), 0
        for record, counts in zip(records, votes, strict=True):
            shares = rule(np.where(counts > 1, counts, 0))
            if shares is None:
                left_out[reason(counts)] += 1
                continue
            label = WITH_CONTEMPT.index(FERPLUS_COLUMNS[shares.argmax()])
            agreeing += label == record.label
            kept.append(Record(record.key, record.image, label, votes=shares[TO_CLASSES] if soft else None))
        if agreeing < LEAST_AGREEMENT * len(kept):
            raise UserError(
                f"ferplus: the votes don't fit the pictures of {split}; use fer2013.csv in its official order"
            )
        self.notes[f"left out of {split}"] = dict(sorted(left_out.items()))
        return kept


def soft_shares(counts: np.ndarray) -> np.ndarray | None:
    """Votes int[V] without outliers -> float32[V], the shares of the expressions taken, or None to leave it out."""
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
    """Votes int[V] without outliers -> float32[V] with a one for the expression of the majority, or None."""
    winner = counts.argmax()
    if winner >= EXPRESSIONS or counts[winner] <= 0.5 * counts.sum():
        return None
    return np.eye(len(counts), dtype=np.float32)[winner]


def reason(counts: np.ndarray) -> str:
    """Why a picture is left out, in a word for the facts."""
    return {UNKNOWN: "unknown", NO_FACE: "not a face"}.get(int(counts.argmax()), "no agreement")


RULES = {"votes": soft_shares, "majority": majority_share}
