"""What the data sets of speech have in common: files whose names say who speaks and how."""

import abc
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.data.sound import RATE
from expressnet_jax.errors import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")


class SpeechBuilder(FaceBuilder, skip_registration=True):
    """Recordings of speech, found by their names in one folder or in folders below it, in the one split "all".

    A subclass declares these and implements `read_name`.

    Attributes:
      NAME: matches the name of a recording without its suffix.
      EXAMPLE: such a name, for messages.
      OFFICIAL_COUNT: how many recordings there are.
    """

    MEDIA = "waveform"
    COLUMNS: ClassVar = {"subject": ((), str)}
    NAME: ClassVar[re.Pattern[str]]
    EXAMPLE: ClassVar[str]
    OFFICIAL_COUNT: ClassVar[int]

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether a recording with one of the data set's names is there or in a folder below."""
        return any(cls.NAME.fullmatch(path.stem) for path in _sound_files(folder))

    def read(self, source: Path) -> Mapping[str, list[Record]]:
        """Return all recordings by name, in the one split "all"."""
        folder = locate(self, source, f"no files like {self.EXAMPLE}")
        files = sorted(_sound_files(folder), key=lambda path: path.name)
        named = {path: match.groups() for path in files if (match := self.NAME.fullmatch(path.stem))}
        self._check_names(list(named))
        records = [record for path, parts in named.items() if (record := self.read_name(path, parts))]
        self.notes["sample_rate"] = RATE
        if len(named) != self.OFFICIAL_COUNT:
            self.notes["all"] = f"{len(named):,} of the official {self.OFFICIAL_COUNT:,} recordings"
        return {"all": self.describe(folder, records)}

    @abc.abstractmethod
    def read_name(self, path: Path, parts: Sequence[str]) -> Record | None:
        """Return what a file's name says, or None for a recording that is left out; `parts` are the groups of NAME."""

    def describe(self, folder: Path, records: list[Record]) -> list[Record]:
        """Return the records with what else the folder holds of them."""
        return records

    def code(self, path: Path, code: str, codes: Mapping[str, str]) -> int:
        """Return the label of an emotion's code.

        Raises:
          UserError: there is no such code.
        """
        if code not in codes:
            raise UserError(f"{self.name}: {path}: emotion {code} is not one of {', '.join(codes)}; remove the file")
        return self.CLASSES.index(codes[code])

    def _check_names(self, files: list[Path]) -> None:
        for first, second in pairwise(files):
            if first.stem == second.stem:
                raise UserError(f"{self.name}: {first} and {second} are one recording by their names; keep one")


def _sound_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, and of the folders in it, whose suffix is one of sound."""
    for pattern in ("*.*", "*/*.*"):
        yield from (path for path in no_litter(folder.glob(pattern)) if path.suffix.lower() in SUFFIXES)
