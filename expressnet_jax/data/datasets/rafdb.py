"""RAF-DB, basic expressions (Li, Deng and Du 2017): 15,339 aligned colour faces of 100x100 pixels, seven classes.

Layouts: the official one (EmoLabel/list_patition_label.txt, spelt so, and Image/aligned/train_00001_aligned.jpg), and
class folders (train/1..7 and test/1..7, or by name, with or without train_labels.csv and test_labels.csv). POSTER and
others call the official test part valid/. Files may be JPEG or PNG, with or without _aligned in their names.
"""

from functools import cached_property
from pathlib import Path

from expressnet_jax.data.datasets.annotation_files import (
    csv_rows,
    first_dir,
    first_file,
    label_of,
    require_files,
    text_rows,
)
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.class_folders import split_folders
from expressnet_jax.data.datasets.coded_folders import Filed, filed_images, note_used
from expressnet_jax.data.datasets.locate import class_words, contents, has_class_folders, locate
from expressnet_jax.data.labels import BASIC, RAFDB_CODES
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError

_LIST = "list_patition_label.txt"
LISTS = (f"EmoLabel/{_LIST}", _LIST, "EmoLabel/list_partition_label.txt", "list_partition_label.txt")
ALIGNED = ("Image/aligned", "aligned", "Image", "images")
OFFICIAL_COUNTS = {"train": 12_271, "test": 3_068}


class RafDb(FaceBuilder, skip_registration=True):
    """RAF-DB's basic expressions with the official train and test parts."""

    name = "rafdb"
    CLASSES = BASIC
    CHANNELS = 3
    LICENSE = "Non-commercial research only, under RAF-DB's agreement; images may not be passed on."
    HOW_TO_GET = (
        "Ask its authors for access at http://www.whdeng.cn/RAF/model1.html, unpack Image/aligned.zip, and give the "
        "folder that holds EmoLabel/ and Image/ (or train/1..7 and test/1..7) with --source"
    )

    @property
    def SIZE(self) -> tuple[int, int] | None:
        """That of the official aligned faces; class folders are often of faces that were aligned again."""
        return (100, 100) if self.source is None or _list(self._root) else None

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the list, or split folders with classes by code or name, are there."""
        return _list(folder) is not None or has_class_folders(folder, RAFDB_CODES, splits=True)

    @cached_property
    def _root(self) -> Path:
        if {"0", "6"} <= (words := class_words(self.source)) and "7" not in words:
            raise UserError(
                f"{self.name}: the class folders in {self.source} are numbered from 0, RAF-DB's from 1 (surprise) to 7 "
                "(neutral); rename them by the classes that they hold"
            )
        return locate(self, self.source, f"neither EmoLabel/{_LIST} nor train/1")

    def read(self, source: Path) -> dict[str, list[Record]]:
        """Return the official parts, in the order of the list, or of the file names where there is none."""
        root = self._root
        table = _list(root)
        splits = self._official(root, table) if table else self._folders(root)
        if "test" not in splits and "validation" in splits:
            splits["test"] = splits.pop("validation")
            self.notes["valid"] = "read as the official test part, which RAF-DB has instead of a validation part"
        for split, official in OFFICIAL_COUNTS.items():
            if not splits.get(split):
                raise self.missing(f"no {split} images in {root}: half of the data set is missing")
            if len(splits[split]) != official:
                self.notes[split] = f"{len(splits[split])} of the official {official} images"
        return splits

    def _official(self, root: Path, table: Path) -> dict[str, list[Record]]:
        aligned = first_dir(*(root / name for name in ALIGNED))
        if aligned is None:
            raise self.missing(f"no {ALIGNED[0]} in {root}{contents(root)}")
        files, found = _by_stem(aligned), []
        for place, (image, code) in text_rows(table, words=2):
            split, stem = image.partition("_")[0], Path(image).stem
            if split not in OFFICIAL_COUNTS:
                raise UserError(f"{self.name}: {place}: {image} is neither train_* nor test_*")
            path = files.get(stem.removesuffix("_aligned"), aligned / f"{stem}_aligned.jpg")
            label = label_of(code, RAFDB_CODES, BASIC, f"{self.name}: {place}")
            found.append((f"{self.name}: {place}", split, path, label))
        require_files(((place, path) for place, _, path, _ in found), "unpack Image/aligned.zip again")
        record = lambda path, label: Record(path.name, path, label)
        return {name: [record(*rest) for _, split, *rest in found if split == name] for name in OFFICIAL_COUNTS}

    def _folders(self, root: Path) -> dict[str, list[Record]]:
        folders = split_folders(root)
        if empty := [split for split, folder in folders.items() if not any(folder.glob("*/*"))]:
            raise self.missing(f"no {empty[0]} images in {root}: half of the data set is missing")
        filed = filed_images(self.name, root, self.notes, RAFDB_CODES)
        return {split: self._split(root, folders[split].name, images) for split, images in filed.items()}

    def _split(self, root: Path, folder: str, images: list[Filed]) -> list[Record]:
        table = first_file(*(place / f"{folder}_labels.csv" for place in (root, root.parent)))
        if table is None:
            images = sorted(images, key=lambda image: image.path.name)
            return [Record(image.path.name, image.path, BASIC.index(image.expression)) for image in images]
        note_used(self.notes, root, table)
        files = {(image.expression, image.path.stem.removesuffix("_aligned")): image.path for image in images}
        records, places = [], []
        for row_place, row in csv_rows(table, ("image", "label")):
            place, stem = f"{self.name}: {row_place}", Path(row["image"]).stem.removesuffix("_aligned")
            label = label_of(row["label"], RAFDB_CODES, BASIC, place)
            path = files.get((BASIC[label], stem), root / folder / row["label"] / row["image"])
            records.append(Record(path.name, path, label))
            places.append((place, path))
        require_files(places, "unpack the archive again")
        return records


def _list(root: Path) -> Path | None:
    return first_file(*(root / name for name in LISTS))


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their names without _aligned and suffix."""
    return {path.stem.removesuffix("_aligned"): path for path in sorted(no_litter(folder.iterdir()), reverse=True)}
