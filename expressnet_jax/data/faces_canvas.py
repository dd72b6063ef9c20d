"""A canvas that takes shapes in face coordinates and draws them with sub-pixel accuracy.

Shapes: W side of the canvas in pixels, N corners of a polygon, n polygons, G side of a grid over the face.
"""

import cv2
import numpy as np

_BITS = 4
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
GRID_ORIGIN, GRID_EXTENT = -1.5 - 1.75j, 3.6  # the square of face coordinates that a grid over the face covers


class Canvas:
    """Pixels uint8[W,W] or uint8[W,W,3], and the similarity from face coordinates to them.

    Attributes:
      turn, shift: a face point z is drawn at pixel z * turn + shift.
      unit: pixels per face unit.
    """

    def __init__(self, side: int, channels: int, turn: complex, shift: complex) -> None:
        self.side, self.channels, self.turn, self.shift = side, channels, complex(turn), complex(shift)
        self.unit = abs(turn)
        self.pixels = np.empty((side, side) if channels == 1 else (side, side, 3), np.uint8)
        self._turn = np.complex64(turn * (1 << _BITS))
        self._shift = np.complex64(shift * (1 << _BITS))

    def layer(self, value: int) -> "Canvas":
        """A gray canvas over the same face, filled with one value."""
        layer = Canvas(self.side, 1, self.turn, self.shift)
        layer.pixels.fill(value)
        return layer

    def fill(self, colour: np.ndarray | float, *shapes: np.ndarray) -> None:
        """Fills polygons, each complex[N] or n of them complex[n,N], with float[3] in R, G, B or a gray value."""
        cv2.fillPoly(self.pixels, self._fixed(shapes), self._tone(colour), cv2.LINE_AA, _BITS)

    def stroke(self, colour: np.ndarray | float, width: float, *paths: np.ndarray, closed: bool = False) -> None:
        """Draws paths, given as in `fill`, as lines of one width in face units."""
        thickness = max(1, round(width * self.unit))
        cv2.polylines(self.pixels, self._fixed(paths), closed, self._tone(colour), thickness, cv2.LINE_AA, _BITS)

    def drape(self, fields: np.ndarray) -> np.ndarray:
        """Values on a grid over the face, uint8[G,G,n] -> where they lie on this canvas, uint8[W,W,n]."""
        scale = (fields.shape[0] - 1) / GRID_EXTENT
        turn = scale / self.turn
        shift = -self.shift * turn - GRID_ORIGIN * scale
        inverse = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(fields, inverse, (self.side, self.side), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def _tone(self, colour: np.ndarray | float) -> tuple[float, ...]:
        if isinstance(colour, (int, float)):
            return (colour,) * self.channels
        return (float(colour @ _LUMA),) if self.channels == 1 else tuple(colour.tolist())

    def _fixed(self, shapes: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """OpenCV's polygons, int32[N,2] with _BITS binary places."""
        polygons = []
        for shape in shapes:
            placed = (shape * self._turn + self._shift).astype(np.complex64, copy=False)
            corners = np.rint(placed.view(np.float32)).astype(np.int32).reshape(*shape.shape, 2)
            polygons += [corners] if shape.ndim == 1 else list(corners)
        return polygons
