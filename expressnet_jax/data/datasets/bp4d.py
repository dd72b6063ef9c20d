"""BP4D (Zhang et al. 2014): 41 people in eight tasks that each bring about an emotion; action units in most frames.

Layout: AUCoding/AU_OCC/F001_T1.csv, ... with a line of the units' numbers behind a first cell and then a line a frame:
its number, and for each unit 1 (shown), 0 or 9 (nobody knows); AUCoding/AU_INT/AU06/F001_T1_AU06.csv, ... with lines
"frame,intensity" where intensities are there; and the images as 2D+3D/F001/T1/0001.jpg or Sequences/..., or faces that
somebody cut out of them by the same names. There is no official split: papers hold people out in three folds.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from expressnet_jax.data.datasets.action_units import (
    OPTIONS,
    checked_every,
    frame_jpeg,
    intensity_field,
    read_by_frame,
    unit_columns,
    unit_names,
)
from expressnet_jax.data.datasets.annotation_files import first_dir
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.face_box import checked_side
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.media_files import media_kind, no_litter
from expressnet_jax.errors import UserError
from expressnet_jax.parallel import InOrder

UNITS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)  # of more than 30, those that papers report
INTENSITIES = (6, 10, 12, 14, 17)
UNKNOWN = 9
_TASK = re.compile(r"([FM]\d{3})_T([1-8])\.csv")


class _Frame(NamedTuple):
    """A coded frame: its key, its image, the task's number from 0, the person, and what is shown."""

    key: str
    path: Path
    task: int
    person: str
    extras: Mapping[str, np.ndarray]


class Bp4d(FaceBuilder, skip_registration=True):
    """BP4D: `action_units` and, where they are there, `au_intensity` of each coded frame, NaN where nobody knows.

    The class is the emotion that the task is to bring about, not what somebody saw in the frame.
    """

    name = "bp4d"
    CLASSES = ("happiness", "sadness", "surprise", "embarrassment", "fear", "pain", "anger", "disgust")
    CHANNELS = 3
    LICENSE = "Research only, under the BP4D agreement of Binghamton University; images may not be passed on."
    HOW_TO_GET = (
        "Ask for access at https://www.cs.binghamton.edu/~lijun/Research/3DFE/3DFE_Analysis.html, and give the folder "
        "that holds AUCoding/ and 2D+3D/ (or Sequences/) with --source"
    )
    TARGETS: ClassVar = {"au_intensity": intensity_field(INTENSITIES)}
    OPTIONS: ClassVar = OPTIONS

    @cached_property
    def COLUMNS(self) -> dict:
        """The person, the units, and their intensities where they are there."""
        there = self.source is not None and _intensity_folder(self._root) is not None
        return {"subject": ((), str), **unit_columns(UNITS, INTENSITIES if there else ())}

    @cached_property
    def _root(self) -> Path:
        return locate(self, self.source, "no AUCoding/AU_OCC/")

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the codes of occurrences are there."""
        return _occurrences(folder) is not None

    def read(self, source: Path) -> Mapping[str, Sequence[Record]]:
        """Return the coded frames by person, task and number in the one split "all"."""
        folder, every = _occurrences(self._root), checked_every(self.options["every"], self.name)
        files = sorted(no_litter(folder.glob("*.csv"))) if folder else []
        tasks = [(path, match) for path in files if (match := _TASK.fullmatch(path.name))]
        if not tasks:
            raise self.missing(f"no files like F001_T1.csv in {folder}")
        side = checked_side(self.options["size"], self.name)
        self.notes["action_units"] = list(unit_names(UNITS))
        frames = [frame for path, match in tasks for frame in list(self._task(path, match[1], int(match[2])))[::every]]
        return {"all": InOrder(partial(_record, self.name, side), frames)}

    def _task(self, path: Path, person: str, task: int) -> Iterator[_Frame]:
        """Yield the coded frames of a task that there are images of."""
        codes = read_by_frame(path, self.name, range(100))  # units' numbers as well
        units = next(iter(codes.values()), [])
        if lacking := sorted(set(UNITS) - set(units)):
            raise UserError(f"{self.name}: {path.name} row 1: no column of unit {lacking[0]}; unpack AUCoding again")
        images, levels = self._images(person, task), self._levels(person, task)
        columns = [units.index(unit) for unit in UNITS]
        for frame, row in list(codes.items())[1:]:
            if len(row) != len(units) or not set(row) <= {0, 1, UNKNOWN}:
                raise UserError(f"{self.name}: {path.name}: frame {frame} has other values than 0, 1 and {UNKNOWN}")
            if frame in images:
                shown = np.array([row[column] for column in columns], np.float32)
                extras: dict[str, Any] = {"action_units": np.where(shown == UNKNOWN, np.nan, shown)}
                strong = [each.get(frame, [UNKNOWN])[0] for each in levels]
                extras["au_intensity"] = np.where(np.array(strong) == UNKNOWN, np.nan, strong).astype(np.float32)
                yield _Frame(f"{person}/T{task}/{frame:04d}", images[frame], task - 1, person, extras)

    def _images(self, person: str, task: int) -> dict[int, Path]:
        """Return the images of a task by the numbers of their frames; the meshes next to them have the same names."""
        folder = first_dir(*sorted(self._root.glob(f"*/{person}/T{task}")), self._root / person / f"T{task}")
        files = [] if folder is None else no_litter(folder.iterdir())
        found: dict[int, Path] = {}
        for file in sorted(files):
            number = int(file.stem) if file.stem.isdecimal() and file.is_file() else None
            if number is not None and (number not in found or media_kind(file) == "image"):
                found[number] = file
        if not found:
            raise self.missing(f"no images like {person}/T{task}/0001.jpg in {self._root}")
        return found

    def _levels(self, person: str, task: int) -> list[dict[int, list[int]]]:
        """Return frame -> [intensity] of each unit that has some; nothing of what wasn't coded."""
        folder = _intensity_folder(self._root)
        files = [folder and folder / f"AU{unit:02d}/{person}_T{task}_AU{unit:02d}.csv" for unit in INTENSITIES]
        valid = (*range(6), UNKNOWN)
        return [read_by_frame(path, self.name, valid) if path and path.is_file() else {} for path in files]


def _occurrences(folder: Path) -> Path | None:
    return first_dir(folder / "AUCoding/AU_OCC", folder / "AU_OCC")


def _intensity_folder(folder: Path) -> Path | None:
    return first_dir(folder / "AUCoding/AU_INT", folder / "AU_INT")


def _record(name: str, side: int, frame: _Frame) -> Record:
    image = frame_jpeg(frame.path, side, name)
    return Record(frame.key, image, frame.task, subject=frame.person, extras=frame.extras)
