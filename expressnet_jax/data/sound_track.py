"""The sound track of a video, decoded by FFmpeg's libraries through PyAV. n samples of the track."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.sound import resample, to_int16
from expressnet_jax.errors import UserError

INSTALL = "pip install 'expressnet-jax[video-sound]'"


def read_sound_track(video: bytes | Path) -> np.ndarray:
    """Decode the first sound track of a video to int16[n] at RATE samples per second, the mean of all channels.

    Raises:
      UserError: the packages of the extra `video-sound` are missing, or the video has no sound that can be decoded.
    """
    samples = find_sound_track(video)
    if samples is None:
        raise UserError("the video has no sound track")
    return samples


def find_sound_track(video: bytes | Path) -> np.ndarray | None:
    """Return what `read_sound_track` does, or None of a video that has no sound track."""
    av = import_av()
    try:
        with av.open(io.BytesIO(video) if isinstance(video, bytes) else str(video)) as container:
            if not container.streams.audio:
                return None
            samples, rate = _decode(av, container)
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"no sound that can be decoded ({error.strerror})") from error
    return to_int16(resample(samples, rate))


def import_av() -> Any:
    """Return the module of PyAV.

    Raises:
      UserError: a package of the extra `video-sound` is missing.
    """
    try:
        import av
        import soxr  # noqa: F401
    except ImportError as error:
        raise UserError(f"the sound of a video needs {error.name}; {INSTALL}") from error
    return av


def _decode(av: Any, container: Any) -> tuple[np.ndarray, int]:
    """Return the mean of all channels float32[n], and the samples per second."""
    stream = container.streams.audio[0]
    as_float = av.AudioResampler(format="fltp")  # in the track's own rate and channels
    frames = [part for frame in container.decode(stream) for part in as_float.resample(frame)]
    frames += as_float.resample(None)
    if not frames:
        raise UserError("the video's sound track is empty")
    return np.concatenate([frame.to_ndarray().mean(0) for frame in frames]), frames[0].sample_rate
