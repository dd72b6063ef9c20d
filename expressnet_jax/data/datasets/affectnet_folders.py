"""AffectNet as it is uploaded again: class folders, with or without a list of better labels, and boxes for YOLO."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from PIL import Image

from expressnet_jax.data.datasets.annotation_files import first_file, number
from expressnet_jax.data.datasets.bad_images import BadImage, why_bad
from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.class_folders import split_folders
from expressnet_jax.data.datasets.coded_folders import Filed, filed_images, note_used
from expressnet_jax.data.datasets.face_box import as_jpeg, face
from expressnet_jax.data.datasets.sample_list import listed_samples
from expressnet_jax.data.labels import AFFECTNET_CODES, canonical
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError, one_line, shorten

LABELS = ("labels.csv", "label.csv")  # ,pth,label,relFCs
YOLO = ("data.yaml", "data.yml", "dataset.yaml")


class Boxed(NamedTuple):
    """A face by its box in shares of the image: centre and size, as YOLO has them."""

    key: str
    path: Path
    box: tuple[float, float, float, float]
    label: int


def class_images(root: Path, notes: dict[str, Any]) -> dict[str, list[Filed]]:
    """Return the images of class folders (by name or 0..7), with the labels of labels.csv where there is one.

    The list is what its uploader means: it was made later, to correct the folders.
    """
    filed = filed_images("affectnet", root, notes, AFFECTNET_CODES)
    table = first_file(*(root / name for name in LABELS))
    if table is None:
        return filed
    note_used(notes, root, table)
    listed = {sample.path.resolve(): _expression(sample.label_text, table) for sample in listed_samples(table, notes)}
    differing, absent = 0, 0
    for split, images in filed.items():
        words = [listed.get(image.path.resolve()) for image in images]
        differing += sum(word not in (None, image.expression) for word, image in zip(words, images, strict=True))
        absent += words.count(None)
        filed[split] = [i._replace(expression=word) for word, i in zip(words, images, strict=True) if word]
    total = len(listed)
    notes[table.name] = f"its labels are taken; {differing} of {total} differ from the image's folder"
    if absent:
        notes["unlisted"] = f"{absent} images that are not in {table.name} are left out"
    return filed


def _expression(word: str, table: Path) -> str:
    expression = AFFECTNET_CODES.get(int(word)) if word.isdecimal() else canonical(word)
    if expression is None:
        names = ", ".join(AFFECTNET_CODES.values())
        raise UserError(f"affectnet: {table.name}: label {word!r} is not one of {names}, nor 0..7")
    return expression


def yolo_file(root: Path) -> Path | None:
    """Return the file that names the classes of a data set with boxes for YOLO."""
    return first_file(*(root / name for name in YOLO))


def yolo_faces(
    root: Path, table: Path, position: Callable[[str], int | None], notes: dict[str, Any]
) -> dict[str, list[Boxed]]:
    """Return every box of train/images/*.jpg with train/labels/*.txt, or images/train and labels/train.

    table: the file that names the classes, as of `yolo_file`.
    position: class name -> its label, None to leave it out.
    """
    names = _names(table)
    splits = {split: (folder / "images", folder / "labels") for split, folder in split_folders(root).items()}
    if (root / "images").is_dir():
        folders = split_folders(root / "images").items()
        splits = {split: (folder, root / "labels" / folder.name) for split, folder in folders}
    found = {}
    for split, (images, labels) in splits.items():
        left_out: Counter[str] = Counter()
        found[split] = list(_boxes(images, labels, names, position, left_out))
        if left_out:
            notes[f"{split} left out"] = dict(sorted(left_out.items()))
    return {split: faces for split, faces in found.items() if faces}


def cut(row: Boxed, side: int) -> Record:
    """Return the face in its box as a record, no edge longer than `side`."""
    try:
        with Image.open(row.path) as file:
            width, height = file.size
    except OSError as error:
        raise BadImage(f"affectnet: {row.key}", row.key, why_bad(error)) from error
    x, y, w, h = row.box
    box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    return Record(row.key, as_jpeg(face(row.path, box, side, f"affectnet: {row.key}")), row.label)


def _boxes(
    images: Path, labels: Path, names: list[str], position: Callable[[str], int | None], left_out: Counter
) -> Iterator[Boxed]:
    for path in sorted(no_litter(images.iterdir())) if images.is_dir() else ():
        table = labels / f"{path.stem}.txt"
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines() if table.is_file() else []
        if not any(lines):
            left_out["no box"] += 1
        for row, words in enumerate((line.split() for line in lines if line.strip()), start=1):
            place = f"affectnet: {labels.parent.name}/{labels.name}/{table.name} row {row}"
            if len(words) != 5 or not words[0].isdecimal() or int(words[0]) >= len(names):
                raise UserError(f"{place}: {shorten(words, 6)} is not a class (0..{len(names) - 1}) and four numbers")
            name = names[int(words[0])]
            label = position(name)
            if label is None:
                left_out[name] += 1
                continue
            x, y, width, height = (number(word, "the box", 0, 1, place) for word in words[1:])
            yield Boxed(path.name if row == 1 else f"{path.name}#{row}", path, (x, y, width, height), label)


def _names(path: Path) -> list[str]:
    """Return the class names of a YOLO data file, in order: a list, or numbers with names."""
    try:
        names = yaml.safe_load(path.read_text(encoding="utf-8"))["names"]
        names = [names[at] for at in sorted(names)] if isinstance(names, dict) else list(names)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"affectnet: {path} has no names of classes ({one_line(error)}); fetch it again") from error
    expressions = [canonical(str(name)) for name in names]
    if unknown := [str(name) for name, expression in zip(names, expressions, strict=True) if expression is None]:
        raise UserError(f"affectnet: {path}: {shorten(unknown)} is no expression")
    return [expression for expression in expressions if expression]
