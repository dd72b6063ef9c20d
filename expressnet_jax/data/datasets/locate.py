"""Where a data set is, given a place near it; and what is there if it isn't."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from expressnet_jax.data.datasets import DATASETS, builder_class
from expressnet_jax.data.datasets.class_folders import split_of
from expressnet_jax.data.labels import canonical
from expressnet_jax.data.media_files import is_litter_name, read_head
from expressnet_jax.data.media_types import identify
from expressnet_jax.errors import UserError, printable, shorten

if TYPE_CHECKING:
    from expressnet_jax.data.datasets.base import FaceBuilder

DEPTH = 3  # folders that archives and downloads put around a data set
MOST = 1000  # entries of a folder, and folders of a level, that are looked at
_ARCHIVE = "archive"
ARRAYS = "a file of NumPy arrays"  # .npz, a zip archive of .npy
UNKNOWN = "not an image or video"  # as `identify` calls it
_REMEDIES = {
    "an Excel workbook": "export the sheet as CSV",
    _ARCHIVE: "unpack it and give the folder that comes out",
    "a Parquet table": "prepare it with: expressnet prepare folder --source",
}


def locate(builder: "FaceBuilder", source: Path, expected: str) -> Path:
    """Return `source`, or the one folder up to DEPTH levels below it that is laid out as the data set is.

    Raises:
      UserError: none is, or several are; it says what is there, and where the data set is if that can be seen.
    """
    if builder.fits(source):
        return source
    for level in _levels(source) if source.is_dir() else ():
        if len(found := [folder for folder in level if builder.fits(folder)]) > 1:
            names = shorten([printable(path) for path in found])
            raise UserError(f"{builder.name}: {source} holds the data set more than once; give one of {names}")
        if found:
            builder.notes["source"] = f"read from {found[0].relative_to(source).as_posix()}/"
            return found[0]
    for above in list(source.absolute().parents)[:DEPTH]:
        if builder.fits(above):
            raise UserError(f"{builder.name}: {source} is a part of the data set; give all of it: --source {above}")
    if others := _others(builder.name, source):
        raise UserError(
            f"{builder.name}: {expected} in {source}, which is laid out like {' or '.join(others)}; run: "
            f"expressnet prepare {others[0]} --source {source}"
        )
    if archives := _archives(source):
        raise UserError(f"{builder.name}: {expected} in {source}; unpack {archives} there first")
    raise builder.missing(f"{expected} in {source}{contents(source)}")


def _others(name: str, source: Path) -> list[str]:
    """Return the data sets that a folder is laid out like; class folders by name can be anybody's."""
    others = ["folder"] if has_class_folders(source) else DATASETS
    return [other for other in others if other != name and builder_class(other).fits(source)]


def contents(source: Path) -> str:
    """Return what a folder holds, for the end of a message; empty where there is no folder."""
    if not source.is_dir():
        return ""
    if archives := _archives(source):
        return f"; unpack {archives} there first"
    names = [printable(path.name) + "/" * path.is_dir() for path in _entries(source)]
    return f"; it holds {shorten(names, 5)}" if names else "; it is empty"


def refuse_wrong_file(name: str, source: Path, accepted: tuple[str, ...], how_to_get: str) -> None:
    """Raise a UserError unless a file that is given as a source is of an accepted kind.

    accepted: "table" for text, and names of `media_types.identify`.
    """
    kind = _file_kind(source)
    if kind in accepted or (kind == "text" and "table" in accepted):
        return
    remedy = _REMEDIES.get(_ARCHIVE if "archive" in kind else kind, "")
    if kind == "a Parquet table":
        remedy += f" {source}"
    if kind == "text":
        kind = "a text file, not a folder"
    raise UserError(f"{name}: {source} is {kind}; {remedy or how_to_get}")


def _file_kind(path: Path) -> str:
    """Return what a file is by its first bytes, in words: "text", "a zip archive", "an image (PNG)"."""
    head = read_head(path)
    found = identify(head)
    if found.name == "a zip archive" and head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy"):
        return ARRAYS
    excel = b"xl/" in head or path.suffix.lower().startswith(".xls")
    if excel and found.name in ("a zip archive", "an Office document"):
        return "an Excel workbook"
    if found.kind in ("image", "video", "audio"):
        article = {"image": "an image", "video": "a video", "audio": "sound"}[found.kind]
        return f"{article} ({found.name}), not a data set"
    utf16 = found.name == UNKNOWN and 0 in head[:4] and head[:4].replace(b"\0", b"").isalnum()
    return "text" if utf16 else found.name


def class_words(folder: Path) -> set[str]:
    """Return the names of the folders in `folder`, or in its split folders if it has any."""
    children = _folders(folder)
    splits = [path for path in children if split_of(path.name)]
    nested = [path for split in splits for path in _folders(split)] if splits else children
    return {path.name for path in nested}


def has_class_folders(folder: Path, codes: Collection[int] = (), splits: bool = False) -> bool:
    """Return whether two class folders or more are named after expressions, or all of them by codes.

    splits: whether they must be in split folders.
    """
    if splits and not any(split_of(path.name) for path in _folders(folder)):
        return False
    words = class_words(folder)
    numbers = {int(word) for word in words if word.isdecimal()}
    numbered = len(numbers) >= 2 and numbers <= set(codes)
    return numbered or sum(canonical(word) is not None for word in words) >= 2


def _levels(source: Path) -> Iterator[list[Path]]:
    level = [source]
    for _ in range(DEPTH):
        level = [path for folder in level for path in _folders(folder)][:MOST]
        yield level


def _folders(folder: Path) -> list[Path]:
    return _entries(folder, folders=True)


def _entries(folder: Path, folders: bool = False) -> list[Path]:
    """Return what lies in a folder and isn't litter, sorted; nothing where it isn't a folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not folders or entry.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names)[:MOST] if not is_litter_name(name)]


def _archives(source: Path) -> str:
    """Return the names of the archives in a folder as a message lists them."""
    return shorten([printable(path.name) for path in _entries(source) if path.is_file() and _is_archive(path)], 3)


def _is_archive(path: Path) -> bool:
    try:
        return "archive" in identify(read_head(path)).name
    except OSError:
        return False
