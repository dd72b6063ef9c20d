"""DISFA (Mavadati et al. 2013): 27 people watch a video; intensities 0 to 5 of twelve action units in every frame.

Layout: ActionUnit_Labels/SN001/SN001_au1.txt, ... with lines "frame,intensity", frames from 1; and the frames, in
Videos_LeftCamera/LeftVideoSN001_comp.avi, or as images in a folder SN001/, such as of faces that somebody cut out of
them, by the numbers of their files, from 0 or 1. There is no official split: papers hold people out in three folds.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data.clip_frames import Source, all_frames
from expressnet_jax.data.datasets.action_units import (
    OPTIONS,
    checked_every,
    frame_jpeg,
    intensity_field,
    read_by_frame,
    unit_columns,
    unit_names,
)
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.clips import frame_source
from expressnet_jax.data.datasets.face_box import checked_side
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError

LABELS = "ActionUnit_Labels"
UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
_PRESENT = 2  # the intensity from which papers on DISFA count a unit as shown
_PERSON = re.compile(r"SN\d{3}")


class Disfa(FaceBuilder, skip_registration=True):
    """DISFA: `action_units` (shown from intensity 2 on) and `au_intensity` of each frame; subject is the person.

    DISFA has no expressions: the class of a frame says whether any of the units is shown.
    """

    name = "disfa"
    CLASSES = ("none", "some")
    CHANNELS = 3
    LICENSE = "Research only, under the DISFA agreement; images may not be passed on."
    HOW_TO_GET = (
        f"Ask for access at http://mohammadmahoor.com/disfa/, and give the folder that holds {LABELS}/ and "
        "Videos_LeftCamera/ (or folders of frames such as SN001/) with --source"
    )
    COLUMNS: ClassVar = {"subject": ((), str), **unit_columns(UNITS, UNITS)}
    TARGETS: ClassVar = {"au_intensity": intensity_field(UNITS)}
    OPTIONS: ClassVar = OPTIONS

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether labels of a person are there."""
        return (folder / LABELS).is_dir()

    def read(self, source: Path) -> Mapping[str, Iterator[Record]]:
        """Return the frames of all people in the one split "all"."""
        root = locate(self, source, f"no {LABELS}/")
        checked_side(self.options["size"], self.name), checked_every(self.options["every"], self.name)
        people = sorted(path.name for path in no_litter((root / LABELS).iterdir()) if _PERSON.fullmatch(path.name))
        if not people:
            raise self.missing(f"no folders like SN001 in {root / LABELS}")
        sources = {person: self._frames(root, person) for person in people}
        self.notes["action_units"] = list(unit_names(UNITS))
        return {"all": (record for person, frames in sources.items() for record in self._person(root, person, frames))}

    def _frames(self, root: Path, person: str) -> Source:
        """Return the images of a person's folder, or the person's video."""
        folders = [path for path in root.glob(f"*/{person}") if path.parent.name != LABELS] + [root / person]
        videos = sorted(root.glob(f"*/LeftVideo{person}_comp.*"))
        found = next((source for path in [*folders, *videos] if (source := frame_source(path))), None)
        if found is None:
            raise self.missing(f"neither a video LeftVideo{person}_comp.avi nor frames in {person}/ in {root}")
        return found if isinstance(found, Path) else sorted(found, key=_number)

    def _person(self, root: Path, person: str, frames: Source) -> Iterator[Record]:
        levels, every = self._levels(root / LABELS / person, person), self.options["every"]
        last, side = max(levels), checked_side(self.options["size"], self.name)
        frame, numbers = 0, None if isinstance(frames, Path) else _frame_numbers(frames)
        for place, image in all_frames(frames, every):
            frame = numbers[place] if numbers else place + 1
            if frame in levels:
                values = levels[frame]
                extras = {"action_units": (values >= _PRESENT).astype(np.float32), "au_intensity": values}
                key, shown = f"{person}/{frame:05d}", int((values >= _PRESENT).any())
                yield Record(key, frame_jpeg(image, side, self.name), shown, subject=person, extras=extras)
        if frame + every < last - 1:  # one more or less is usual
            raise UserError(f"{self.name}: {person} has {frame:,} frames, but labels of {last:,}; fetch them again")

    def _levels(self, folder: Path, person: str) -> dict[int, np.ndarray]:
        """Return frame -> the intensities float32[U] of a person."""
        files = [folder / f"{person}_au{unit}.txt" for unit in UNITS]
        each = [read_by_frame(path, self.name) for path in files]
        for path, values in zip(files, each, strict=True):
            if not values or values.keys() != each[0].keys() or any(len(row) != 1 for row in values.values()):
                raise UserError(
                    f"{self.name}: {path.name}: has not one intensity for each frame; unpack {LABELS} again"
                )
        return {frame: np.array([values[frame][0] for values in each], np.float32) for frame in each[0]}


def _frame_numbers(files: Sequence[Path]) -> list[int] | None:
    """Return the number of each file's frame, from 1; None where names don't number them.

    Faces are not found in every frame: by its place, a file behind a missing one would have its neighbour's labels.
    """
    numbers = [_number(file)[0] for file in files]
    if min(numbers) < 0 or len(set(numbers)) < len(numbers):
        return None
    return [number + (min(numbers) == 0) for number in numbers]


def _number(path: Path) -> tuple[int, str]:
    """Return the last number in a file's name, by which frames are in order."""
    found = re.findall(r"\d+", path.stem)
    return int(found[-1]) if found else -1, path.name
