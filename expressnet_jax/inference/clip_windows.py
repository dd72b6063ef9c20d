"""A face followed through a video -> the clips that a network is shown of it, each with its time span.

Frames are taken at the rate of the clips that the network was trained on, whatever the video's is: at every tick of
that rate the face that is nearest in time. T of them are a window, and the next window begins T // 2 ticks later; the
last one ends with the track. A track that ends before its first window is full is one window all the same, its frames
spread evenly over the T: some are shown more than once, as in training on sources that are too short.

Shapes: T frames of a clip, S pixels a side, C channels.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from expressnet_jax.inference.detection import Detection

_SLACK = 1e-6  # seconds; a frame that is so little early is on time


class Sighting(NamedTuple):
    """A face in a frame: seconds, where it was found, and its pixels uint8[S,S,C]."""

    time: float
    found: Detection
    face: np.ndarray


class Window(NamedTuple):
    """What a network is shown of a track: T sightings in order, some of them more than once."""

    track: int
    sightings: Sequence[Sighting]

    @property
    def start(self) -> float:
        """Seconds of the first frame."""
        return self.sightings[0].time

    @property
    def end(self) -> float:
        """Seconds of the last frame."""
        return self.sightings[-1].time

    @property
    def clip(self) -> np.ndarray:
        """The pixels uint8[T,S,S,C]."""
        return np.stack([sighting.face for sighting in self.sightings])

    @property
    def middle(self) -> Detection:
        """Where the face is in the middle of the window."""
        return self.sightings[len(self.sightings) // 2].found


class TrackWindows:
    """The windows of one track. It keeps T sightings at the clips' rate, and up to 8 T of its beginning."""

    def __init__(self, track: int, frames: int, rate: float):
        """`frames` is T, `rate` ticks per second."""
        self.track, self.frames, self.tick = track, frames, 1 / rate
        self._begin()

    def _begin(self) -> None:
        self.taken: deque[Sighting] = deque(maxlen=self.frames)
        self.beginning = _Spread(8 * self.frames)
        self.before: Sighting | None = None
        self.first, self.ticks, self.fresh = 0.0, 0, 0

    def add(self, seen: Sighting) -> list[Window]:
        """Return the windows that are full with the next sighting.

        After a gap longer than a window, as in a damaged video, the track begins again.
        """
        finished: list[Window] = []
        if self.before and seen.time - self.before.time > self.frames * self.tick:
            finished = self.end()
        if self.before is None:
            self.first = seen.time
        while (due := self.first + self.ticks * self.tick) <= seen.time + _SLACK:
            nearer = self.before if self.before and due - self.before.time < seen.time - due else seen
            finished += self._take(nearer)
        if self.ticks < self.frames:
            self.beginning.add(seen)
        self.before = seen
        return finished

    def _take(self, seen: Sighting) -> list[Window]:
        self.taken.append(seen)
        self.ticks, self.fresh = self.ticks + 1, self.fresh + 1
        full = self.ticks == self.frames or (self.ticks > self.frames and self.fresh == max(self.frames // 2, 1))
        return [self._window(list(self.taken))] if full else []

    def _window(self, sightings: Sequence[Sighting]) -> Window:
        self.fresh = 0
        return Window(self.track, sightings)

    def end(self) -> list[Window]:
        """Return what is left when the track has ended: one window, or none."""
        left: list[Window] = []
        if self.ticks >= self.frames and self.fresh:
            left = [self._window(list(self.taken))]
        elif 0 < self.ticks < self.frames:
            left = [self._window(self.beginning.spread(self.frames))]
        self._begin()
        return left


class _Spread:
    """Sightings at even distances, never more than `most`: every second one is dropped where there would be."""

    def __init__(self, most: int):
        self.most, self.every, self.count = most, 1, 0
        self.kept: list[Sighting] = []

    def add(self, seen: Sighting) -> None:
        if self.count % self.every == 0:
            self.kept.append(seen)
        self.count += 1
        if len(self.kept) > self.most:
            self.kept, self.every = self.kept[::2], 2 * self.every

    def spread(self, frames: int) -> list[Sighting]:
        """Return so many from the first to the last, as `data.clip_frames.sample_frames` spreads a clip's frames."""
        return [self.kept[i] for i in np.linspace(0, len(self.kept) - 1, frames).round().astype(int)]
