"""CK+ (Lucey et al. 2010): sequences from neutral to the peak of a posed expression, 123 people, contempt included.

Two layouts: the official one (cohn-kanade-images/S005/001/S005_001_00000001.png, Emotion/S005/001/*_emotion.txt for
the 327 sequences that have a label, Landmarks/ of the same tree), and 48x48 faces in class folders (CK+48/anger/
S010_004_00000017.png). There is no official split: hold people out.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.face_box import face
from expressnet_jax.data.datasets.listed import first_dir, label_of
from expressnet_jax.data.datasets.trees import class_tree
from expressnet_jax.data.labels import CKPLUS_CODES, WITH_CONTEMPT, canonical
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError

FRAME = re.compile(r"(S\d{3})_\d{3}_\d+\.png", re.IGNORECASE)
MARGIN = 0.25  # of the landmarks' box on each side: they run from brows to chin and leave the forehead out


class CkPlus(FaceBuilder, skip_registration=True):
    """CK+: the last frames of each labelled sequence, the first one as neutral if asked for; subject is the person."""

    name = "ckplus"
    CLASSES = WITH_CONTEMPT
    LICENSE = "Research only, under the CK+ agreement of the University of Pittsburgh; pictures may not be passed on."
    HOW_TO_GET = (
        "Ask for access at https://www.jeffcohn.net/resources/, and give the folder that holds cohn-kanade-images/, "
        "Emotion/ and Landmarks/ (or CK+48/ with class folders) with --source"
    )
    COLUMNS: ClassVar = {"subject": ((), str)}
    OPTIONS: ClassVar = {"last": 3, "neutral": False, "crop": True}

    def read(self, source: Path) -> dict[str, Iterator[Record]]:
        """All pictures by person and sequence, in the one split "all"."""
        images = _folder(source, "cohn-kanade-images", "extended-cohn-kanade-images")
        if images is None:
            return {"all": iter(self._class_folders(source))}
        emotions = _folder(source, "Emotion", "Emotion_labels")
        if emotions is None:
            raise self.missing(f"cohn-kanade-images is there, but no Emotion/ in {source}")
        landmarks = _folder(source, "Landmarks", "Landmarks")
        if not self.options["crop"] or landmarks is None:
            self.notes["crop"] = f"whole frames: {'crop is off' if landmarks else 'no Landmarks/ to cut faces out by'}"
            landmarks = None
        return {"all": self._sequences(images, emotions, landmarks)}

    def _sequences(self, images: Path, emotions: Path, landmarks: Path | None) -> Iterator[Record]:
        last = str(self.options["last"])
        if not last.isdecimal() or int(last) < 1:
            raise UserError(f"{self.name}: last is {last}, not a number of frames")
        files = sorted(no_litter(emotions.glob("*/*/*_emotion.txt")))
        if not files:
            raise self.missing(f"no *_emotion.txt below {emotions}")
        return self._frames(images, files, landmarks, int(last))

    def _frames(self, images: Path, files: list[Path], landmarks: Path | None, last: int) -> Iterator[Record]:
        for file in files:
            subject, sequence = file.parts[-3:-1]
            place = f"{self.name}: {file.name}"
            peak = images / subject / sequence / f"{file.name.removesuffix('_emotion.txt')}.png"
            if not peak.is_file():
                raise UserError(f"{place}: no {peak}; unpack cohn-kanade-images again")
            frames = sorted(path for path in no_litter(peak.parent.glob("*.png")) if path.name <= peak.name)
            label = label_of(file.read_text().strip(), CKPLUS_CODES, WITH_CONTEMPT, place)
            if self.options["neutral"] and len(frames) > last:
                yield self._record(frames[0], WITH_CONTEMPT.index("neutral"), subject, landmarks)
            for frame in frames[-last:]:
                yield self._record(frame, label, subject, landmarks)

    def _record(self, frame: Path, label: int, subject: str, landmarks: Path | None) -> Record:
        image = frame
        if landmarks is not None:
            image = _cut(frame, landmarks / "/".join(frame.parts[-3:-1]) / f"{frame.stem}_landmarks.txt", self.name)
        return Record("/".join(frame.parts[-3:]), image, label, subject=subject)

    def _class_folders(self, source: Path) -> list[Record]:
        root = first_dir(source / "CK+48", source)
        if root is None or not any(canonical(path.name) for path in root.iterdir() if path.is_dir()):
            raise self.missing(f"neither cohn-kanade-images/ nor class folders in {source}")
        return [self._face(path, word) for word, paths in class_tree(root)["all"].items() for path in paths]

    def _face(self, path: Path, word: str) -> Record:
        name, match = canonical(word), FRAME.fullmatch(path.name)
        if name is None:
            raise UserError(f"{self.name}: {path}: {word!r} is no expression; rename it: {', '.join(WITH_CONTEMPT)}")
        if match is None:
            raise UserError(f"{self.name}: {path}: the name isn't like S010_004_00000017.png; restore or remove it")
        return Record(f"{word}/{path.name}", path, WITH_CONTEMPT.index(name), subject=match[1].upper())


def _folder(source: Path, name: str, archive: str) -> Path | None:
    """A part of the data set, unpacked in place or into a folder with the archive's name."""
    return first_dir(*(root / part for root in (source, source / "CK+") for part in (f"{archive}/{name}", name)))


def _cut(frame: Path, file: Path, name: str) -> np.ndarray:
    """The square around a frame's 68 landmarks, with a margin -> uint8[H,W] or uint8[H,W,3]."""
    place = f"{name}: {frame.name}"
    try:
        points = np.array(file.read_text().split(), np.float64).reshape(-1, 2)
        middle, half = (points.max(0) + points.min(0)) / 2, np.ptp(points, axis=0).max() * (0.5 + MARGIN)
    except (OSError, ValueError) as error:
        raise UserError(f"{place}: {file} doesn't hold landmarks ({error}); unpack Landmarks again") from error
    return face(frame, (*(middle - half), *(middle + half)), None, place)
