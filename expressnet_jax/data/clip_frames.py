"""Videos and folders of frames -> clips of equally many frames, stored as one image, the frames one below the other.

Shapes: n frames of a source, T frames of a clip, S side in pixels, C channels.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from expressnet_jax.data.decode import resized
from expressnet_jax.data.image_io import read_image
from expressnet_jax.errors import UserError
from expressnet_jax.opencv_files import opencv_name, silence_opencv

_SAMPLINGS = ("uniform", "strided")
OPTIONS = {"frames": 16, "size": 112, "sampling": "uniform", "stride": 2}  # of every data set of clips
MOST_FRAMES, MOST_SIDE = 512, 512
USUAL_RATE = 25.0  # frames a second of what doesn't say how many

Source = Path | Sequence[Path]  # a video, or the files of its frames in order
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


@dataclass(frozen=True)
class ClipShape:
    """Which frames a clip is made of, and how large they are.

    Attributes:
      frames: T.
      size: S.
      sampling: "uniform", the whole source at equal distances, or "strided", see `sample_frames`.
      stride: of "strided".
    """

    frames: int
    size: int
    sampling: str = "uniform"
    stride: int = 2

    @classmethod
    def of(cls, options: dict, name: str) -> "ClipShape":
        """Return what a data set's options ask for.

        Raises:
          UserError: an option is out of its range; the line begins with `name`.
        """
        shape = cls(**{key: options[key] for key in OPTIONS})
        for key, value, low, high in (
            ("frames", shape.frames, 2, MOST_FRAMES),
            ("size", shape.size, 16, MOST_SIDE),
            ("stride", shape.stride, 1, MOST_FRAMES),
        ):
            if not low <= value <= high:
                raise UserError(f"{name}: {key} is {value}; it must be from {low} to {high}")
        if shape.sampling not in _SAMPLINGS:
            raise UserError(f"{name}: sampling: no {shape.sampling!r}; one of {', '.join(_SAMPLINGS)}")
        return shape

    @property
    def stored(self) -> tuple[int, int]:
        """(height, width) of a clip as it is stored."""
        return self.frames * self.size, self.size


def sample_frames(length: int, shape: ClipShape, key: str = "") -> np.ndarray:
    """Return which of `length` frames a clip is made of, int64[T], in order.

    "uniform" spreads them from the first frame to the last; a short source shows frames more than once. "strided" takes
    every `stride`-th one from a random frame on, which `key` alone draws, so that a data set prepared again is the
    same; it falls back to uniform where the source is too short.
    """
    span = (shape.frames - 1) * shape.stride + 1
    if shape.sampling == "strided" and length >= span:
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
        first = int(np.random.default_rng(seed).integers(length - span + 1))
        return first + shape.stride * np.arange(shape.frames)
    return np.linspace(0, length - 1, shape.frames).round().astype(np.int64)


class TimedClip(NamedTuple):
    """A clip as it is stored, uint8[T*S,S,C], its frames per second (NaN where it is one frame's copies), and the
    seconds of the source from its first frame to the end of its last."""

    pixels: np.ndarray
    rate: float
    span: tuple[float, float]


def read_clip(
    source: Source, shape: ClipShape, key: str = "", box: Box | None = None, rate: float = USUAL_RATE
) -> TimedClip:
    """Return a clip; with `box` that part of every frame. `rate` is how many frames a second a folder of frames has.

    Frames are squeezed to a square. Gray frame files give C = 1, everything else 3.

    Raises:
      UserError: it can't be read, or holds no frame.
    """
    length, rate = _measure(source) if isinstance(source, Path) else (len(source), rate)
    if not length:
        raise UserError("a clip without frames; restore or remove it")
    chosen = sample_frames(length, shape, key).tolist()
    images = list(_video_frames(source, chosen) if isinstance(source, Path) else _file_frames(source, chosen))
    steps = chosen[-1] - chosen[0]
    own = rate * (shape.frames - 1) / steps if steps else float("nan")
    return TimedClip(_stacked(images, shape, box), own, (chosen[0] / rate, (chosen[-1] + 1) / rate))


def _stacked(images: Sequence[np.ndarray], shape: ClipShape, box: Box | None) -> np.ndarray:
    """Return frames one below the other, each cut to the box and squeezed to a square."""
    left, top, right, bottom = box or (0, 0, *images[0].shape[1::-1])
    cut = [image[max(top, 0) : bottom, max(left, 0) : right] for image in images]
    if not all(image.size for image in cut):
        raise UserError(f"the face box {box} lies outside of a frame")
    channels = max(image.shape[2] for image in cut)
    small = [resized(image, shape.size).reshape(shape.size, shape.size, -1) for image in cut]
    return np.concatenate([np.broadcast_to(image, (*image.shape[:2], channels)) for image in small])


def _file_frames(files: Sequence[Path], chosen: Sequence[int]) -> Iterator[np.ndarray]:
    for at in chosen:
        yield read_image(files[at].read_bytes()).pixels


def _video_frames(path: Path, chosen: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the chosen frames; the video is decoded twice, for containers lie about their length and seek inexactly."""
    with _opened(path) as capture:
        at, image = -1, None
        for number in chosen:
            while at < number:
                at, grabbed = at + 1, capture.grab()
                image = capture.retrieve()[1] if grabbed and at == number else None
            if image is None:
                raise UserError(f"frame {number} can't be decoded; fetch the video again")
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def all_frames(source: Source, every: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Yield every `every`-th frame with its number from 0, uint8[H,W,C]; of files and videos alike."""
    if not isinstance(source, Path):
        for number in range(0, len(source), every):
            yield number, read_image(source[number].read_bytes()).pixels
        return
    with _opened(source) as capture:
        number = 0
        while capture.grab():
            if number % every == 0:
                yield number, cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            number += 1


def _measure(path: Path) -> tuple[int, float]:
    """Return how many frames a video has, and how many a second."""
    length = 0
    with _opened(path) as capture:
        stated = capture.get(cv2.CAP_PROP_FPS)
        while capture.grab():
            length += 1
    if not length:
        raise UserError("no video that can be decoded; fetch it again")
    return length, stated if 0 < stated <= 1000 else USUAL_RATE


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    silence_opencv()
    with opencv_name(path) as name:
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    try:
        yield capture
    finally:
        capture.release()
