"""Class folders of a data set with codes: train/happy, train/3_happy or train/4, with or without splits."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from expressnet_jax.data.datasets.class_folders import class_tree
from expressnet_jax.data.labels import canonical
from expressnet_jax.data.remarks import LEFT_OUT
from expressnet_jax.errors import UserError, printable, shorten


class Filed(NamedTuple):
    """An image in a class folder: where it is below the root, and the class that the folder stands for."""

    key: str
    path: Path
    expression: str


def filed_images(
    name: str, root: Path, notes: dict[str, Any], codes: Mapping[int, str] | None = None
) -> dict[str, list[Filed]]:
    """Return the images of each split in the order of class folders and names; "all" where there are no splits.

    notes: gets what else is in the folders.
    codes: what folders named by a number alone stand for, None if the data set has no numbers.

    Raises:
      UserError: a class folder with images that is no expression.
    """
    return {split: list(_filed(name, root, classes, codes or {})) for split, classes in class_tree(root, notes).items()}


def _filed(name: str, root: Path, classes: Mapping[str, Sequence[Path]], codes: Mapping[int, str]) -> Iterator[Filed]:
    for word, paths in classes.items():
        expression = codes.get(int(word)) if word.isdecimal() else canonical(word)
        if expression is None and paths:
            known = [*dict.fromkeys(codes.values())] or ["anger", "disgust", "fear", "happiness", "sadness", "surprise"]
            numbers = f", or the numbers {min(codes)} to {max(codes)}" if codes else ""
            folder = paths[0].relative_to(root).parent.as_posix()
            raise UserError(f"{name}: unknown class folder {folder}; the classes are: {shorten(known)}{numbers}")
        for path in paths:
            yield Filed(path.relative_to(root).as_posix(), path, expression or "")


def note_used(notes: dict[str, Any], root: Path, table: Path) -> None:
    """Take a list that is read out of what the notes say is left out below `root`."""
    if LEFT_OUT in notes and table.is_relative_to(root):
        notes[LEFT_OUT].pop(printable(table.relative_to(root)), None)
        if not notes[LEFT_OUT]:
            del notes[LEFT_OUT]


def positions(filed: Sequence[Filed], classes: Sequence[str], left_out: Counter) -> Iterator[tuple[Filed, int]]:
    """Yield (image, position of its class) of those that are in `classes`, and count the others by their class."""
    for image in filed:
        if image.expression in classes:
            yield image, classes.index(image.expression)
        else:
            left_out[image.expression] += 1
