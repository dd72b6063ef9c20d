"""`fer2013new.csv`: the votes of ten annotators on every image of FER2013, row by row (Barsoum et al. 2016, FER+).

Shapes: N images of a split, V = 10 columns (eight expressions, unknown, not a face).
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from expressnet_jax.data.datasets.tables import torn_rows_named
from expressnet_jax.data.labels import BASIC, FERPLUS_COLUMNS
from expressnet_jax.errors import UserError

VOTES_NAME = "fer2013new.csv"
SPLIT_OF_USAGE = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
_TO_BASIC = [FERPLUS_COLUMNS.index(name) for name in BASIC]


def read_votes(path: Path) -> dict[str, np.ndarray]:
    """Read split -> votes int32[N,V] in the file's order, which is FER2013's."""
    votes: dict[str, list[list[int]]] = {split: [] for split in SPLIT_OF_USAGE.values()}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file, torn_rows_named(path.name):
        reader = csv.DictReader(file)
        missing = {"Usage", *FERPLUS_COLUMNS} - set(reader.fieldnames or [])
        if missing:
            raise UserError(f"{path.name} row 1: no column {', '.join(sorted(missing))}; fetch the file again")
        for row in reader:
            where = f"{path.name} row {reader.line_num}"
            if row["Usage"] not in SPLIT_OF_USAGE:
                raise UserError(f"{where}: Usage is {row['Usage']!r}, not one of {', '.join(SPLIT_OF_USAGE)}")
            try:
                counts = [int(row[name]) for name in FERPLUS_COLUMNS]
            except (TypeError, ValueError):
                raise UserError(f"{where}: the votes are not ten whole numbers; fetch the file again") from None
            votes[SPLIT_OF_USAGE[row["Usage"]]].append(counts)
    return {split: np.asarray(rows, np.int32).reshape(-1, len(FERPLUS_COLUMNS)) for split, rows in votes.items()}


def check_rows(split: str, records: Sequence, votes: np.ndarray) -> None:
    """Raise UserError unless there is a row of votes for every image."""
    if len(records) != len(votes):
        raise UserError(
            f"{VOTES_NAME}: {split} has {len(records)} images but {len(votes)} rows of votes; use all of fer2013.csv"
        )


def basic_shares(counts: np.ndarray, label: int) -> np.ndarray:
    """Turn votes int[V] into float32[7], the shares of the seven basic expressions; single votes are dropped as
    outliers.

    Where no basic expression has two votes, all goes to `label`: nothing is left out.
    """
    votes = np.where(counts > 1, counts, 0)[_TO_BASIC].astype(np.float32)
    return votes / votes.sum() if votes.any() else np.eye(len(BASIC), dtype=np.float32)[label]
