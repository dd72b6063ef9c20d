"""A canvas that takes shapes in face coordinates and draws them with sub-pixel accuracy.

Shapes: W side of the canvas in pixels, N corners of a polygon, n polygons, G side of a grid over the face.
"""

import cv2
import numpy as np

_BITS = 4
GRID_ORIGIN, GRID_EXTENT = -1.8 - 1.6j, 3.6  # the square of face coordinates that a grid over the face covers


Colour = np.ndarray | float  # float[3] in R, G, B, or a gray value


def luma(colour: np.ndarray) -> float:
    """Return the gray value of a colour float[3] (ITU-R BT.601, as OpenCV has it)."""
    red, green, blue = colour.tolist()
    return 0.299 * red + 0.587 * green + 0.114 * blue


class Canvas:
    """Pixels uint8[W,W] or uint8[W,W,3], and the similarity from face coordinates to them.

    Attributes:
      turn, shift: a face point z is drawn at pixel z * turn + shift.
      unit: pixels per face unit.
    """

    def __init__(self, side: int, channels: int, turn: complex, shift: complex) -> None:
        self.side, self.channels, self.turn, self.shift = side, channels, complex(turn), complex(shift)
        self.unit = abs(turn)
        self.pixels: np.ndarray = np.empty((side, side) if channels == 1 else (side, side, 3), np.uint8)
        self._turn = np.complex64(turn * (1 << _BITS))
        self._shift = np.complex64(shift * (1 << _BITS))
        self._edge = cv2.LINE_AA
        self._queue: list[tuple[Colour, int | None, tuple[np.ndarray, ...]]] = []

    @property
    def grid(self) -> int:
        """G of a grid over the face that is fine enough for this canvas."""
        return 40 if self.side <= 128 else 96

    def layer(self, value: int) -> "Canvas":
        """Return a gray canvas over the same face, filled with one value, without smooth edges."""
        layer = Canvas(self.side, 1, self.turn, self.shift)
        layer.pixels.fill(value)
        layer._edge = cv2.LINE_8
        return layer

    def fill(self, colour: Colour, *shapes: np.ndarray) -> None:
        """Fill polygons, each complex[N] or n of them complex[n,N]."""
        self._queue.append((colour, None, shapes))

    def stroke(self, colour: Colour, width: float, *paths: np.ndarray) -> None:
        """Draw paths, given as in `fill`, as lines of one width in face units."""
        self._queue.append((colour, max(1, round(width * self.unit)), paths))

    def draw(self) -> None:
        """Draw on the pixels, in order, what `fill` and `stroke` have noted: all corners are placed at once."""
        if not self._queue:
            return
        corners = np.concatenate([shape.reshape(-1) for *_, shapes in self._queue for shape in shapes])
        turned = (corners * self._turn + self._shift).astype(np.complex64, copy=False).view(np.float32)
        placed = np.rint(turned).astype(np.int32).reshape(-1, 2)
        start = 0
        for colour, thickness, shapes in self._queue:
            polygons = []
            for shape in shapes:
                stop = start + shape.size
                part = placed[start:stop]
                polygons += [part] if shape.ndim == 1 else list(part.reshape(*shape.shape, 2))
                start = stop
            tone = self._tone(colour)
            if thickness is None:
                cv2.fillPoly(self.pixels, polygons, tone, self._edge, _BITS)
            else:
                cv2.polylines(self.pixels, polygons, False, tone, thickness, self._edge, _BITS)
        self._queue.clear()

    def drape(self, fields: np.ndarray) -> np.ndarray:
        """Lay values on a grid over the face, uint8[G,G,n] -> where they lie on this canvas, uint8[W,W,n]."""
        scale = (fields.shape[0] - 1) / GRID_EXTENT
        turn = scale / self.turn
        shift = -self.shift * turn - GRID_ORIGIN * scale
        inverse = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(fields, inverse, (self.side, self.side), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def _tone(self, colour: Colour) -> tuple[float, ...]:
        if isinstance(colour, (int, float)):
            return (colour,) * self.channels
        return tuple(colour.tolist()) if self.channels == 3 else (luma(colour),)
