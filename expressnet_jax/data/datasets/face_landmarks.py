"""Landmarks and blendshape scores of FER2013's images, row by row, as MediaPipe's face landmarker gives them.

`fer2013_landmarks.npz` holds, for N rows of fer2013.csv in its order, `points146` float16[N,P,3] in pixels of the image
padded by 6 pixels on each side and enlarged to 256; `indices` int[P], which of MediaPipe's 478 points they are;
`blendshapes` float16[N,D] in 0..1 with `blendshape_names`; `face_logit` float16[N], above 0 where it sees a face; and
of each row `usage` and `labels`, as in fer2013.csv.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.votes import SPLIT_OF_USAGE
from expressnet_jax.data.fields import Field, mirror_names
from expressnet_jax.errors import UserError, one_line

LANDMARK_NAMES = ("fer2013_landmarks.npz", "landmarks.npz")
SIDE, PADDING, ENLARGED = 48, 6, 256
ARRAYS = ("points146", "indices", "blendshapes", "blendshape_names", "face_logit", "usage", "labels")
# MediaPipe's numbers of points that a mirror exchanges: pairs whose places in its canonical face model (468 vertices)
# differ in the sign of x alone; behind them the two irises. Points that are in no pair lie on the midline.
# fmt: off
MIRROR_PAIRS = (
    (7, 249), (21, 251), (33, 263), (37, 267), (39, 269), (40, 270), (46, 276), (52, 282), (53, 283), (54, 284),
    (55, 285), (58, 288), (61, 291), (63, 293), (65, 295), (66, 296), (67, 297), (70, 300), (78, 308), (80, 310),
    (81, 311), (82, 312), (84, 314), (87, 317), (88, 318), (91, 321), (93, 323), (95, 324), (103, 332), (105, 334),
    (107, 336), (109, 338), (127, 356), (132, 361), (133, 362), (136, 365), (144, 373), (145, 374), (146, 375),
    (148, 377), (149, 378), (150, 379), (153, 380), (154, 381), (155, 382), (157, 384), (158, 385), (159, 386),
    (160, 387), (161, 388), (162, 389), (163, 390), (172, 397), (173, 398), (176, 400), (178, 402), (181, 405),
    (185, 409), (191, 415), (234, 454), (246, 466), (468, 473), (469, 476), (470, 475), (471, 474), (472, 477),
)
# fmt: on


class FaceLandmarks:
    """The content of such a file for each split. P points, D blendshapes, N rows of a split."""

    def __init__(self, path: Path, depth: bool = False) -> None:
        """Read the file. With `depth` a point has three coordinates, else two.

        Raises:
          UserError: it is damaged or holds something else.
        """
        self.path, self.dimensions = path, 3 if depth else 2
        try:
            with np.load(path, allow_pickle=False) as file:
                self._arrays = {name: file[name] for name in ARRAYS}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path.name}: not the arrays {', '.join(ARRAYS)} ({one_line(error)}); get it again or take it away"
            ) from error

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The targets by name, with what a mirror exchanges."""
        names = tuple(self._arrays["blendshape_names"].tolist())
        indices = self._arrays["indices"].tolist()
        return {
            "landmarks": Field("points", (len(indices), self.dimensions), mirror=mirror_points(indices)),
            "blendshapes": Field("vector", (len(names),), names, mirror_names(names)),
        }

    def values(self, split: str, labels: Sequence[int]) -> dict[str, np.ndarray]:
        """Return of each of the split's N rows the points float16[N,P,2 or 3], in pixels of the image, and the
        scores float16[N,D]: NaN where no face was seen, and in a split that the file does not have.

        Raises:
          UserError: the rows are not those whose `labels` are given.
        """
        usage = next(name for name, known in SPLIT_OF_USAGE.items() if known == split)
        rows = np.flatnonzero(self._arrays["usage"] == usage)
        shapes = {name: field.shape for name, field in self.fields.items()}
        if not len(rows):
            return {name: np.full((len(labels), *shape), np.nan, np.float16) for name, shape in shapes.items()}
        if not np.array_equal(self._arrays["labels"][rows], labels):
            raise UserError(
                f"{self.path.name}: its {len(rows)} rows of {usage} are not the {len(labels)} of the table, by their"
                " labels; use all of fer2013.csv in its official order, or take the file away"
            )
        seen = (self._arrays["face_logit"][rows] > 0)[:, None]
        points = to_image(self._arrays["points146"][rows][..., : self.dimensions].astype(np.float32))
        scores = self._arrays["blendshapes"][rows]
        return {
            "landmarks": np.where(seen[..., None], points, np.nan).astype(np.float16),
            "blendshapes": np.where(seen, scores, np.nan).astype(np.float16),
        }

    def extend(self, split: str, records: list[Record], notes: dict[str, Any]) -> list[Record]:
        """Return the records of a split with their `values` as further extras; `notes` tells how many have none.

        Raises:
          UserError: the rows are not those of the records.
        """
        values = self.values(split, [record.label for record in records])
        missing = int(np.isnan(values["blendshapes"]).any(1).sum())
        notes[f"landmarks of {split}"] = f"none of {missing:,} images: no face was seen there"
        extras = lambda row: {name: column[row] for name, column in values.items()}
        return [replace(record, extras={**record.extras, **extras(row)}) for row, record in enumerate(records)]


def find_landmarks(folder: Path) -> Path | None:
    """Return the file with the landmarks in a folder, or None."""
    return next((folder / name for name in LANDMARK_NAMES if (folder / name).is_file()), None)


def to_image(points: np.ndarray) -> np.ndarray:
    """Return points float[...,2 or 3] of the padded and enlarged image as positions in the image itself, where the
    center of its first pixel is (0, 0), and depths in its pixels."""
    offset = np.array([PADDING + 0.5, PADDING + 0.5, 0], np.float32)[: points.shape[-1]]
    return points * np.float32((SIDE + 2 * PADDING) / ENLARGED) - offset


def mirror_points(indices: Sequence[int]) -> tuple[int, ...]:
    """Return which of the points each one becomes in the mirror; `indices` are MediaPipe's numbers of them."""
    partner = {a: b for left, right in MIRROR_PAIRS for a, b in ((left, right), (right, left))}
    place = {index: position for position, index in enumerate(indices)}
    return tuple(place[partner.get(index, index)] for index in indices)
