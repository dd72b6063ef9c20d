"""Augmentation of sound on the device, inside the jitted step. Shapes: B batch, S samples.

An option at 0 is left out of the trace. What hides stretches of the spectrogram is an option of the network
(`time_mask`, `band_mask` of models/audio.py), because the spectrogram is made there.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.data.sound import FULL_SCALE


def to_unit(sound: Array) -> Array:
    """Return 16-bit samples as float32 in -1..1."""
    return sound.astype(jnp.float32) / FULL_SCALE


def gain(key: Array, sound: Array, strength: float) -> Array:
    """Make each recording up to `strength` decibels louder or softer."""
    decibels = jax.random.uniform(key, (len(sound), 1), minval=-strength, maxval=strength)
    return sound * 10 ** (decibels / 20)


def noise(key: Array, sound: Array, strength: float) -> Array:
    """Add white noise of a standard deviation from 0 to `strength`, drawn for each recording; to silence, which is
    sound that is missing, none."""
    key_level, key_noise = jax.random.split(key)
    level = jax.random.uniform(key_level, (len(sound), 1), maxval=strength)
    heard = (sound != 0).any(axis=1, keepdims=True)
    return sound + jnp.where(heard, level, 0) * jax.random.normal(key_noise, sound.shape)


def time_shift(key: Array, sound: Array, strength: float) -> Array:
    """Move each recording by up to the share `strength` of its length; silence moves in."""
    length = sound.shape[1]
    most = round(strength * length)
    padded = jnp.pad(sound, ((0, 0), (most, most)))
    starts = jax.random.randint(key, (len(sound),), 0, 2 * most + 1)
    return jax.vmap(lambda row, start: jax.lax.dynamic_slice(row, (start,), (length,)))(padded, starts)


def speed(key: Array, sound: Array, strength: float) -> Array:
    """Play each recording faster or slower by up to the share `strength`, its middle in its place, so that pitch,
    formants and tempo change together (Ko et al. 2015, Audio augmentation for speech recognition, section 2).

    Samples between samples are interpolated linearly; where a faster recording has ended there is silence.
    """
    length = sound.shape[1]
    rate = jax.random.uniform(key, (len(sound), 1), minval=1 - strength, maxval=1 + strength)
    middle = (length - 1) / 2
    place = middle + rate * (jnp.arange(length) - middle)
    before = jnp.floor(place)
    share, first = place - before, before.astype(jnp.int32)
    return (1 - share) * _samples_at(sound, first) + share * _samples_at(sound, first + 1)


def _samples_at(sound: Array, places: Array) -> Array:
    """Return float[B,S] of the samples at int32[B,S], 0 beyond the ends."""
    inside = (places >= 0) & (places < sound.shape[1])
    return jnp.where(inside, jnp.take_along_axis(sound, jnp.where(inside, places, 0), axis=1), 0)


SOUND_AUGMENTATIONS: dict[str, Callable[[Array, Array, float], Array]] = {
    "time_shift": time_shift,
    "gain": gain,
    "noise": noise,
    "speed": speed,
}


def augment_sound(key: Array, sound: Array, options: Mapping[str, Any]) -> Array:
    """Apply the options of SOUND_AUGMENTATIONS that are not 0: int16 or float32[B,S] -> float32[B,S] in -1..1.

    Each has a stream of random numbers by its place, so that switching one on leaves the draws of the others alone.
    """
    sound = to_unit(sound) if sound.dtype == jnp.int16 else sound.astype(jnp.float32)
    for i, (name, change) in enumerate(SOUND_AUGMENTATIONS.items()):
        if options.get(name):
            sound = change(jax.random.fold_in(key, i), sound, options[name])
    return sound
