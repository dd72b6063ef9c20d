"""Networks of sound: a convolutional network on the log-mel spectrogram, with a pool or an LSTM over time.

Shapes: B batch, S samples, T frames, M mel bands, C channels, D features, N hidden units.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, check_choice, max_pool
from expressnet_jax.models.log_mel import LogMel
from expressnet_jax.models.temporal import AttentionPool, recurrent_states

POOLS = ("mean", "attention", "statistics", "lstm")

_EPSILON = 1e-4  # added to a variance


class AudioCNN(nn.Module):
    """Encode sound: float[B,S] in -1..1 at 16 kHz -> features float32[B,D]; any S of a quarter of a second or more.

    Log-mel spectrogram; batch normalisation of each band; in training, SpecAugment; four 3x3 convolutions, of which the
    first strides and the others follow a 2x2 maximum; the mean over bands; then `pool` over time: "mean", "attention"
    (learned weights, temporal.AttentionPool), "statistics" (StatisticsPool, twice as many features) or "lstm" (an LSTM
    of N units, its states joined by attention; after Zhao et al. 2019, Speech emotion recognition using deep 1D & 2D
    CNN LSTM networks, section 3.3).

    Attributes:
      widths: C of the convolutions.
      time_mask, band_mask: the longest share of the frames and of the bands that SpecAugment hides, 0 for none; two
        masks of each (Park et al. 2019, section 2, without its time warping). Drawn with the stream "dropout".
    """

    widths: Sequence[int] = (16, 32, 64, 128)
    pool: str = "attention"
    hidden: int = 64
    time_mask: float = 0.0
    band_mask: float = 0.0
    dtype: DTypeLike = jnp.float32

    input_kind = "waveform"

    @nn.compact
    def __call__(self, sound: Array, train: bool = False) -> Array:
        check_choice("pool", self.pool, POOLS)
        layers = Layers(train, self.dtype)
        x = layers.norm(name="norm_bands")(LogMel()(sound))
        if train and (self.time_mask or self.band_mask):
            x = hide_stretches(self.make_rng("dropout"), x, (self.time_mask, self.band_mask))
        x = x[..., None].astype(self.dtype)
        for i, width in enumerate(self.widths, start=1):
            stride = 2 if i == 1 else 1
            x = x if i == 1 else max_pool(x)
            x = layers.conv(width, (3, 3), strides=stride, name=f"conv_{i}")(x)
            x = nn.relu(layers.norm(name=f"norm_{i}")(x))
        x = x.mean(2).astype(jnp.float32)
        if self.pool == "mean":
            return x.mean(1)
        if self.pool == "statistics":
            return StatisticsPool(name="pool")(x)
        if self.pool == "lstm":
            cell = nn.OptimizedLSTMCell(self.hidden, dtype=self.dtype, name="cell")
            x = jnp.stack(recurrent_states(cell, x), axis=1)
        return AttentionPool(name="pool")(x).astype(jnp.float32)


class StatisticsPool(nn.Module):
    """Return the mean over time and the standard deviation of each channel, one behind the other: float[B,T,D] ->
    float32[B,2D] (Snyder et al. 2018, X-vectors, section 2.1)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        mean = x.mean(1, keepdims=True)
        variance = jnp.square(x - mean).mean(1)
        # The root of zero has no finite gradient.
        return jnp.concatenate([mean[:, 0], jnp.sqrt(variance + _EPSILON)], axis=-1).astype(jnp.float32)


def hide_stretches(key: Array, x: Array, shares: tuple[float, float], masks: int = 2) -> Array:
    """Set random stretches of frames and of bands to zero, the mean of normalised bands: float[B,T,M] -> the same.

    Each of the `masks` on an axis of length L hides from 0 to share * L places, drawn for each example (Park et al.
    2019, SpecAugment, section 2).
    """
    kept = jnp.ones(x.shape, bool)
    for number in range(masks):
        for axis, share in enumerate(shares, start=1):
            if share:
                drawn = jax.random.fold_in(key, 2 * number + axis)
                hidden = stretch(drawn, x.shape[0], x.shape[axis], share)
                kept &= ~jnp.expand_dims(hidden, 3 - axis)
    return jnp.where(kept, x, 0)


def stretch(key: Array, batch: int, length: int, share: float) -> Array:
    """Return bool[B,L], True in one random stretch of at most `share` of the places."""
    width, place = jax.random.uniform(key, (2, batch, 1))
    width = jnp.floor(width * (share * length + 1))
    first = jnp.floor(place * (length - width + 1))
    position = jnp.arange(length)
    return (position >= first) & (position < first + width)
