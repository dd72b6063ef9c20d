"""Videos and cameras -> frames in order. H, W pixels."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from expressnet_jax.data.media_files import media_kind, missing
from expressnet_jax.errors import UserError
from expressnet_jax.inference.video_container import Container, read_container
from expressnet_jax.inference.video_damage import Damage, DecodeCounter
from expressnet_jax.opencv_files import opencv_name, silence_opencv

_USUAL_RATE = 25.0  # frames a second, where a container gives none
_FASTEST = 250.0  # more than that is rather the clock of a file with uneven frames, such as browsers record: 1000
_MEASURED = 250  # frames whose times give the rate then
FEWEST_TRIES, MOST_TRIES = 250, 100_000  # reads that fail one after the other until a video has ended


NO_PIXELS = np.empty(0, np.uint8)


class Frame(NamedTuple):
    """An image of a video: its number from 0, its time in seconds, and its pixels uint8[H,W,3] in red, green, blue;
    NO_PIXELS once nobody needs them."""

    number: int
    time: float
    image: np.ndarray


class Video:
    """A video file, read from its beginning. Close it when no thread reads it any more.

    Raises:
      UserError: no such file, or none with images in it.

    Attributes:
      rate: frames a second.
      length: frames, as the container says or as estimated from it; 0 where neither is possible.
      size: width, height in pixels, upright.
      damage: what of it could not be read, once `frames` has ended.
    """

    def __init__(self, path: Path | str, name: str = ""):
        """`name` is what errors call it; by default its path."""
        self.path, shown = Path(path), name or str(path)
        container = _checked(path, shown)
        silence_opencv()
        with opencv_name(self.path) as readable:
            self.capture = cv2.VideoCapture(readable, cv2.CAP_FFMPEG)
            stated_rate = self._stated(cv2.CAP_PROP_FPS)
            rate = stated_rate if stated_rate <= _FASTEST else _measured_rate(readable)
        if not self.capture.isOpened():
            reason = container.truncated or "damaged, or in a format that OpenCV's FFmpeg doesn't know"
            raise UserError(f"{shown}: not a video that can be read: {reason}; fetch it again")
        self.rate = rate or _USUAL_RATE
        count = self._stated(cv2.CAP_PROP_FRAME_COUNT)
        if stated_rate and not container.counts_frames:  # FFmpeg multiplies the length by the rate that it states
            count *= self.rate / stated_rate
        self.length = _plausible_length(count, self.rate, container)
        self.size = round(self._stated(cv2.CAP_PROP_FRAME_WIDTH)), round(self._stated(cv2.CAP_PROP_FRAME_HEIGHT))
        self._container = container
        self.damage = Damage(decoded=0)

    def _stated(self, name: int) -> float:
        return max(self.capture.get(name), 0.0)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from number `start` on; the ones before are decoded, too: no container seeks exactly.

        OpenCV's read fails at a damaged frame as it does at the end. After a damaged one it continues with the next, so
        it is tried again for as many frames as there may be. Damaged frames keep their numbers.
        """
        before, number, failed = -1.0, 0, 0
        counter = DecodeCounter(self.rate)
        while failed <= min(max(self.length - number, FEWEST_TRIES), MOST_TRIES):
            wanted, image = number + failed >= start, None
            grabbed = self.capture.grab()
            if grabbed and wanted:
                image = self._image()
            if not grabbed or (wanted and image is None):
                failed += 1
                continue
            number += failed
            before = self._time(number, before)
            counter.add(before, failed)
            failed = 0
            if image is not None:
                yield Frame(number, before, image)
            number += 1
        self.damage = counter.damage(self.length, self._container)

    def _image(self) -> np.ndarray | None:
        read, image = self.capture.retrieve()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if read else None

    def _time(self, number: int, before: float) -> float:
        """When it is shown, if the container says so; time never stands still, as it would where it says nothing."""
        stated = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return next(t for t in (stated, number / self.rate, before + 1 / self.rate) if t > before)

    def close(self) -> None:
        self.capture.release()


def _measured_rate(name: str) -> float:
    """Return the frames a second that the times of a video's first frames are apart; 0 where they say nothing."""
    capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    times = [capture.get(cv2.CAP_PROP_POS_MSEC) for _ in range(_MEASURED) if capture.grab()]
    capture.release()
    apart = times[-1] - times[0] if times else 0.0
    return round(1000 * (len(times) - 1) / apart, 1) if apart > 0 else 0.0


def _checked(path: Path | str, shown: str) -> Container:
    """Return the facts of a file that may be a video; errors call it `shown`.

    Raises:
      UserError: it can't be read, or is none for a reason that can be named.
    """
    if Path(path).is_dir():
        raise UserError(f"{shown}: a folder, not a video")
    try:
        kind = media_kind(path)
        container = read_container(Path(path))
    except FileNotFoundError as error:
        raise UserError(f"{shown}: {missing(path)}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{shown}: can't be read ({getattr(error, 'strerror', None) or error})") from error
    if kind == "empty":
        raise UserError(f"{shown}: not a video that can be read: an empty file; fetch it again")
    if kind == "text":
        raise UserError(f"{shown}: not a video that can be read: it is a text")
    if kind == "audio" or not container.has_video:
        raise UserError(f"{shown}: a sound file, no video in it")
    return container


def _plausible_length(stated: float, rate: float, container: Container) -> int:
    """Frames: of an edited video those that are shown; 0 for a number that can't be."""
    frames = round(stated) if stated <= container.bytes_there else 0
    if container.edited_seconds is None or not frames:
        return frames
    return min(frames, round(container.edited_seconds * rate))


class Camera:
    """A camera, read as long as it gives images; times are seconds since it was opened."""

    def __init__(self, number: int = 0, capture: Any = None):
        """`capture` is an open cv2.VideoCapture, or what reads like one.

        Raises:
          UserError: no such camera.
        """
        silence_opencv()
        self.capture = capture or cv2.VideoCapture(number)
        if not self.capture.isOpened():
            raise UserError(f"camera {number}: none there, or in use by another program; give another --camera")
        self.capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # frames that wait are frames that come late

    def frames(self) -> Iterator[Frame]:
        start = time.monotonic()
        for number in itertools.count():
            read, image = self.capture.read()
            if not read:
                return
            yield Frame(number, time.monotonic() - start, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def close(self) -> None:
        self.capture.release()
