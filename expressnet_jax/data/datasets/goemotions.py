"""GoEmotions (Demszky et al. 2020): comments from Reddit, here with the six expressions of Ekman and neutral.

Layout: ekman/train.tsv, dev.tsv and test.tsv with a text, its labels (0 to 6, several with commas) and an identity in
each row, and ekman/labels.txt with the names of the labels. A comment has the class that stands first; `votes` gives
its labels equal shares, and `emotions` has all of them, which is what the authors' figures are about.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.datasets.text import TextBuilder
from expressnet_jax.data.fields import Field
from expressnet_jax.data.labels import BASIC, canonical
from expressnet_jax.errors import UserError

FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
NAMES = "labels.txt"


class GoEmotions(TextBuilder, skip_registration=True):
    """Comments with one or several of seven emotions."""

    name = "goemotions"
    CLASSES = BASIC
    LICENSE = "CC BY 4.0, Demszky et al. 2020 (Google Research)."
    HOW_TO_GET = (
        "Download data/ekman of https://github.com/google-research/google-research/tree/master/goemotions, and give "
        "the folder with train.tsv, dev.tsv, test.tsv and labels.txt with --source"
    )
    FURTHER: ClassVar = {"votes": ((len(BASIC),), np.float32), "emotions": ((len(BASIC),), np.float32)}
    LABELS: ClassVar = {"emotions": Field("multilabel", (len(BASIC),), BASIC)}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the files with these names are there."""
        return all((folder / name).is_file() for name in (NAMES, *FILES.values()))

    def read_texts(self, source: Path) -> dict[str, list[Record]]:
        """Return the three official splits in the order of their files."""
        folder = locate(self, source, f"no {', '.join(FILES.values())} and {NAMES}")
        names = [canonical(line.strip()) for line in (folder / NAMES).read_text(encoding="utf-8").split()]
        if sorted(map(str, names)) != sorted(BASIC):
            raise UserError(f"{self.name}: {folder / NAMES}: not the seven labels of ekman/; give that folder")
        order = [BASIC.index(str(name)) for name in names]
        return {split: list(self._rows(folder / name, order)) for split, name in FILES.items()}

    def _rows(self, path: Path, order: list[int]):
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
                emotions = np.zeros(len(BASIC), np.float32)
                emotions[labels] = 1
                extras = {"emotions": emotions}
                key = f"{path.name} row {number}"
                yield Record(key, text.encode(), labels[0], votes=emotions / emotions.sum(), extras=extras)
