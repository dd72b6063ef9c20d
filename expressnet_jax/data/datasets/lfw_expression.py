"""Expression labels for Labeled Faces in the Wild (Huang et al. 2007), made by students (muxspace/facial_expressions).

Two layouts: legend.csv (image, emotion, identity) next to images/, and the repository's own, data/legend.csv (user.id,
image, emotion) and images/, where names like Aaron_Eckhart_0001.jpg say who it is. There is no official split: hold
people out. The labels are noisy, and nearly all are neutral or happiness.
"""

import re
from pathlib import Path
from typing import ClassVar

from expressnet_jax.data.datasets.annotation_files import csv_rows, first_file, require_files
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.labels import WITH_CONTEMPT, canonical
from expressnet_jax.errors import UserError

_LEGENDS = ("legend.csv", "data/legend.csv")
_NUMBERED = re.compile(r"(.+)_\d{4}")


class LfwExpression(FaceBuilder, skip_registration=True):
    """LFW with expressions; subject is the person's name."""

    name = "lfw_expression"
    CLASSES = WITH_CONTEMPT
    LICENSE = "Press photographs, for research only; the labels are the work of students (muxspace/facial_expressions)."
    HOW_TO_GET = (
        "Clone https://github.com/muxspace/facial_expressions, and give that folder, or one that holds legend.csv "
        "(image,emotion,identity) and images/, with --source"
    )
    COLUMNS: ClassVar = {"subject": ((), str)}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the legend is there."""
        return first_file(*(folder / name for name in _LEGENDS)) is not None

    def read(self, source: Path) -> dict[str, list[Record]]:
        """Return all images in the order of the legend, in the one split "all"."""
        source = locate(self, source, "neither legend.csv nor data/legend.csv")
        legend = first_file(*(source / name for name in _LEGENDS))
        if legend is None or not (source / "images").is_dir():
            raise self.missing(f"no images/ in {source}")
        records, wanted = [], []
        for row_place, row in csv_rows(legend, ("image", "emotion")):
            place = f"{self.name}: {row_place}"
            path = source / "images" / row["image"]
            subject = row.get("identity") or identity(path.stem)
            records.append(Record(row["image"], path, _label(row["emotion"], place), subject=subject))
            wanted.append((place, path))
        if not records:
            raise self.missing(f"{legend} has no rows below the header")
        require_files(wanted, "fetch the images again")
        return {"all": records}


def identity(stem: str) -> str:
    """Return the name without its number, `Aaron_Eckhart_0001` -> `Aaron_Eckhart`; another name stands for another
    person."""
    match = _NUMBERED.fullmatch(stem)
    return match[1] if match else stem


def _label(emotion: str, place: str) -> int:
    name = canonical(emotion)
    if name is None:
        raise UserError(f"{place}: emotion {emotion!r} is not one of {', '.join(WITH_CONTEMPT)}")
    return WITH_CONTEMPT.index(name)
