"""Tables with an image of gray pixels in each row, as FER2013 came: emotion, pixels, Usage."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from expressnet_jax.data.datasets.tables import Table, header_of
from expressnet_jax.errors import UserError

SIDE = 48
PIXELS = "pixels"
# A dictionary parses a pixel and checks its range in one look-up, several times as fast as int() or NumPy's parser.
_PIXEL_VALUES = {str(value): value for value in range(256)}


def pixel_rows(path: Path, wanted: Sequence[str], otherwise: str = "") -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row number as an editor shows it, column -> text) of every row below the header.

    wanted: columns that must be there, in any order and case. otherwise: the text of "Usage" in tables without it.
    """
    names = {name.lower(): name for name in wanted}
    rows = Table(path, names).rows()
    found = next(rows, (1, []))[1]
    header = [names.get(value.lower(), value) for value in found]
    needed = set(wanted) - ({"Usage"} if otherwise else set())
    if not needed <= set(header):
        raise UserError(f"{path.name} row 1: the header is {found[:10]}; it needs {', '.join(wanted)}")
    for row, values in rows:
        if len(values) < len(header):
            raise UserError(f"{path.name} row {row}: {len(values)} columns, not {len(header)}")
        yield row, {"Usage": otherwise, **dict(zip(header, values, strict=False))}


def is_pixel_table(path: Path) -> bool:
    """Return whether a table has a column of pixels."""
    return PIXELS in header_of(path, (PIXELS, "emotion"))


def parse_pixels(text: str, where: str) -> np.ndarray:
    """Return the 2,304 numbers with spaces between them as uint8[48,48]."""
    words = text.split()
    if len(words) != SIDE * SIDE:
        raise UserError(f"{where}: {len(words)} pixels, not {SIDE * SIDE}: the row is torn; fetch the file again")
    try:
        flat = bytes(map(_PIXEL_VALUES.__getitem__, words))
    except KeyError as error:
        raise UserError(f"{where}: pixel {error.args[0]!r} is not a number from 0 to 255") from None
    return np.frombuffer(flat, np.uint8).reshape(SIDE, SIDE)
