"""MELD's utterances, each paired by its label with a face of a prepared data set: text and face by one network.

MELD's videos are not given out with its texts, so the faces are other people's. Pairing by label makes the text count:
a face that is hard to read comes with words of the same class, and two independent witnesses of one label are right
more often than either. Such a figure says how well a network joins two inputs, and nothing about people who show what
they say. The control is `pairing=shuffled`, where faces are drawn whatever their label.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.meld import Meld
from expressnet_jax.data.datasets.text import TextBuilder
from expressnet_jax.data.labels import canonical
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.errors import UserError

_PAIRINGS = ("label", "shuffled")
SPLITS = ("train", "validation")  # not the test splits, which of some data sets of faces nobody is to look at


class MeldFaces(Meld, skip_registration=True):
    """Utterances with the image of a face of the same split: `faces` names the prepared data set, or its path."""

    name = "meld_faces"
    MEDIA = "image"
    LICENSE = f"{Meld.LICENSE} The faces have the terms of their own data set."
    OPTIONS: ClassVar = {**TextBuilder.OPTIONS, "faces": "fer2013", "pairing": "label", "seed": 0}

    def read(self, source: Path) -> Mapping[str, list[Record]]:
        """Return the utterances of train and dev with a face each.

        Raises:
          UserError: the faces are not there, or have no face of a class.
        """
        if self.options["pairing"] not in _PAIRINGS:
            raise UserError(f"{self.name}: pairing is {self.options['pairing']!r}, not one of {', '.join(_PAIRINGS)}")
        texts = super().read(source)
        faces = self._faces()
        self.notes["faces"], self.notes["test"] = faces.label, "left out"
        return {split: self._paired(split, texts[split], faces.split(split)) for split in SPLITS}

    def _faces(self) -> Prepared:
        from expressnet_jax.data.store import default_data_dir, load

        place = Path(str(self.options["faces"]))
        return load(place.name, place.parent if place.parent != Path() else default_data_dir())

    def _paired(self, split: str, texts: list[Record], faces: Split) -> list[Record]:
        """Return the records of a split with faces; each face of a class comes about equally often."""
        rng = np.random.default_rng((self.options["seed"], SPLITS.index(split)))
        chosen = np.empty(len(texts), np.int64)
        labels = np.array([record.label for record in texts])
        for label in np.unique(labels):
            wanted, there = labels == label, self._of_class(faces, self.CLASSES[label])
            if not len(there):
                raise UserError(f"{self.name}: faces: no face of {self.CLASSES[label]} in {split}; give other faces")
            rounds = [rng.permutation(there) for _ in range(-(-wanted.sum() // len(there)))]
            chosen[wanted] = np.concatenate(rounds)[: wanted.sum()]
        if self.options["pairing"] == "shuffled":
            chosen = rng.permutation(chosen)
        images = faces.encoded_batch(chosen)
        return [
            dataclasses.replace(record, key=f"{record.key} {faces.keys[face]}", image=image)
            for record, face, image in zip(texts, chosen, images, strict=True)
        ]

    def _of_class(self, faces: Split, name: str) -> np.ndarray:
        numbers = [i for i, each in enumerate(faces.classes) if (canonical(each) or each) == name]
        return np.flatnonzero(np.isin(faces.labels, numbers))
