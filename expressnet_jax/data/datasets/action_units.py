"""What data sets of coded action units share: files of numbers by frame, names of units, frames as JPEG.

Shapes: U action units.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from expressnet_jax.data.datasets.bad_images import BadImage
from expressnet_jax.data.datasets.face_box import as_jpeg, shrunk
from expressnet_jax.data.fields import Field
from expressnet_jax.data.image_io import read_image
from expressnet_jax.errors import UserError

OPTIONS = {"size": 224, "every": 1}  # pixels of a frame's longer side; every n-th frame is taken
HIGHEST = 5  # intensity


def unit_names(units: Sequence[int]) -> tuple[str, ...]:
    """Return the names AU01, AU02, ... of units by number."""
    return tuple(f"AU{unit:02d}" for unit in units)


def unit_columns(units: Sequence[int], intensities: Sequence[int]) -> dict:
    """Return the columns of a data set: which units are shown, and how strongly."""
    shown = {"action_units": ((len(units),), np.float32)}
    return shown | ({"au_intensity": ((len(intensities),), np.float32)} if intensities else {})


def intensity_field(units: Sequence[int]) -> Field:
    """Return the target of intensities from 0 to 5."""
    return Field("vector", (len(units),), unit_names(units))


def read_by_frame(path: Path, name: str, valid: Sequence[int] = range(HIGHEST + 1)) -> dict[int, list[int]]:
    """Return frame -> the numbers behind it, of a file of whole numbers separated by commas; the first cell of its
    first line may be text, and counts as 0.

    Raises:
      UserError: it is not there or not readable, or a number is not one of `valid`; the line begins with `name`.
    """
    found: dict[int, list[int]] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{name}: {path}: can't be read ({error.strerror}); unpack the labels again") from error
    for number, row in enumerate(csv.reader(lines), start=1):
        try:
            cells = ["0", *row[1:]] if row and number == 1 and not row[0].strip().isdecimal() else row
            frame, *values = map(int, cells) if row else (0,)
        except ValueError:
            raise UserError(f"{name}: {path.name} row {number}: {','.join(row)!r} are no whole numbers") from None
        if wrong := [value for value in values if value not in valid]:
            raise UserError(f"{name}: {path.name} row {number}: {wrong[0]} is not one of {', '.join(map(str, valid))}")
        if row:
            found[frame] = values
    return found


def frame_jpeg(frame: Path | np.ndarray, side: int, name: str) -> bytes:
    """Return a frame, a file or uint8[H,W,3], as a JPEG whose longer side is at most `side` pixels.

    Raises:
      BadImage: the file can't be read.
    """
    pixels = _read(frame, name) if isinstance(frame, Path) else frame
    return as_jpeg(shrunk(pixels[..., 0] if pixels.shape[2] == 1 else pixels, side))


def _read(path: Path, name: str) -> np.ndarray:
    try:
        return read_image(path.read_bytes()).pixels
    except (UserError, OSError) as error:
        raise BadImage(f"{name}: {path}", path.name, str(error)) from error


def checked_every(every: int, name: str) -> int:
    """Return the option `every` of a data set; raise UserError if it is less than 1."""
    if every < 1:
        raise UserError(f"{name}: every is {every}; it is 1 or more")
    return every
