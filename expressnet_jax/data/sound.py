"""Sound files -> 16-bit samples of one channel and one rate, and these -> the fixed length that a network takes.

Shapes: n samples of a recording, S samples that a network takes.
"""

import io
from pathlib import Path

import numpy as np

from expressnet_jax.errors import UserError, one_line

RATE = 16_000  # samples per second of everything that is stored
FULL_SCALE = 32_768  # the 16-bit value of 1.0
_QUIET_DB = 35.0  # a stretch so far below the loudest one is no voice
_STRETCH = RATE // 40  # samples, 25 ms
INSTALL = "pip install 'expressnet-jax[audio]'"


def read_sound(sound: bytes | Path) -> np.ndarray:
    """Decode WAV, FLAC, Ogg, MP3 or AIFF to int16[n] at RATE samples per second, the mean of all channels.

    Raises:
      UserError: the packages of the extra `audio` are missing, or this is no sound that can be decoded.
    """
    try:
        import soundfile
    except ImportError as error:
        raise UserError(f"sound needs {error.name}; {INSTALL}") from error
    file = io.BytesIO(sound) if isinstance(sound, bytes) else str(sound)
    try:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"no sound that can be decoded ({one_line(error)})") from error
    return to_int16(resample(samples.mean(1), rate))


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return float[n] of `rate` samples per second as float[m] of RATE.

    Raises:
      UserError: the rate is another one, and the package for it is missing.
    """
    try:
        import soxr
    except ImportError as error:
        raise UserError(f"sound needs {error.name}; {INSTALL}") from error
    return samples if rate == RATE else soxr.resample(samples, rate, RATE)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Round float[n] in -1..1 to int16[n]; louder samples are clipped."""
    return np.clip(np.round(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def validate_and_encode_sound(sound: bytes | Path | np.ndarray) -> tuple[bytes, np.ndarray]:
    """Return the bytes to store, little-endian 16-bit PCM, and the samples int16[n].

    `sound` is a file, its bytes, or PCM of RATE as int16[n].

    Raises:
      UserError: it can't be decoded, or there is nothing to hear in it.
    """
    samples = sound if isinstance(sound, np.ndarray) else read_sound(sound)
    if not samples.size or not samples.any():
        raise UserError("the sound is empty" if not samples.size else "the sound is silent throughout")
    return samples.astype("<i2").tobytes(), samples


def decode_sound(encoded: bytes, length: int) -> np.ndarray:
    """Return stored PCM as int16[length], see `fit_length`; zeros where nothing is stored."""
    return fit_length(np.frombuffer(encoded, "<i2"), length)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or pad the voiced part of int16[n] to int16[length], its middle in the middle; padding is silence."""
    first, last = voiced_range(samples)
    if (surplus := last - first - length) > 0:
        first += surplus // 2
        last = first + length
    fitted = np.zeros(length, np.int16)
    start = (length - (last - first)) // 2
    fitted[start : start + last - first] = samples[first:last]
    return fitted


def voiced_range(samples: np.ndarray) -> tuple[int, int]:
    """Return the first sample of the voiced part and the one behind its last.

    That is from the first to the last stretch of 25 ms whose power is within _QUIET_DB of the loudest stretch's.
    """
    count = len(samples) // _STRETCH
    if count < 2:
        return 0, len(samples)
    power = np.square(samples[: count * _STRETCH].astype(np.float64)).reshape(count, _STRETCH).mean(1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-_QUIET_DB / 10))
    return int(loud[0]) * _STRETCH, int(loud[-1] + 1) * _STRETCH
