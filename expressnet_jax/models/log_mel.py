"""The log-mel spectrogram as part of a network, on whatever device it runs, and of its ONNX file.

Shapes: B batch, S samples, T frames, W samples of a frame, F = W / 2 + 1 frequencies, M mel bands.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_FLOOR = 1e-10  # of the power, as librosa.power_to_db has it: -100 dB


class LogMel(nn.Module):
    """Return the log-mel power spectrogram in decibels: float[B,S] in -1..1 -> float32[B,T,M], T = 1 + S // hop.

    Periodic Hann windows of W samples, an even number, centered on every `hop`-th sample, silence beyond both ends; the
    power of their discrete Fourier transforms, summed by triangles on Slaney's mel scale, each of unit area; 10 log10
    of that. The defaults are 25 ms, 20 ms and 64 bands at 16 kHz. Frames are gathered and transforms are matrix
    products, because those have a form in ONNX; there is nothing to learn in it.
    """

    rate: int = 16_000
    window: int = 400
    hop: int = 320
    bands: int = 64

    def __call__(self, samples: Array) -> Array:
        half = self.window // 2
        padded = jnp.pad(samples.astype(jnp.float32), ((0, 0), (half, half)))
        starts = self.hop * np.arange(1 + samples.shape[1] // self.hop)[:, None]
        left = jnp.take(padded, starts + np.arange(1, half + 1), axis=1)
        right = jnp.take(padded, starts + self.window - np.arange(1, half + 1), axis=1)
        # "highest": accelerators would take shorter numbers, and a decibel of a quiet band is a small difference.
        product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
        cosines, sines = _fourier_halves(self.window)
        real, imaginary = product(left + right, cosines), product(left - right, sines)
        power = real * real + imaginary * imaginary
        mel = product(power, mel_filters(self.rate, self.window, self.bands))
        return 10 / np.log(10) * jnp.log(jnp.maximum(mel, _FLOOR))


def _fourier_halves(window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the windowed cosines and sines of a discrete Fourier transform, float32[W/2,F] each, for the samples 1 to
    W/2 of a frame.

    Sample n and its counterpart W - n have the same window and cosine and opposite sines, so that their sum and their
    difference need half of the products; sample 0 has the window 0, and sample W/2, its own counterpart, half a weight.
    """
    time = np.arange(1, window // 2 + 1)
    weight = 0.5 - 0.5 * np.cos(2 * np.pi * time / window)
    weight[-1] /= 2
    angles = 2 * np.pi * np.outer(time, np.arange(window // 2 + 1)) / window
    weight = weight[:, None]
    return (weight * np.cos(angles)).astype(np.float32), (weight * np.sin(angles)).astype(np.float32)


def mel_filters(rate: int, window: int, bands: int) -> np.ndarray:
    """Return float32[F,M], the triangles of Slaney 1998 (Auditory Toolbox), each of unit area in hertz."""
    edges = _mel_to_hertz(np.linspace(0, _hertz_to_mel(rate / 2), bands + 2))
    frequencies = np.linspace(0, rate / 2, window // 2 + 1)[:, None]
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - low) / (center - low), (high - frequencies) / (high - center)
    return (np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)).astype(np.float32)


KNEE, HERTZ_PER_MEL, MEL_STEP = 1000.0, 200 / 3, np.log(6.4) / 27  # linear below the knee, logarithmic above


def _hertz_to_mel(hertz: float) -> float:
    """Return the place of a frequency on Slaney's mel scale."""
    if hertz < KNEE:
        return hertz / HERTZ_PER_MEL
    return float(KNEE / HERTZ_PER_MEL + np.log(hertz / KNEE) / MEL_STEP)


def _mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """Return the frequencies at places on Slaney's mel scale."""
    knee = KNEE / HERTZ_PER_MEL
    return np.where(mel < knee, mel * HERTZ_PER_MEL, KNEE * np.exp(MEL_STEP * (mel - knee)))
