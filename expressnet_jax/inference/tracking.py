"""Which face of this frame is which of the last: found boxes -> numbers that stay with a face through a video.

Every track says where its face should be by now; these places and the found boxes are paired so that the distances sum
to the least (Kuhn 1955; the scheme is that of SORT, Bewley et al. 2016). Distances are counted in sizes of a face, not
in overlap: a face that jumped is still nearer to its old place than to another's, where two overlaps of 0 are equal.

Shapes: T tracks, N found boxes. A box is left, top, width, height in pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from expressnet_jax.inference.detection import as_box

Box = Sequence[float]

_REACH = 1.0  # sizes of a face that it may be from where it is expected
CONFIRMED = 3  # sightings until a track has a number: what flashes up once or twice is hardly a face
_PATIENCE = 1.0  # seconds that a track waits for its face
_BRIEF = 0.2  # seconds that one without a number does
_AGILITY = 0.3  # seconds in which a track's velocity follows its face's
_DRAG = 0.5  # seconds in which the velocity of a face that is not seen fades: it may have stopped


@dataclass
class _Track:
    """A face through time.

    Attributes:
      number: 1 and up in order of confirmation; 0 until then.
      left, top, width, height: where it is expected, in pixels.
      across, down: velocity in pixels a second.
      sightings: frames that it was found in.
      unseen: seconds since the last of them.
    """

    number: int
    left: float
    top: float
    width: float
    height: float
    across: float = 0.0
    down: float = 0.0
    sightings: int = 1
    unseen: float = 0.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.width, self.height

    def advance(self, elapsed: float) -> None:
        """Advance by `elapsed` seconds at the last speed, slower and slower if its face was not found."""
        if self.unseen:
            fade = math.exp(-elapsed / _DRAG)
            self.across, self.down = self.across * fade, self.down * fade
        self.left += self.across * elapsed
        self.top += self.down * elapsed
        self.unseen += elapsed

    def meet(self, box: Box) -> None:
        """Its face was found: here it is, and what it is off is owed to a velocity other than thought."""
        left, top, width, height = map(float, box)
        gain = (1 - math.exp(-self.unseen / _AGILITY)) / self.unseen
        self.across += gain * (left + width / 2 - self.left - self.width / 2)
        self.down += gain * (top + height / 2 - self.top - self.height / 2)
        self.left, self.top, self.width, self.height = left, top, width, height
        self.sightings += 1
        self.unseen = 0.0

    @property
    def lost(self) -> bool:
        return self.unseen > (_PATIENCE if self.number else _BRIEF)


class Tracker:
    """Gives faces their numbers, a frame at a time. Knows no images: boxes and seconds only."""

    def __init__(self) -> None:
        self.tracks: list[_Track] = []
        self.confirmed = 0

    @property
    def numbers(self) -> set[int]:
        """Those still waited for."""
        return {track.number for track in self.tracks if track.number}

    def update(self, boxes: Sequence[Box], elapsed: float = 1 / 25) -> list[int]:
        """Take the boxes found in the next frame, `elapsed` > 0 seconds after the last; return the number of each.

        0 is a face that was seen in fewer than CONFIRMED frames so far.
        """
        for track in self.tracks:
            track.advance(elapsed)
        owners: dict[int, _Track] = {}
        for row, column in paired([track.box for track in self.tracks], boxes):
            owners[column] = self.tracks[row]
            owners[column].meet(boxes[column])
        self.tracks = [track for track in self.tracks if not track.lost]
        for column in range(len(boxes)):
            if column not in owners:
                owners[column] = _Track(0, *as_box(boxes[column]))
                self.tracks.append(owners[column])
            self._confirm(owners[column])
        return [owners[column].number for column in range(len(boxes))]

    def _confirm(self, track: _Track) -> None:
        if not track.number and track.sightings >= CONFIRMED:
            self.confirmed += 1
            track.number = self.confirmed

    def state(self) -> dict[str, Any]:
        """Return all that it knows, in JSON's types, which keep every digit."""
        return {"confirmed": self.confirmed, "tracks": [asdict(track) for track in self.tracks]}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Tracker":
        """Return one that continues from `state`."""
        tracker = cls()
        tracker.confirmed = state["confirmed"]
        tracker.tracks = [_Track(**track) for track in state["tracks"]]
        return tracker


def paired(expected: Sequence[Box], found: Sequence[Box]) -> list[tuple[int, int]]:
    """T and N boxes -> pairs (t, n) within _REACH of each other, with the least sum of distances.

    To leave a face without its track costs _REACH: no pair is moved far so that another one may exist.
    """
    if not len(expected) or not len(found):
        return []
    from scipy.optimize import linear_sum_assignment  # takes longer to import than a video to open

    apart = np.minimum(distances(np.asarray(expected, float), np.asarray(found, float)), _REACH)
    rows, columns = linear_sum_assignment(apart)
    return [(t, n) for t, n in zip(rows.tolist(), columns.tolist(), strict=True) if apart[t, n] < _REACH]


def distances(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Boxes float64[T,4], float64[N,4] -> float64[T,N]: between their centres in sizes of a face, which is the
    geometric mean of the four sides, plus the logarithm of how much larger one is than the other."""
    centre = lambda boxes: boxes[:, :2] + boxes[:, 2:] / 2
    size = lambda boxes: np.sqrt(np.maximum(boxes[:, 2] * boxes[:, 3], 1.0))
    away = np.linalg.norm(centre(expected)[:, None] - centre(found)[None], axis=2)
    large, other = size(expected)[:, None], size(found)[None]
    return away / np.sqrt(large * other) + np.abs(np.log(large / other))
