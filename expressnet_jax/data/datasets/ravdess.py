"""RAVDESS (Livingstone & Russo 2018): two sentences by 24 actors, spoken with eight expressions of two intensities.

Layout: Actor_NN/03-01-EE-II-SS-RR-NN.wav, official names: modality (03: sound alone), channel (01: speech), emotion,
intensity, statement, repetition, actor. Only speech is read, in 8 classes; there is no official split: hold actors out.
Where openface.npz lies in the same folder, every recording has its `openface`: 35 action units of the video of the same
take as OpenFace 2 sees them, 17 intensities 0..5 and 18 presences 0..1, the means over the frames.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.sound import SpeechBuilder
from expressnet_jax.data.remarks import LEFT_OUT
from expressnet_jax.errors import UserError, one_line

CODES = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
# Of actor 07 both repetitions of this take are one recording, sample for sample.
DUPLICATE, ITS_ORIGINAL = "03-01-03-01-02-02-07", "03-01-03-01-02-01-07"
TABLE, UNITS = "openface.npz", 35


class Ravdess(SpeechBuilder, skip_registration=True):
    """The speech recordings of RAVDESS; subject is the actor's number."""

    name = "ravdess"
    CLASSES = tuple(CODES.values())
    LICENSE = "CC BY-NC-SA 4.0, Livingstone & Russo 2018."
    HOW_TO_GET = (
        "Download Audio_Speech_Actors_01-24.zip from https://zenodo.org/records/1188976, unpack it, and give the "
        "folder with Actor_01/ ... with --source"
    )
    NAME = re.compile(r"03-01-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
    EXAMPLE = "Actor_01/03-01-05-01-01-01-01.wav"
    OFFICIAL_COUNT = 1440

    @property
    def COLUMNS(self) -> dict:
        """The actor, and action units where a table of them is there."""
        units = {"openface": ((UNITS,), np.float32)} if self._table() else {}
        return {"subject": ((), str)} | units

    def _table(self) -> Path | None:
        """Return the table of action units in the source, or in a folder that an archive put around the recordings."""
        if not self.source or not self.source.is_dir():
            return None
        levels = (TABLE, f"*/{TABLE}", f"*/*/{TABLE}", f"*/*/*/{TABLE}")
        return next((path for level in levels for path in sorted(self.source.glob(level))), None)

    def read_name(self, path: Path, parts: Sequence[str]) -> Record | None:
        """Return the record of a recording; none for the duplicate of actor 07."""
        if path.stem == DUPLICATE:
            self.notes[LEFT_OUT] = {path.name: f"the same samples as {ITS_ORIGINAL}"}
            return None
        emotion, *_, actor = parts
        return Record(path.name, path, self.code(path, emotion, CODES), subject=actor)

    def describe(self, folder: Path, records: list[Record]) -> list[Record]:
        """Return the records with the action units of the video of the same take.

        Raises:
          UserError: the table is damaged, or lacks a recording.
        """
        table = self._table()
        if table is None:
            return records
        units, names = _read_units(table)
        self.notes["openface"] = names
        keys = [take(record.key) for record in records]
        if lacking := [key for key in keys if key not in units]:
            raise UserError(f"{self.name}: {table} has no row for take {lacking[0]}; complete it or move it away")
        return [
            dataclasses.replace(record, extras={"openface": units[key]})
            for record, key in zip(records, keys, strict=True)
        ]


def take(name: str) -> str:
    """Return what sound and video of one take have in common: the name's last six fields."""
    return Path(name).stem.split("-", 1)[1]


def _read_units(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return take -> action units float32[35], and their names.

    Raises:
      UserError: the file is damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as table:
            names, units, columns = table["names"], table["action_units"], table["action_unit_names"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path}: no table of action units ({one_line(error)}); restore it or move it away") from error
    if units.shape != (len(names), UNITS) or len(columns) != UNITS:
        raise UserError(f"{path}: action_units has the shape {units.shape}, not ({len(names)}, {UNITS})")
    return {take(str(name)): row.astype(np.float32) for name, row in zip(names, units, strict=True)}, [
        *map(str, columns)
    ]
