"""GoEmotions (Demszky et al. 2020): comments from Reddit, here with the six expressions of Ekman and neutral.

Layouts: train.tsv, dev.tsv and test.tsv with a text, its labels (numbers, several with commas) and an identity in each
row, and the names of the labels: the authors' own 28 in emotions.txt, which ekman_mapping.json gathers into six; or the
seven in labels.txt, where somebody has gathered them already (ekman/). A comment has the class that stands first, of
the authors' labels the first in the alphabet, as ekman/ has it; `votes` gives its labels equal shares, and `emotions`
has all of them, which is what the authors' figures are about.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.datasets.text import TextBuilder
from expressnet_jax.data.fields import Field
from expressnet_jax.data.labels import BASIC, canonical
from expressnet_jax.errors import UserError, one_line

FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
NAMES = "labels.txt"
ALL_NAMES, MEANINGS = "emotions.txt", "ekman_mapping.json"


class GoEmotions(TextBuilder, skip_registration=True):
    """Comments with one or several of seven emotions."""

    name = "goemotions"
    CLASSES = BASIC
    LICENSE = "CC BY 4.0, Demszky et al. 2020 (Google Research)."
    HOW_TO_GET = (
        "Download data/ of https://github.com/google-research/google-research/tree/master/goemotions, and give the "
        "folder with train.tsv, dev.tsv, test.tsv, emotions.txt and ekman_mapping.json with --source"
    )
    FURTHER: ClassVar = {"votes": ((len(BASIC),), np.float32), "emotions": ((len(BASIC),), np.float32)}
    LABELS: ClassVar = {"emotions": Field("multilabel", (len(BASIC),), BASIC)}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the files with these names are there."""
        there = lambda *names: all((folder / name).is_file() for name in names)
        return there(*FILES.values()) and (there(NAMES) or there(ALL_NAMES, MEANINGS))

    def read_texts(self, source: Path) -> dict[str, list[Record]]:
        """Return the three official splits in the order of their files."""
        folder = locate(self, source, f"no {', '.join(FILES.values())} with {ALL_NAMES} and {MEANINGS}, or {NAMES},")
        gathered = (folder / NAMES).is_file()
        order = self._gathered(folder / NAMES) if gathered else self._to_gather(folder)
        return {split: list(self._rows(folder / name, order, gathered)) for split, name in FILES.items()}

    def _gathered(self, path: Path) -> list[int]:
        """Return the class of each of the seven labels."""
        names = [canonical(name) for name in path.read_text(encoding="utf-8").split()]
        if sorted(map(str, names)) != sorted(BASIC):
            raise UserError(f"{self.name}: {path}: not the seven labels of ekman/; give that folder")
        return [BASIC.index(str(name)) for name in names]

    def _to_gather(self, folder: Path) -> list[int]:
        """Return the class of each of the authors' labels; neutral is in no group."""
        try:
            groups = json.loads((folder / MEANINGS).read_text(encoding="utf-8"))
            classes = {name: canonical(group) for group, names in groups.items() for name in names}
            names = (folder / ALL_NAMES).read_text(encoding="utf-8").split()
            return [BASIC.index(str(classes.get(name) or canonical(name))) for name in names]
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(
                f"{self.name}: {folder}: {MEANINGS} does not gather all of {ALL_NAMES} ({one_line(error)}); fetch both"
                " again"
            ) from error

    def _rows(self, path: Path, order: Sequence[int], gathered: bool) -> Iterator[Record]:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                parts = line.rstrip("\r\n").split("\t")
                try:
                    text, labels = parts[0], [order[int(label)] for label in parts[1].split(",")]
                except (ValueError, IndexError) as error:
                    raise UserError(
                        f"{self.name}: {path} row {number}: not a text, labels of 0 to {len(order) - 1} and an identity"
                        " with tabs between them; fetch the file again"
                    ) from error
                labels = labels if gathered else sorted(labels, key=BASIC.__getitem__)
                emotions = np.zeros(len(BASIC), np.float32)
                emotions[labels] = 1
                extras = {"emotions": emotions}
                key = f"{path.name} row {number}"
                yield Record(key, text.encode(), labels[0], votes=emotions / emotions.sum(), extras=extras)
