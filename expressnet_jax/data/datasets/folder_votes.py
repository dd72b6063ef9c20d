"""FER+ as Microsoft's generator leaves it: FER2013Train/fer0000000.png and a label.csv of votes in each folder.

Shapes: V = 10 columns of votes, as in `votes`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from expressnet_jax.data.datasets.annotation_files import require_files
from expressnet_jax.data.datasets.tables import Table
from expressnet_jax.data.labels import FERPLUS_COLUMNS
from expressnet_jax.errors import UserError

_VOTE_FOLDERS = {"train": "FER2013Train", "validation": "FER2013Valid", "test": "FER2013Test"}
_VOTE_TABLES = ("label.csv", "labels.csv")
WHOLE = "(0, 0, 48, 48)"  # the box of the face, which label.csv states in its second column


def vote_folders(root: Path) -> dict[str, Path]:
    """Return split -> its folder, for those of the generator's folders that are in `root`, or in its data/ or
    images/."""
    bases = [base for base in (root, root / "data", root / "images") if (base / _VOTE_FOLDERS["train"]).is_dir()]
    return {split: bases[0] / name for split, name in _VOTE_FOLDERS.items() if bases and (bases[0] / name).is_dir()}


def folder_votes(folder: Path, table: Path | None) -> list[tuple[Path, np.ndarray]]:
    """Return (image, votes int32[V]) in the order of the table.

    table: fer2013new.csv, of use where the folder has no label.csv; only its rows about this folder's images count.

    Raises:
      UserError: no table, a row of another form, images that aren't there.
    """
    own = next((folder / name for name in _VOTE_TABLES if (folder / name).is_file()), None)
    if own:
        rows = list(_own_rows(own))
    elif table:
        rows = list(_official_rows(table, folder))
    else:
        raise UserError(
            f"ferplus: no label.csv in {folder}; fetch it, or fer2013new.csv, from github.com/microsoft/FERPlus"
        )
    remedy = "make the images with generate_training_data.py of github.com/microsoft/FERPlus, or give fer2013.csv"
    require_files(((place, folder / name) for place, name, _ in rows), remedy)
    return [(folder / name, votes) for _, name, votes in rows]


def _own_rows(table: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """(place, file name, votes); the file has no header, and a copy with one is read, too."""
    for line, values in Table(table, ()).rows():
        place = f"ferplus: {table.parent.name}/{table.name} row {line}"
        if line == 1 and not any(value.isdecimal() for value in values):
            continue
        name, *rest = values
        counts = rest[-len(FERPLUS_COLUMNS) :]
        if rest[: -len(FERPLUS_COLUMNS)] not in ([], [WHOLE]):
            raise UserError(
                f"{place}: {', '.join(rest[: -len(FERPLUS_COLUMNS)])} is not the box {WHOLE}; fetch it again"
            )
        yield place, name, _counts(counts, place)


def _official_rows(table: Path, folder: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    rows = Table(table, ("usage", "image name")).rows()
    header = [name.lower() for name in next(rows, (1, []))[1]]
    if "image name" not in header:
        raise UserError(f"{table.name} row 1: no column Image name; fetch the file again")
    at, there = header.index("image name"), {path.name for path in folder.iterdir()}
    for line, values in rows:
        if len(values) > at and values[at] in there:
            place = f"ferplus: {table.name} row {line}"
            yield place, values[at], _counts(values[-len(FERPLUS_COLUMNS) :], place)


def _counts(texts: list[str], place: str) -> np.ndarray:
    if len(texts) != len(FERPLUS_COLUMNS) or not all(text.isdecimal() for text in texts):
        raise UserError(f"{place}: the votes are not ten whole numbers; fetch the file again")
    return np.array(texts, np.int32)
