"""The sound of stretches of a video, decoded as the video advances: however long it is, some seconds are in memory.

Shapes: n samples of a stretch, S samples that a network takes.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.sound import RATE, fit_length, to_int16
from expressnet_jax.data.sound_track import import_av
from expressnet_jax.errors import UserError

_PATIENCE = 10.0  # seconds that are kept before what was asked for last: windows of several faces take turns


class SoundWindows:
    """Reads the first sound track of a video, the mean of its channels at RATE. Close it.

    Attributes:
      present: whether there is a sound track.
    """

    def __init__(self, path: str | Path):
        """Raise UserError if the video can't be read, or PyAV is missing."""
        self._av = import_av()
        try:
            self._container = self._av.open(str(path))
        except (self._av.FFmpegError, OSError) as error:
            raise UserError(f"{path}: no sound that can be decoded ({error.strerror})") from error
        self.present = bool(self._container.streams.audio)
        self._chunks = self._decoded() if self.present else None
        self._kept = np.zeros(0, np.int16)
        self._first = 0  # the number of the first kept sample, from the video's beginning

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def window(self, start: float, end: float, length: int) -> np.ndarray:
        """Return what is heard from `start` to `end` in seconds, as training fits it to int16[S] of `length`.

        Zeros where there is no sound. Stretches come about in order of time: none begins _PATIENCE before the last one.
        """
        first, last = round(start * RATE), round(end * RATE)
        self._read(last)
        self._forget(first - round(_PATIENCE * RATE))
        part = self._kept[max(first - self._first, 0) : max(last - self._first, 0)]
        return fit_length(part, length) if part.any() else np.zeros(length, np.int16)

    def _read(self, last: int) -> None:
        """Decode until sample number `last`, or to the end."""
        parts = [self._kept]
        have = self._first + len(self._kept)
        while have < last and self._chunks is not None:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._chunks = None
                break
            parts.append(chunk)
            have += len(chunk)
        self._kept = np.concatenate(parts)

    def _forget(self, before: int) -> None:
        gone = min(max(before - self._first, 0), len(self._kept))
        self._kept, self._first = self._kept[gone:].copy(), self._first + gone

    def _decoded(self) -> Generator[np.ndarray]:
        """Yield the samples int16[n] in order; what is missing before the first one is silence. Damage ends them."""
        import soxr

        as_float, stream, resampler = self._av.AudioResampler(format="fltp"), self._container.streams.audio[0], None
        try:
            for frame in self._container.decode(stream):
                for part in as_float.resample(frame):
                    if resampler is None:
                        resampler = soxr.ResampleStream(part.sample_rate, RATE, 1, dtype="float32")
                        yield np.zeros(max(round(_seconds(frame) * RATE), 0), np.int16)
                    yield to_int16(resampler.resample_chunk(part.to_ndarray().mean(0)))
        except (self._av.FFmpegError, OSError):
            pass
        if resampler is not None:
            yield to_int16(resampler.resample_chunk(np.zeros(0, np.float32), last=True))


def _seconds(frame: Any) -> float:
    return 0.0 if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
