"""ExpW, Expression in the Wild (Zhang et al. 2018): 91,793 faces in images from the web, seven classes.

Layout: label/label.lst with lines of image name, number of the face in it, box (top, left, right, bottom), confidence
of the box, expression; and image/origin/ with the images. There is no official split.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from expressnet_jax.data.datasets.annotation_files import (
    first_dir,
    first_file,
    label_of,
    number,
    require_files,
    text_rows,
)
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.face_box import as_jpeg, checked_side, face
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.labels import BASIC, EXPW_CODES
from expressnet_jax.parallel import InOrder

LISTS = ("label/label.lst", "label.lst")


class Face(NamedTuple):
    """A line of label.lst."""

    place: str
    key: str
    path: Path
    box: tuple[float, float, float, float]
    label: int
    confidence: float


class ExpW(FaceBuilder, skip_registration=True):
    """ExpW: every listed face, cut out by its box; `box_confidence` says how sure the face detector was."""

    name = "expw"
    CLASSES = BASIC
    CHANNELS = 3
    LICENSE = "Non-commercial research only, as the authors' page states; the images belong to their owners."
    HOW_TO_GET = (
        "Get label.lst and the parts of origin.7z from http://mmlab.ie.cuhk.edu.hk/projects/socialrelation/index.html, "
        "unpack them to label/label.lst and image/origin/, and give the folder that holds both with --source"
    )
    COLUMNS: ClassVar = {"box_confidence": ((), np.float32)}
    OPTIONS: ClassVar = {"size": 224}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the list is there."""
        return first_file(*(folder / name for name in LISTS)) is not None

    def read(self, source: Path) -> dict[str, Iterable[Record]]:
        """Return all faces in the order of the list, in the one split "all"."""
        root = locate(self, source, "no label/label.lst")
        table = first_file(*(root / name for name in LISTS))
        images = first_dir(*(root / name for name in ("image/origin", "origin", "image")))
        if table is None or images is None:
            raise self.missing(f"no image/origin in {root}")
        faces = [self._face(f"{self.name}: {place}", words, images) for place, words in text_rows(table, words=8)]
        if not faces:
            raise self.missing(f"{table} is empty")
        require_files(((row.place, row.path) for row in faces), "unpack all parts of origin.7z again")
        side = checked_side(self.options["size"], self.name)
        return {"all": InOrder(partial(_record, side=side), faces)}

    def _face(self, place: str, words: list[str], images: Path) -> Face:
        image, face_id, *corners, confidence, code = words
        top, left, right, bottom = (number(text, "the box", -1e5, 1e5, place) for text in corners)
        label = label_of(code, EXPW_CODES, BASIC, place)
        sure = number(confidence, "confidence", -1e3, 1e3, place)
        return Face(place, f"{image}#{face_id}", images / image, (left, top, right, bottom), label, sure)


def _record(row: Face, side: int) -> Record:
    extras = {"box_confidence": np.float32(row.confidence)}
    return Record(row.key, as_jpeg(face(row.path, row.box, side, row.place)), row.label, extras=extras)
