"""UCI Grammatical Facial Expressions (Freitas et al. 2014): two signers of Brazilian sign language before a Kinect.

Layout: a_affirmative_datapoints.txt, ... in one folder: a line of names, then a line a frame with the time and x, y (in
pixels), z (in mm, 0 where the sensor lost it) of 100 points of the face; and a_affirmative_targets.txt, ... with a line
a frame: 1 where the expression that the file is named after is shown, else 0. `a` and `b` are the people; there is no
official split: train on one person, test on the other. Shapes: N frames of a recording, T frames of an example.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.errors import UserError, one_line

EXPRESSIONS = (
    "affirmative",
    "conditional",
    "doubt_question",
    "emphasis",
    "negative",
    "relative",
    "topics",
    "wh_question",
    "yn_question",
)
NAME = re.compile(rf"([a-z])_({'|'.join(EXPRESSIONS)})_datapoints\.txt")
NONE, POINTS, SIDE = "none", 100, 64
_FOCAL = 525  # of a Kinect's cameras at 640 x 480, in pixels: what turns depths into them


class UciGfe(FaceBuilder, skip_registration=True):
    """Frames of point tracks: `points` float16[100,3], or [T,100,3], in pixels of a small drawing of them, the image.

    Options: `expression` (one of the nine: only its recordings, and two classes), `frames` (T, those around the frame
    that is labelled), `stride` (how many frames lie between two of these), `every` (n: every n-th frame is an example).
    """

    name = "uci_gfe"
    CHANNELS = 1
    SIZE = (SIDE, SIDE)
    LICENSE = "CC BY 4.0, Freitas, Peres, Lima & Barbosa 2014 (UCI Machine Learning Repository)."
    HOW_TO_GET = (
        "Download grammatical_facial_expression.zip from https://archive.ics.uci.edu/dataset/317, unpack it, and give "
        "the folder with a_affirmative_datapoints.txt ... with --source"
    )
    OPTIONS: ClassVar = {"expression": "", "frames": 1, "stride": 4, "every": 1}

    @property
    def CLASSES(self) -> tuple[str, ...]:
        wanted = self.options["expression"]
        if wanted not in ("", *EXPRESSIONS):
            raise UserError(f"{self.name}: expression is {wanted!r}, not one of {', '.join(EXPRESSIONS)}")
        if min(self.options[name] for name in ("frames", "stride", "every")) < 1:
            raise UserError(f"{self.name}: frames, stride and every are 1 or more")
        return (NONE, wanted) if wanted else (NONE, *EXPRESSIONS)

    @property
    def COLUMNS(self) -> dict:
        frames = (self.options["frames"],) if self.options["frames"] > 1 else ()
        return {"subject": ((), str), "points": ((*frames, POINTS, 3), np.float16)}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether a recording with one of the data set's names is there."""
        return any(NAME.fullmatch(path.name) for path in folder.glob("*_datapoints.txt"))

    def read(self, source: Path) -> dict[str, list[Record]]:
        """Return the frames of all recordings by name, in the one split "all"."""
        folder = locate(self, source, "no files like a_affirmative_datapoints.txt")
        names = {path.name: NAME.fullmatch(path.name) for path in sorted(folder.glob("*_datapoints.txt"))}
        found = {name: match for name, match in names.items() if match and match[2] in self.CLASSES}
        there = {f"{match[1]}_{match[2]}" for match in found.values()}
        if lacking := [f"{who}_{what}" for who in "ab" for what in self.CLASSES[1:] if f"{who}_{what}" not in there]:
            self.notes["recordings that are not there"] = lacking
        return {"all": [record for match in found.values() for record in self._frames(folder, *match.groups())]}

    def _frames(self, folder: Path, person: str, expression: str) -> Iterator[Record]:
        """Yield the examples of one recording."""
        points, shown = _read_recording(folder / f"{person}_{expression}")
        placed = place(points)
        stem, options = f"{person}_{expression}", self.options
        for i in range(0, len(placed), options["every"]):
            around = placed[window(i, len(placed), options["frames"], options["stride"])]
            label = self.CLASSES.index(expression) if shown[i] else 0
            extras = {"points": around.reshape(self.COLUMNS["points"][0])}
            yield Record(f"{stem} frame {i}", draw(placed[i]), label, subject=person, extras=extras)


def _read_recording(stem: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the points float32[N,100,3] of a recording as they are written, and bool[N]: is the expression shown?

    Raises:
      UserError: one of its two files is missing, damaged, or of another length.
    """
    paths = [stem.with_name(f"{stem.name}_{part}.txt") for part in ("datapoints", "targets")]
    try:
        rows = np.loadtxt(paths[0], np.float32, skiprows=1, ndmin=2)
        shown = np.loadtxt(paths[1], np.int32, ndmin=1)
    except (OSError, ValueError) as error:
        raise UserError(f"{stem}: no recording ({one_line(error)}); get its two files again or remove both") from error
    if rows.shape != (len(shown), 1 + 3 * POINTS):
        raise UserError(
            f"{paths[0]}: {rows.shape[0]} x {rows.shape[1]} values for {len(shown)} targets; get both again"
        )
    return rows[:, 1:].reshape(-1, POINTS, 3), shown > 0


def place(points: np.ndarray) -> np.ndarray:
    """Return points float32[N,100,3] in pixels of a drawing with one place and one scale for the whole recording.

    The face on average fills half of it. Depths are measured from the recording's median, in the same pixels; a lost
    one (0) takes that of the others of its frame.
    """
    plane, depth = points[..., :2], np.where(points[..., 2] > 0, points[..., 2], np.nan)
    middle = np.median(plane, axis=(0, 1))
    scale = SIDE / 2 / np.median(np.ptp(plane, axis=1).max(-1))
    typical = np.nanmedian(depth) if np.isfinite(depth).any() else np.float32(1000)
    known = np.isfinite(depth).any(1)
    depth[~known] = typical
    depth = np.where(np.isnan(depth), np.nanmedian(depth, axis=1, keepdims=True), depth)
    deep = (depth - typical) * (_FOCAL / typical)
    moved = np.concatenate([plane - middle, deep[..., None]], axis=-1) * scale
    center = (SIDE - 1) / 2
    return (moved + np.array([center, center, 0])).astype(np.float32)


def window(i: int, length: int, frames: int, stride: int) -> np.ndarray:
    """Return the places int[T] of the frames around frame i of a recording; beyond an end the last one is repeated."""
    return np.clip(i + stride * (np.arange(frames) - frames // 2), 0, length - 1)


def draw(points: np.ndarray) -> np.ndarray:
    """Return an image uint8[64,64,1] with a white spot at each of the points float[P,3]."""
    image = np.zeros((SIDE, SIDE, 1), np.uint8)
    for x, y in np.rint(points[:, :2]).astype(int):
        cv2.circle(image, (int(x), int(y)), 1, 255, -1)
    return image
