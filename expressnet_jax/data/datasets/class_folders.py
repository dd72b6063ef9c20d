"""Class folders on disk: ROOT/CLASS/image, or ROOT/SPLIT/CLASS/image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expressnet_jax.data.media_files import find_media, is_litter_name, name_some
from expressnet_jax.data.remarks import note_found
from expressnet_jax.errors import UserError

SPLIT_WORDS = {
    "train": ("train", "training", "train_set", "trainset"),
    "validation": ("validation", "val", "valid", "publictest", "dev", "val_set", "valset", "valid_set"),
    "test": ("test", "testing", "privatetest", "test_set", "testset"),
}

_Tree = dict[str, dict[str, list[Path]]]


def split_of(word: str) -> str | None:
    """Return the canonical split for a word as people write it (`Training`, `val`), or None."""
    return next((split for split, words in SPLIT_WORDS.items() if word.strip().lower() in words), None)


def split_folders(root: Path) -> dict[str, Path]:
    """Return canonical split -> its folder, in the order train, validation, test; empty if `root` has none."""
    found: dict[str, Path] = {}
    for folder in _folders(root):
        split = split_of(folder.name)
        if split in found:
            raise UserError(f"{root}: {found[split].name}/ and {folder.name}/ are both the {split} split; keep one")
        if split:
            found[split] = folder
    return {split: found[split] for split in SPLIT_WORDS if split in found}


def class_tree(root: Path, notes: dict[str, Any] | None = None, kinds: Sequence[str] = ("image",)) -> _Tree:
    """Return the split -> class folder -> its images, all in the order of their names; one split, "all", without split
    folders.

    With several `kinds` of `media_files.media_kind` it is the files of the first one that there are any of. Images are
    what is one by its content. What else is there, and is no litter, goes into the notes with its reason.
    """
    notes = {} if notes is None else notes
    splits = split_folders(root)
    if splits and (others := {folder.name for folder in _folders(root)} - {path.name for path in splits.values()}):
        raise UserError(f"{root}: {min(others)}/ is next to {min(splits)}/ but is no split; move it away")
    found = find_media(root)
    present = {file.kind for file in found.files}
    found = found.only(next((kind for kind in kinds if kind in present), kinds[0]))
    tree: dict[str, dict[str, list[Path]]] = {
        split: {child.name: [] for child in _folders(path)} for split, path in (splits or {"all": root}).items()
    }
    split_at = {path.name: split for split, path in splits.items()}
    outside = {}
    for path, _ in found.files:
        *folders, _ = path.relative_to(root).parts
        word = folders[len(splits) > 0 :][:1]
        if word:
            tree[split_at[folders[0]] if splits else "all"][word[0]].append(path)
        else:
            outside[path] = "an image in no class folder"
    left_out = dict(sorted((found.left_out | outside).items()))
    note_found(notes, found._replace(left_out=left_out), root)
    for split, classes in tree.items():
        if not any(classes.values()):
            folder = splits.get(split, root)
            there = f"; there are: {name_some(left_out, root)}" if left_out else ""
            raise UserError(f"{folder}: no class folders with images; put them into {folder.name}/CLASS/{there}")
    return tree


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_litter_name(path.name))
