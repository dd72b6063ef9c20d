"""JAFFE (Lyons et al. 1998): 213 gray images of 256x256 pixels, 10 Japanese women, seven posed expressions.

Layout: files like KA.AN1.39.tiff (in re-uploads .png or .jpg) in one folder or in class folders: person KA, expression
AN, its first take, image 39. There is no official split: hold people out.
"""

import re
from pathlib import Path
from typing import ClassVar

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.locate import has_class_folders, locate
from expressnet_jax.data.labels import BASIC, JAFFE_CODES
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError

NAME = re.compile(r"([A-Z]{2})\.([A-Z]{2})(\d+)\.+(\d+)\.+(?:tiff?|png|jpe?g|bmp)", re.IGNORECASE)
OFFICIAL_COUNT = 213


class Jaffe(FaceBuilder, skip_registration=True):
    """JAFFE; subject is the two letters that stand for the person."""

    name = "jaffe"
    CLASSES = BASIC
    CHANNELS = 1
    SIZE = (256, 256)
    LICENSE = "Non-commercial research only, under JAFFE's terms of use; images may not be passed on."
    HOW_TO_GET = (
        "Ask for access at https://zenodo.org/records/14974867 (the JAFFE dataset, Lyons, Kamachi and Gyoba), and give "
        "the folder that holds files like KA.AN1.39.tiff with --source"
    )
    COLUMNS: ClassVar = {"subject": ((), str)}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether a file with one of the data set's names is there."""
        pattern = "*/*.*" if has_class_folders(folder) else "*.*"
        return any(map(_fits, folder.glob(pattern)))

    def read(self, source: Path) -> dict[str, list[Record]]:
        """Return all images by name, in the one split "all"."""
        folder = locate(self, source, "no files like KA.AN1.39.tiff")
        files = sorted(
            no_litter(folder.glob("*/*.*" if has_class_folders(folder) else "*.*")), key=lambda path: path.name
        )
        records = [self._record(path) for path in files if path.suffix.lower().startswith(".tif") or _fits(path)]
        if len(records) != OFFICIAL_COUNT:
            self.notes["all"] = f"{len(records)} of the official {OFFICIAL_COUNT} images"
        return {"all": records}

    def _record(self, path: Path) -> Record:
        match = NAME.fullmatch(path.name)
        if match is None:
            raise UserError(f"{self.name}: {path}: the name isn't like KA.AN1.39.tiff; restore or remove it")
        code = match[2].upper()
        if code not in JAFFE_CODES:
            raise UserError(f"{self.name}: {path}: expression {code} is not one of {', '.join(JAFFE_CODES)}")
        return Record(path.name, path, BASIC.index(JAFFE_CODES[code]), subject=match[1].upper())


def _fits(path: Path) -> bool:
    match = NAME.fullmatch(path.name)
    return match is not None and match[2].upper() in JAFFE_CODES
