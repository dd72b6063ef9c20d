"""AFEW-VA (Kossaifi et al. 2017): 600 clips from movies; valence and arousal of every frame, from -10 to 10.

Layout: 001/001.json with {"actor": ..., "frames": {"00000": {"landmarks": [[x, y], ...], "valence": ..., "arousal":
...}, ...}} and the frames 001/00000.png, ...; the folders of clips may lie in those of the archives, as 01/001/. There
is no official split: the paper holds actors out in five folds.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from expressnet_jax.data.datasets.action_units import OPTIONS, checked_every
from expressnet_jax.data.datasets.annotation_files import number
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.face_box import as_jpeg, checked_side, face, landmark_square
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.parallel import InOrder

_FULL = 10.0  # what is 1 in -1..1
QUADRANTS = ("pleasant_active", "pleasant_calm", "unpleasant_active", "unpleasant_calm")


class _Frame(NamedTuple):
    """An annotated frame: its key, its image, the face's box, who acts, and the annotators' means in -1..1."""

    key: str
    path: Path
    box: tuple[float, float, float, float]
    actor: str
    valence: float
    arousal: float


class AfewVa(FaceBuilder, skip_registration=True):
    """AFEW-VA: faces cut out by their 68 landmarks, with valence and arousal in -1..1; subject is the actor.

    It has no expressions: the class is the quadrant of valence and arousal, 0 counting as pleasant and active.
    """

    name = "afew_va"
    CLASSES = QUADRANTS
    CHANNELS = 3
    LICENSE = "Research only, under the AFEW-VA agreement; images may not be passed on."
    HOW_TO_GET = (
        "Ask for access at https://ibug.doc.ic.ac.uk/resources/afew-va-database/, unpack all archives into one folder, "
        "and give it with --source"
    )
    COLUMNS: ClassVar = {"subject": ((), str), "valence": ((), np.float32), "arousal": ((), np.float32)}
    OPTIONS: ClassVar = OPTIONS

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether annotations such as 001/001.json are there."""
        return bool(_annotations(folder))

    def read(self, source: Path) -> Mapping[str, Sequence[Record]]:
        """Return the frames of all clips by number in the one split "all"."""
        root, every = (
            locate(self, source, "no files like 001/001.json"),
            checked_every(self.options["every"], self.name),
        )
        side = checked_side(self.options["size"], self.name)
        frames = [frame for path in _annotations(root) for frame in list(self._clip(path))[::every]]
        return {"all": InOrder(partial(_record, self.name, side), frames)}

    def _clip(self, path: Path) -> Iterator[_Frame]:
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            frames, actor = dict(said["frames"]), str(said.get("actor", ""))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.name}: {path}: no annotations ({one_line(error)}); unpack it again") from error
        for name, row in sorted(frames.items()):
            place = f"{self.name}: {path.name} frame {name}"
            yield self._frame(path.parent / f"{name}.png", place, row, actor or f"clip {path.stem}")

    def _frame(self, image: Path, place: str, row: Any, actor: str) -> _Frame:
        try:
            points = np.array(row["landmarks"], np.float64).reshape(-1, 2)
            said = {name: number(str(row[name]), name, -_FULL, _FULL, place) / _FULL for name in ("valence", "arousal")}
            box = landmark_square(points)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{place}: lacks landmarks, valence or arousal ({one_line(error)})") from error
        if not image.is_file():
            raise UserError(f"{place}: no {image}; unpack the archive again")
        return _Frame(f"{image.parent.name}/{image.stem}", image, box, actor, **said)


def _annotations(folder: Path) -> list[Path]:
    """Return the files such as 001/001.json of all clips, in order of their names."""
    if not folder.is_dir():
        return []
    found = [path for level in ("*/*.json", "*/*/*.json") for path in folder.glob(level)]
    return sorted((path for path in found if path.stem.isdecimal() and path.stem == path.parent.name), key=_clip_number)


def _clip_number(path: Path) -> int:
    return int(path.stem)


def _record(name: str, side: int, frame: _Frame) -> Record:
    image = as_jpeg(face(frame.path, frame.box, side, name))
    label = 2 * (frame.valence < 0) + (frame.arousal < 0)
    return Record(frame.key, image, label, subject=frame.actor, valence=frame.valence, arousal=frame.arousal)
