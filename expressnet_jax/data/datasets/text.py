"""What the data sets of text have in common: utterances, and a vocabulary that is learned from those that train.

Shapes: K classes, L pieces, U labels.
"""

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.fields import Field
from expressnet_jax.data.tokenizer import encode_texts, train_vocabulary
from expressnet_jax.errors import UserError

LONGEST = 512  # pieces


class TextBuilder(FaceBuilder, skip_registration=True):
    """Utterances with the emotion that annotators found in them, and the numbers of their word pieces.

    A subclass implements `read_texts`. The vocabulary is learned from the split "train" and stored with the data set,
    as the names of the field `tokens`; whatever is trained on it carries it on.
    """

    MEDIA = "text"
    OPTIONS: ClassVar = {"length": 48, "vocabulary": 8000}
    vocabulary: tuple[str, ...] = ()

    @property
    def COLUMNS(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """The pieces, and what else an utterance has."""
        return {"tokens": ((self.options["length"],), np.int32)} | self.FURTHER

    @property
    def TARGETS(self) -> dict[str, Field]:
        """The field `tokens` with the vocabulary, and the targets of FURTHER."""
        return {"tokens": Field("tokens", (self.options["length"],), self.vocabulary)} | self.LABELS

    FURTHER: ClassVar[dict[str, tuple[tuple[int, ...], Any]]] = {}
    LABELS: ClassVar[dict[str, Field]] = {}

    @abc.abstractmethod
    def read_texts(self, source: Path) -> dict[str, list[Record]]:
        """Return the official splits; the `image` of a record is its text in UTF-8."""

    def read(self, source: Path) -> Mapping[str, list[Record]]:
        """Return the official splits with the numbers of their pieces.

        Raises:
          UserError: an option out of range, or a package is missing.
        """
        length, size = self.options["length"], self.options["vocabulary"]
        if not 1 <= length <= LONGEST:
            raise UserError(f"{self.name}: length is {length}; from 1 to {LONGEST} pieces")
        splits = self.read_texts(source)
        texts = {
            split: [record.image.decode() for record in records if isinstance(record.image, bytes)]
            for split, records in splits.items()
        }
        self.vocabulary = train_vocabulary(texts["train"], size)
        return {split: self._with_tokens(records, texts[split], length) for split, records in splits.items()}

    def _with_tokens(self, records: list[Record], texts: list[str], length: int) -> list[Record]:
        numbers = encode_texts(texts, self.vocabulary, length)
        return [
            dataclasses.replace(record, extras={**record.extras, "tokens": row})
            for record, row in zip(records, numbers, strict=True)
        ]
