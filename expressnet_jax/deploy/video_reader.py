"""Videos and cameras -> frames in order; annotated frames -> a video. H, W pixels."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from expressnet_jax.errors import UserError

SUFFIXES = frozenset([".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"])
USUAL_RATE = 25.0  # frames a second, where a container tells none
SHORT = 0.5, 0.02  # seconds, and share, that may miss of what a container promises: many promise a little too much


class Frame(NamedTuple):
    """A picture of a video: its number from 0, its time in seconds, and its pixels uint8[H,W,3] in red, green, blue;
    None once nobody needs them."""

    number: int
    time: float
    image: np.ndarray | None


class Video:
    """A video file, read from its beginning. Close it when no thread reads it any more.

    Raises:
      UserError: no such file, or none with pictures in it.

    Attributes:
      rate: frames a second.
      length: frames, as the container says; 0 where it does not.
      size: width, height in pixels, upright.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{path}: {'a folder, not a video' if self.path.is_dir() else 'no such file'}")
        silence_opencv()
        self.capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self.capture.isOpened():
            raise UserError(f"{path}: not a video that can be read: no video, truncated or damaged; fetch it again")
        told = lambda name: max(self.capture.get(name), 0.0)
        rate = told(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= 1000 else USUAL_RATE
        self.length = round(told(cv2.CAP_PROP_FRAME_COUNT))
        self.size = round(told(cv2.CAP_PROP_FRAME_WIDTH)), round(told(cv2.CAP_PROP_FRAME_HEIGHT))
        self.ended = 0.0

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """From frame `start` on. The ones before are decoded, too: containers don't seek to an exact frame."""
        before = -1.0
        for number in itertools.count():
            if not self.capture.grab():
                return
            before = self._time(number, before)
            self.ended = before + 1 / self.rate
            if number < start:
                continue
            read, image = self.capture.retrieve()
            if not read:
                return
            yield Frame(number, before, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def _time(self, number: int, before: float) -> float:
        """When it is shown, if the container says so; time never stands still, as it would where it says nothing."""
        told = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return next(t for t in (told, number / self.rate, before + 1 / self.rate) if t > before)

    def check_end(self, frames: int) -> None:
        """Call it when `frames` were read and no more came.

        Raises:
          UserError: far fewer than the container promises, and sooner; a video's last frame may stand for long.
        """
        seconds = self.length / self.rate
        least, share = SHORT
        if frames < (1 - share) * self.length and self.ended < seconds - max(least, share * seconds):
            raise UserError(
                f"{self.path}: ends at {self.ended:.1f} s of {seconds:.1f} s, after {frames:,} of {self.length:,}"
                " frames: truncated or damaged; fetch it again for the rest"
            )
        if not frames:
            raise UserError(f"{self.path}: a video without a frame that can be read; fetch it again")

    def close(self) -> None:
        self.capture.release()


class Camera:
    """A camera, read as long as it gives pictures; times are seconds since it was opened."""

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


class VideoWriter:
    """Writes an MP4 without sound, at an even `rate`.

    It has another name until it is closed, which makes what was written a whole video; one without a frame is no video
    and goes away.

    Raises:
      UserError: no .mp4, or no place to write it.
    """

    def __init__(self, path: Path, rate: float, size: tuple[int, int]):
        if path.suffix.lower() != ".mp4":
            raise UserError(f"{path}: annotated videos are MP4; give a name that ends in .mp4")
        self.path, self.size, self.frames = path, size, 0
        self.partial = path.with_name(f"{path.stem}.partial.mp4")
        silence_opencv()
        if not _can_write(self.partial) or path.is_dir():
            raise UserError(f"{path}: can't be written; give a name in a folder where you may write")
        self.writer = cv2.VideoWriter(str(self.partial), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        if not self.writer.isOpened():
            self.partial.unlink(missing_ok=True)
            raise UserError(f"{path}: no MP4 of {size[0]}x{size[1]} pixels can be written here")

    def write(self, image: np.ndarray) -> None:
        """uint8[H,W,3] in red, green, blue; of another size, as some videos change to, it is made to fit."""
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size)
        self.writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Ends the video and gives it its name.

        Raises:
          UserError: fewer frames arrived in the file than were written; OpenCV itself is silent about a full disk.
        """
        self.writer.release()
        if not self.frames:
            self.partial.unlink(missing_ok=True)
            return
        check = cv2.VideoCapture(str(self.partial), cv2.CAP_FFMPEG)
        arrived = check.get(cv2.CAP_PROP_FRAME_COUNT) if check.isOpened() else 0
        check.release()
        if arrived < self.frames:
            raise UserError(f"{self.partial}: holds {arrived:.0f} of {self.frames} frames; is the disk full?")
        os.replace(self.partial, self.path)


def _can_write(path: Path) -> bool:
    try:
        path.open("wb").close()
    except OSError:
        return False
    return True


def silence_opencv() -> None:
    """OpenCV and FFmpeg print pages about a damaged file; here it is one line. A user's own setting stays."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read when the first video is opened
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
