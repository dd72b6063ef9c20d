"""Write annotated frames as an MP4. H, W pixels."""

import os
from pathlib import Path

import cv2
import numpy as np

from expressnet_jax.inference.output_files import OutputError
from expressnet_jax.opencv_files import opencv_name, silence_opencv


class VideoWriter:
    """Write an MP4 without sound, at an even `rate`.

    It has another name until it is closed, which makes what was written a whole video; one without a frame is no video
    and goes away.

    Raises:
      OutputError: no .mp4, or no place to write it.
    """

    def __init__(self, path: Path, rate: float, size: tuple[int, int]):
        if path.suffix.lower() != ".mp4":
            raise OutputError(f"{path}: annotated videos are MP4; give a name that ends in .mp4")
        self.path, self.size, self.frames = path, size, 0
        self.partial = path.with_name(f"{path.stem}.partial.mp4")
        silence_opencv()
        if reason := _unwritable(self.partial, path):
            raise OutputError(f"{path}: can't be written ({reason}); give a name in a folder where you may write")
        with opencv_name(self.partial) as name:
            self.writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        if not self.writer.isOpened():
            self.partial.unlink(missing_ok=True)
            raise OutputError(f"{path}: no MP4 of {size[0]}x{size[1]} pixels can be written here")

    def write(self, image: np.ndarray) -> None:
        """Append uint8[H,W,3] in red, green, blue; of another size, as some videos change to, it is made to fit."""
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size)
        self.writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """End the video and give it its name.

        Raises:
          OutputError: fewer frames arrived in the file than were written; OpenCV itself is silent about a full disk.
        """
        self.writer.release()
        arrived = self._arrived() if self.frames else 0
        try:
            if self.frames and arrived >= self.frames:
                os.replace(self.partial, self.path)
                return
            self.partial.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path}: can't be written ({error.strerror})") from error
        if self.frames:
            raise OutputError(
                f"{self.path}: only {arrived:,} of {self.frames:,} frames could be written; the disk is probably full:"
                " free some of it, or give a name on another one"
            )

    def _arrived(self) -> int:
        """Return the frames that the file says it holds."""
        with opencv_name(self.partial) as name:
            check = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        frames = check.get(cv2.CAP_PROP_FRAME_COUNT) if check.isOpened() else 0
        check.release()
        return round(frames)


def _unwritable(partial: Path, path: Path) -> str:
    """Return why a file can't be written, found out by trying; empty if it can."""
    try:
        if path.is_dir():
            return "a folder"
        partial.open("wb").close()
    except OSError as error:
        return error.strerror or "no reason given"
    return ""
