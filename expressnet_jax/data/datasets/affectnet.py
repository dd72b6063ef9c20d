"""AffectNet (Mollahosseini, Hasani and Mahoor 2017): faces from the web with expression, valence and arousal.

Layouts: the original one (training.csv, validation.csv and the tree of images that they name; the face is cut out by
its box); the one of 2021 (train_set/images/N.jpg, 224x224, with train_set/annotations/N_exp.npy, N_val.npy, N_aro.npy;
val_set alike); class folders of re-uploads (anger/, or train/0/, with or without labels.csv: pth,label); and those with
boxes for YOLO (data.yaml, train/images/, train/labels/). Re-uploads have no valence and arousal. Rows without an
expression (8 none, 9 uncertain, 10 no face) are left out and counted.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from expressnet_jax.data.datasets.affectnet_folders import class_images, cut, yolo_faces, yolo_file
from expressnet_jax.data.datasets.annotation_files import (
    csv_rows,
    first_dir,
    first_file,
    name_of,
    number,
    require_files,
)
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.coded_folders import Filed, positions
from expressnet_jax.data.datasets.face_box import as_jpeg, checked_side, face
from expressnet_jax.data.datasets.locate import has_class_folders, locate
from expressnet_jax.data.labels import AFFECTNET_CODES, BASIC, WITH_CONTEMPT
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError
from expressnet_jax.parallel import InOrder

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
CODES = AFFECTNET_CODES | {8: "none", 9: "uncertain", 10: "no face"}
LISTS = {"train": "training.csv", "validation": "validation.csv"}
FOLDERS = {"train": "train_set", "validation": "val_set"}


class Face(NamedTuple):
    """A row of the original lists: the image, the box of its face, and its annotations."""

    place: str
    key: str
    path: Path
    box: tuple[float, float, float, float]
    label: int
    valence: float
    arousal: float


class AffectNet(FaceBuilder, skip_registration=True):
    """AffectNet, manually annotated part; its official validation set is the one that papers report on."""

    name = "affectnet"
    CHANNELS = 3
    LICENSE = "Non-commercial research only, under AffectNet's agreement; images may not be passed on."
    HOW_TO_GET = (
        "Ask for access at http://mohammadmahoor.com/affectnet/, and give the folder that holds training.csv, "
        "validation.csv and Manually_Annotated_Images/ (or train_set/ and val_set/) with --source"
    )
    COLUMNS: ClassVar = {"valence": ((), np.float32), "arousal": ((), np.float32)}
    OPTIONS: ClassVar = {"classes": 8, "size": 224}

    @property
    def CLASSES(self) -> tuple[str, ...]:
        """Eight classes, or seven where contempt is left out."""
        if str(self.options["classes"]) not in ("7", "8"):
            raise UserError(f"affectnet: classes is {self.options['classes']}, not 7 or 8")
        return WITH_CONTEMPT if str(self.options["classes"]) == "8" else BASIC

    def label(self, code: str, place: str, left_out: Counter) -> int | None:
        """Return the position in CLASSES of the code of an expression; None, counted, where it has none there."""
        name = name_of(code, CODES, place)
        if name in self.CLASSES:
            return self.CLASSES.index(name)
        left_out[name] += 1
        return None

    def read(self, source: Path) -> Mapping[str, Iterable[Record]]:
        """Return the splits that are there, in the order of the lists, or of the numbers or names of the files."""
        source = locate(self, source, f"neither {' or '.join(LISTS.values())} nor {' or '.join(FOLDERS.values())}")
        tables = _tables(source)
        folders = {split: source / name for split, name in FOLDERS.items() if (source / name).is_dir()}
        side = checked_side(self.options["size"], self.name)
        splits: Mapping[str, Iterable[Record]]
        if tables:
            faces = {split: self._faces(source, table, split) for split, table in tables.items()}
            splits = {split: InOrder(partial(_record, side=side), rows) for split, rows in faces.items()}
        elif folders:
            splits = {split: self._annotated(folder, split) for split, folder in folders.items()}
        elif names := yolo_file(source):
            position = lambda name: self.CLASSES.index(name) if name in self.CLASSES else None
            boxed = yolo_faces(source, names, position, self.notes)
            return {split: InOrder(partial(cut, side=side), rows) for split, rows in boxed.items()}
        else:
            filed = class_images(source, self.notes)
            return {split: self._filed(split, images) for split, images in filed.items()}
        for split in LISTS.keys() - splits.keys():
            self.notes[split] = "not in the source"
        return splits

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether one of the layouts is there."""
        official = bool(_tables(folder)) or any((folder / name).is_dir() for name in FOLDERS.values())
        return official or yolo_file(folder) is not None or has_class_folders(folder, AFFECTNET_CODES)

    def _filed(self, split: str, images: list[Filed]) -> list[Record]:
        left_out: Counter[str] = Counter()
        records = [Record(image.key, image.path, label) for image, label in positions(images, self.CLASSES, left_out)]
        self._note(split, left_out)
        return records

    def _faces(self, source: Path, table: Path, split: str) -> list[Face]:
        tree = source / "Manually_Annotated"
        root = first_dir(source / "Manually_Annotated_Images", tree / "Manually_Annotated_Images", tree)
        if root is None:
            raise self.missing(f"no Manually_Annotated_Images in {source}")
        faces: list[Face] = []
        left_out: Counter[str] = Counter()
        for row_place, row in csv_rows(table, COLUMNS, header=COLUMNS):
            place = f"{self.name}: {row_place}"
            label = self.label(row["expression"], place, left_out)
            if label is None:
                continue
            x, y, width, height = (number(row[name], name, -1e5, 1e5, place) for name in COLUMNS[1:5])
            valence, arousal = (number(row[name], name, -1, 1, place) for name in ("valence", "arousal"))
            key = row["subDirectory_filePath"]
            faces.append(Face(place, key, root / key, (x, y, x + width, y + height), label, valence, arousal))
        self._note(split, left_out)
        require_files(((row.place, row.path) for row in faces), "unpack the archives of Manually_Annotated again")
        return faces

    def _annotated(self, folder: Path, split: str) -> Iterator[Record]:
        images, annotations = folder / "images", folder / "annotations"
        stems = sorted((path.stem for path in no_litter(images.glob("*.jpg"))), key=lambda stem: (len(stem), stem))
        if not stems:
            raise self.missing(f"no images in {images}")
        place = f"{self.name}: {folder.name}"
        files = [(place, annotations / f"{stem}_{kind}.npy") for stem in stems for kind in ("exp", "val", "aro")]
        labelled = sorted(path.name.removesuffix("_exp.npy") for path in no_litter(annotations.glob("*_exp.npy")))
        files += [(place, images / f"{stem}.jpg") for stem in labelled]
        require_files(files, "unpack the archive again")
        return self._annotated_records(folder, split, stems)

    def _annotated_records(self, folder: Path, split: str, stems: list[str]) -> Iterator[Record]:
        left_out: Counter[str] = Counter()
        for stem in stems:
            place = f"{self.name}: {folder.name}/annotations/{stem}"
            values = {kind: _scalar(folder / "annotations" / f"{stem}_{kind}.npy") for kind in ("exp", "val", "aro")}
            label = self.label(values["exp"], place, left_out)
            if label is None:
                continue
            valence = number(values["val"], "valence", -1, 1, place)
            arousal = number(values["aro"], "arousal", -1, 1, place)
            path = folder / "images" / f"{stem}.jpg"
            yield Record(path.name, path, label, valence=valence, arousal=arousal)
        self._note(split, left_out)

    def _note(self, split: str, left_out: Counter) -> None:
        if left_out:
            self.notes[f"{split} left out"] = dict(sorted(left_out.items()))


def _tables(source: Path) -> dict[str, Path]:
    """Return the split -> its list, of the original layout."""
    lists = source / "Manually_Annotated_file_lists"
    found = {split: first_file(source / name, lists / name) for split, name in LISTS.items()}
    return {split: path for split, path in found.items() if path}


def _record(row: Face, side: int) -> Record:
    image = as_jpeg(face(row.path, row.box, side, row.place))
    return Record(row.key, image, row.label, valence=row.valence, arousal=row.arousal)


def _scalar(path: Path) -> str:
    """Return the one value of an .npy file as text; AffectNet stores numbers as strings. Pickled objects are
    refused."""
    try:
        return str(np.load(path, allow_pickle=False).astype(str).item())
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"affectnet: {path} doesn't hold one number ({error}); unpack the archive again") from error
