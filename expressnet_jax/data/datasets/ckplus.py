"""CK+ (Lucey et al. 2010): sequences from neutral to the peak of a posed expression, 123 people, contempt included.

Layouts: the official one (cohn-kanade-images/S005/001/S005_001_00000001.png, Emotion/S005/001/*_emotion.txt for
the 327 sequences that have a label, Landmarks/ of the same tree); 48x48 faces in class folders (CK+48/anger/
S010_004_00000017.png); and one table of pixels as on Kaggle (ckextended.csv: emotion, pixels, Usage). There is no
official split: hold people out. The table doesn't say who is shown, and its Usage divides images, not people.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data import clip_frames
from expressnet_jax.data.clip_frames import ClipShape
from expressnet_jax.data.datasets.annotation_files import first_dir, label_of
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.clips import CLIP_COLUMNS, Clip, clip_records
from expressnet_jax.data.datasets.coded_folders import Filed, filed_images
from expressnet_jax.data.datasets.face_box import face, landmark_square
from expressnet_jax.data.datasets.locate import has_class_folders, locate
from expressnet_jax.data.datasets.pixel_table import is_pixel_table, parse_pixels, pixel_rows
from expressnet_jax.data.datasets.votes import SPLIT_OF_USAGE
from expressnet_jax.data.labels import CKPLUS_CODES, WITH_CONTEMPT
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError

_FRAME = re.compile(r"(S\d{3})_\d{3}_\d+\.(?:png|jpe?g|bmp|tiff?)", re.IGNORECASE)
IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images")
RATE = 30.0  # frames a second of its video


class CkPlus(FaceBuilder, skip_registration=True):
    """CK+: the last frames of each labelled sequence, the first one as neutral if asked for; subject is the person.

    With the option `frames` every labelled sequence is a clip of so many frames, from neutral to the peak.
    """

    name = "ckplus"
    CLASSES = WITH_CONTEMPT
    LICENSE = "Research only, under the CK+ agreement of the University of Pittsburgh; images may not be passed on."
    HOW_TO_GET = (
        "Ask for access at https://www.jeffcohn.net/resources/, and give the folder that holds cohn-kanade-images/, "
        "Emotion/ and Landmarks/ (or CK+48/ with class folders) with --source"
    )
    FILES: ClassVar = ("table",)
    OPTIONS: ClassVar = {"last": 3, "neutral": False, "crop": True, **clip_frames.OPTIONS, "frames": 0}

    @property
    def COLUMNS(self) -> dict:
        """The person, where the layout says who is shown, and what is known of clips."""
        timed = CLIP_COLUMNS if self.options["frames"] else {}
        return {} if self.source is not None and pixel_table(self._root) else {"subject": ((), str), **timed}

    @cached_property
    def _clips(self) -> ClipShape | None:
        """Which frames of a sequence become a clip, where clips are asked for."""
        return ClipShape.of(self.options, self.name) if self.options["frames"] else None

    @property
    def SIZE(self) -> tuple[int, int] | None:
        return self._clips.stored if self._clips else None

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether one of the layouts is there."""
        return _folder(folder, *IMAGES) is not None or pixel_table(folder) is not None or has_class_folders(folder)

    @cached_property
    def _root(self) -> Path:
        return locate(self, self.source, "neither cohn-kanade-images/ nor class folders nor a table of pixels")

    def read(self, source: Path) -> Mapping[str, Iterable[Record]]:
        """Return all images by person and sequence in the one split "all"; of copies that have splits, those."""
        images, table = _folder(self._root, *IMAGES), pixel_table(self._root)
        if images is None and self.options["frames"]:
            raise self.missing(f"frames: {self._root} has single images; clips are in cohn-kanade-images/ alone")
        if images is None:
            return self._pixels(table) if table else self._class_folders()
        emotions = _folder(self._root, "Emotion", "Emotion_labels")
        if emotions is None:
            raise self.missing(f"cohn-kanade-images is there, but no Emotion/ in {self._root}")
        landmarks = _folder(self._root, "Landmarks", "Landmarks")
        if not self.options["crop"] or landmarks is None:
            self.notes["crop"] = f"whole frames: {'crop is off' if landmarks else 'no Landmarks/ to cut faces out by'}"
            landmarks = None
        return {"all": self._sequences(images, emotions, landmarks)}

    def _pixels(self, table: Path) -> dict[str, list[Record]]:
        """The table numbers the classes as WITH_CONTEMPT has them: FER2013's seven, then contempt."""
        splits: dict[str, list[Record]] = {}
        for row, values in pixel_rows(table, ("emotion", "pixels", "Usage"), otherwise="all"):
            where = f"{self.name}: {table.name} row {row}"
            label = label_of(values["emotion"], dict(enumerate(WITH_CONTEMPT)), WITH_CONTEMPT, where)
            split = SPLIT_OF_USAGE.get(values["Usage"], values["Usage"])
            if split not in (*SPLIT_OF_USAGE.values(), "all"):
                raise UserError(f"{where}: Usage is {split!r}, not one of {', '.join(SPLIT_OF_USAGE)}")
            splits.setdefault(split, []).append(Record(f"row{row}", parse_pixels(values["pixels"], where), label))
        if not splits:
            raise self.missing(f"{table} has no rows below the header")
        self.notes["people"] = "not in this table: its splits share people, and figures measured on them are too good"
        return {split: splits[split] for split in (*SPLIT_OF_USAGE.values(), "all") if split in splits}

    def _sequences(self, images: Path, emotions: Path, landmarks: Path | None) -> Iterable[Record]:
        last = str(self.options["last"])
        if not last.isdecimal() or int(last) < 1:
            raise UserError(f"{self.name}: last is {last}, not a number of frames")
        files = sorted(no_litter(emotions.glob("*/*/*_emotion.txt")))
        if not files:
            raise self.missing(f"no *_emotion.txt below {emotions}")
        sequences = (self._sequence(images, file) for file in files)
        if self._clips:
            self.notes["frames"] = self._clips.frames
            return clip_records(self.name, [self._clip(*each, landmarks) for each in sequences], self._clips)
        return self._frames(sequences, landmarks, int(last))

    def _sequence(self, images: Path, file: Path) -> tuple[list[Path], int, str]:
        """Return the frames from neutral to the peak, the label and the person of a file in Emotion/."""
        subject, sequence = file.parts[-3:-1]
        place = f"{self.name}: {file.name}"
        peak = images / subject / sequence / f"{file.name.removesuffix('_emotion.txt')}.png"
        if not peak.is_file():
            raise UserError(f"{place}: no {peak}; unpack cohn-kanade-images again")
        frames = sorted(path for path in no_litter(peak.parent.glob("*.png")) if path.name <= peak.name)
        return frames, label_of(file.read_text().strip(), CKPLUS_CODES, WITH_CONTEMPT, place), subject

    def _clip(self, frames: list[Path], label: int, subject: str, landmarks: Path | None) -> Clip:
        """Return a sequence whose frames are all cut by the landmarks of the peak."""
        box = None
        if landmarks is not None:
            square = _box(_landmarks_of(frames[-1], landmarks), f"{self.name}: {frames[-1].name}")
            left, top, right, bottom = map(round, square)
            box = (left, top, right, bottom)
        key = "/".join(frames[-1].parts[-3:-1])
        return Clip(key, tuple(frames), label, subject, box, rate=RATE)

    def _frames(
        self, sequences: Iterable[tuple[list[Path], int, str]], landmarks: Path | None, last: int
    ) -> Iterator[Record]:
        for frames, label, subject in sequences:
            if self.options["neutral"] and len(frames) > last:
                yield self._record(frames[0], WITH_CONTEMPT.index("neutral"), subject, landmarks)
            for frame in frames[-last:]:
                yield self._record(frame, label, subject, landmarks)

    def _record(self, frame: Path, label: int, subject: str, landmarks: Path | None) -> Record:
        image: Path | np.ndarray = frame
        if landmarks is not None:
            place = f"{self.name}: {frame.name}"
            image = face(frame, _box(_landmarks_of(frame, landmarks), place), None, place)
        return Record("/".join(frame.parts[-3:]), image, label, subject=subject)

    def _class_folders(self) -> dict[str, list[Record]]:
        filed = filed_images(self.name, self._root, self.notes)
        return {split: [self._face(image) for image in images] for split, images in filed.items()}

    def _face(self, image: Filed) -> Record:
        match = _FRAME.fullmatch(image.path.name)
        if match is None:
            raise UserError(
                f"{self.name}: {image.path}: the name isn't like S010_004_00000017.png, so nobody knows who it is; "
                "restore or remove it, or prepare the folder as one of your own: expressnet prepare folder"
            )
        return Record(image.key, image.path, WITH_CONTEMPT.index(image.expression), subject=match[1].upper())


def pixel_table(source: Path) -> Path | None:
    """Return the table of pixels that `source` is, or that is the only one in that folder."""
    if source.is_file():
        return source
    found = [path for path in sorted(source.glob("*.csv")) if is_pixel_table(path)] if source.is_dir() else []
    return found[0] if len(found) == 1 else None


def _folder(source: Path, name: str, archive: str) -> Path | None:
    """Return a part of the data set, unpacked in place or into a folder with the archive's name."""
    return first_dir(*(root / part for root in (source, source / "CK+") for part in (f"{archive}/{name}", name)))


def _landmarks_of(frame: Path, landmarks: Path) -> Path:
    return landmarks / "/".join(frame.parts[-3:-1]) / f"{frame.stem}_landmarks.txt"


def _box(file: Path, place: str) -> tuple[float, float, float, float]:
    """Return the square around a frame's 68 landmarks, with a margin: left, top, right, bottom in pixels."""
    try:
        return landmark_square(np.array(file.read_text().split(), np.float64).reshape(-1, 2))
    except (OSError, ValueError) as error:
        raise UserError(f"{place}: {file} doesn't hold landmarks ({error}); unpack Landmarks again") from error
