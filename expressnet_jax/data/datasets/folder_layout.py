"""What a folder that a user names holds: lists of images, class folders, or one of them a level below."""

import re
from pathlib import Path
from typing import Any

from expressnet_jax.data.datasets.class_folders import SPLIT_WORDS, split_folders, split_of
from expressnet_jax.data.datasets.locate import class_words, contents
from expressnet_jax.data.datasets.sample_list import COLUMNS, KNOWN
from expressnet_jax.data.datasets.tables import header_of
from expressnet_jax.data.media_files import is_litter_name, media_kind
from expressnet_jax.errors import UserError, shorten

METADATA = ("metadata.csv", "metadata.jsonl")  # of the Hugging Face hub's `imagefolder`
_TABLES = (".csv", ".tsv", ".jsonl")
DEPTH = 2
LOOKED_AT = 20  # files of a folder


def list_files(folder: Path) -> dict[str, Path]:
    """Return split -> the list of its images; empty where class folders say what is what.

    A list is a metadata file with labels, in the folder or in its split folders; where there are no class folders also
    train.csv, test.csv, ..., or any other table if it is the only one.
    """
    for places in ({"all": folder}, split_folders(folder)):
        found = {split: place / name for split, place in places.items() for name in METADATA if _labelled(place / name)}
        if found:
            return found
    if len(class_words(folder)) > 1:
        return {}
    tables = [path for path in _children(folder) if path.suffix.lower() in _TABLES and _labelled(path)]
    splits = {split_of(re.split("[^a-z]", path.stem.lower())[0]): path for path in tables}
    if len(splits) == len(tables) and None not in splits:
        return {split: splits[split] for split in SPLIT_WORDS if split in splits}
    if len(tables) > 1:
        names = shorten([path.name for path in tables])
        raise UserError(f"{folder}: several lists; give one of them with --source: {names}")
    return {"all": tables[0]} if tables else {}


def class_root(folder: Path, notes: dict[str, Any]) -> Path:
    """Return the folder with the class or split folders: this one, or the only one inside it that can be meant.

    Raises:
      UserError: its images are not in class folders, or there is nothing in it.
    """
    root = folder
    for _ in range(DEPTH):
        inner = [path for path in _children(root) if path.is_dir()]
        if len(inner) != 1 or _has_image(inner[0]) or split_folders(root):
            break
        if not any(path.is_dir() for path in _children(inner[0])):
            break
        root = inner[0]
    children = [path for path in _children(root) if path.is_dir()]
    if not children:
        if _has_image(root) and len([path for path in _children(root.parent) if path.is_dir()]) > 1:
            raise UserError(f"{root}: its images are not in class folders; did you mean --source {root.parent}?")
        if (root / "dataset_info.json").is_file() or (root / "state.json").is_file():
            raise UserError(
                f"{root} was written by save_to_disk of `datasets`; write Parquet instead: to_parquet(FILE)"
            )
        where = f"put them into {root.name}/CLASS/" if _has_image(root) else "give the folder that holds them"
        raise UserError(f"{root}: no class folders with images; {where}{contents(root)}")
    if root != folder:
        notes["source"] = f"read from {root.relative_to(folder).as_posix()}/"
    return root


def _children(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not is_litter_name(path.name))


def _labelled(path: Path) -> bool:
    if path.suffix.lower() != ".jsonl":
        return bool(header_of(path, KNOWN) & set(COLUMNS["label"]))
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            line = file.readline(10_000).lower()
    except OSError:
        return False
    return any(f'"{name}"' in line for name in COLUMNS["label"])


def _has_image(folder: Path) -> bool:
    files = [path for path in _children(folder) if path.is_file()][:LOOKED_AT]
    return any(media_kind(path) in ("image", "audio", "video") for path in files)
