"""Where the files of a list are: lists travel, and their paths were written elsewhere, on another system."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PureWindowsPath

from expressnet_jax.process import expanded

LOOKED_AT = 64  # paths, evenly spaced over the list
_SUBFOLDERS = 50
DEPTH = 12


class ListedFiles:
    """The files that a list names, searched for from one place that fits most of them.

    That is the list's own folder if they are there; else the folder above it, the current one, or a folder next to the
    list, with as few of the paths' first folders left out as possible (`C:\\Users\\Ann\\faces\\happy\\1.jpg` is
    `happy/1.jpg` here), and never so many that two different paths become the same.

    Attributes:
      base: the folder where relative paths start.
      note: what was assumed, or an empty string.
    """

    def __init__(self, folder: Path, names: Sequence[str], encoding: str = "utf-8") -> None:
        self.base, self._left_out, self.note = folder, 0, ""
        self._encodings = tuple(dict.fromkeys((encoding, "gb18030", "cp1252")))
        self._folders: dict[Path, frozenset[str]] = {}
        names = list(dict.fromkeys(names))
        some = names[:: max(1, len(names) // LOOKED_AT)]
        best = self._count(folder, 0, some)
        if best == len(some):
            return
        for left_out in range(DEPTH):
            for base in dict.fromkeys((folder, folder.parent, Path.cwd(), *_subfolders(folder))):
                hits = self._count(base, left_out, some)
                if hits > best and (not left_out or self._distinct(left_out, names)):
                    best, self.base, self._left_out = hits, base, left_out
        without = f" without their first {self._left_out} folders" if self._left_out else ""
        self.note = f"paths are looked up{without} in {self.base}" if self.base != folder or self._left_out else ""

    def path(self, name: str) -> Path:
        """Return the file that a path of the list means; where there is none, the one that was looked for."""
        spellings = [self._at(self.base, spelling, self._left_out) for spelling in self._spellings(name)]
        return next((path for path in spellings if self._exists(path)), spellings[0])

    def _count(self, base: Path, left_out: int, names: Sequence[str]) -> int:
        at = lambda name: any(self._exists(self._at(base, each, left_out)) for each in self._spellings(name))
        return sum(at(name) for name in names)

    def _distinct(self, left_out: int, names: Sequence[str]) -> bool:
        return len({_shortened(_portable(name), left_out) for name in names}) == len(names)

    def _at(self, base: Path, name: str, left_out: int) -> Path:
        return base / expanded(_shortened(name, left_out))

    def _spellings(self, name: str) -> Iterator[str]:
        """Yield the name as it is written, then as another system or another encoding of file names has it."""
        yield name
        portable = _portable(name)
        if portable != name:
            yield portable
        if not name.isascii():
            yield unicodedata.normalize("NFC", portable)
            yield unicodedata.normalize("NFD", portable)  # as the Mac's file system wrote them
            for encoding in self._encodings:
                try:
                    yield os.fsdecode(portable.encode(encoding))
                except UnicodeEncodeError:
                    continue

    def _exists(self, path: Path) -> bool:
        """Look the file up by the listing of its folder: one look at the disk for all of its files."""
        folder = path.parent
        if folder not in self._folders:
            try:
                self._folders[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._folders[folder] = frozenset()
        return path.name in self._folders[folder]


def _portable(name: str) -> str:
    return PureWindowsPath(name).as_posix() if "\\" in name else name


def _shortened(name: str, left_out: int) -> str:
    """Return the path without its first folders; where it has no more, it stays whole."""
    parts = Path(name).parts
    return str(Path(*parts[left_out:])) if 0 < left_out < len(parts) else name


def _subfolders(folder: Path) -> list[Path]:
    return sorted(islice((path for path in folder.iterdir() if path.is_dir()), _SUBFOLDERS))
