"""Class folders on disk: ROOT/CLASS/picture, or ROOT/SPLIT/CLASS/picture."""

from pathlib import Path

from expressnet_jax.errors import UserError

SPLIT_WORDS = {
    "train": ("train", "training", "train_set", "trainset"),
    "validation": ("validation", "val", "valid", "publictest", "dev", "val_set", "valset", "valid_set"),
    "test": ("test", "testing", "privatetest", "test_set", "testset"),
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"}

Tree = dict[str, dict[str, list[Path]]]


def split_of(word: str) -> str | None:
    """The canonical split for a word as people write it (`Training`, `val`), or None."""
    return next((split for split, words in SPLIT_WORDS.items() if word.strip().lower() in words), None)


def split_folders(root: Path) -> dict[str, Path]:
    """Canonical split -> its folder, in the order train, validation, test; empty if `root` has none."""
    found: dict[str, Path] = {}
    for folder in _folders(root):
        split = split_of(folder.name)
        if split in found:
            raise UserError(f"{root}: {found[split].name}/ and {folder.name}/ are both the {split} split; keep one")
        if split:
            found[split] = folder
    return {split: found[split] for split in SPLIT_WORDS if split in found}


def class_tree(root: Path) -> Tree:
    """Split -> class folder -> its pictures, all in the order of their names; one split, "all", without split folders.

    Hidden files and files that are no pictures by their suffix are passed over.
    """
    splits = split_folders(root)
    if splits and (others := {folder.name for folder in _folders(root)} - {path.name for path in splits.values()}):
        raise UserError(f"{root}: {min(others)}/ is beside {min(splits)}/ but is no split; move it away")
    return {split: _classes(folder) for split, folder in (splits or {"all": root}).items()}


def _classes(folder: Path) -> dict[str, list[Path]]:
    classes = {
        child.name: sorted(path for path in child.rglob("*") if path.suffix.lower() in SUFFIXES and not _hidden(path))
        for child in _folders(folder)
    }
    if not any(classes.values()):
        raise UserError(f"{folder}: no class folders with pictures; put them into {folder.name}/CLASS/*.png")
    return classes


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path) and path.name != "__MACOSX")


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")
