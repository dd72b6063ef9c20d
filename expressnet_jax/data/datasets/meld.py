"""MELD (Poria et al. 2019): utterances from a television series, with the emotion that annotators found by all of text,
sound and video.

Layout: train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv, official columns; only the text is read. The subject
is the speaker, who may be in all three official splits.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.datasets.tables import torn_rows_named
from expressnet_jax.data.datasets.text import TextBuilder
from expressnet_jax.data.labels import BASIC, canonical
from expressnet_jax.errors import UserError

FILES = {"train": "train_sent_emo.csv", "validation": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
COLUMNS = ("Utterance", "Emotion", "Speaker", "Dialogue_ID", "Utterance_ID")


class Meld(TextBuilder, skip_registration=True):
    """Utterances with one of seven emotions; subject is the speaker."""

    name = "meld"
    CLASSES = BASIC
    LICENSE = "GPL 3.0 for the annotation, Poria et al. 2019; the transcripts are of a television series."
    HOW_TO_GET = (
        "Download data/MELD of https://github.com/declare-lab/MELD, and give the folder with train_sent_emo.csv, "
        "dev_sent_emo.csv and test_sent_emo.csv with --source"
    )
    FURTHER: ClassVar = {"subject": ((), str)}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the files with these names are there."""
        return all((folder / name).is_file() for name in FILES.values())

    def read_texts(self, source: Path) -> dict[str, list[Record]]:
        """Return the three official splits in the order of their files."""
        folder = locate(self, source, f"no {', '.join(FILES.values())}")
        return {split: list(self._rows(folder / name)) for split, name in FILES.items()}

    def _rows(self, path: Path) -> Iterator[Record]:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file, torn_rows_named(f"meld: {path}"):
            rows = csv.DictReader(file)
            if lacking := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise UserError(f"{self.name}: {path}: has no column {lacking[0]}; fetch the file again")
            for row in rows:
                emotion = canonical(row["Emotion"] or "")
                if emotion not in BASIC:
                    where = f"{path} row {rows.line_num}"
                    raise UserError(f"{self.name}: {where}: emotion {row['Emotion']!r} is not one of MELD's seven")
                key = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
                yield Record(key, row["Utterance"].encode(), BASIC.index(emotion), subject=row["Speaker"])
