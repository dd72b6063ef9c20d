"""Recordings made of tones, in the layouts of data sets of speech."""

import wave
from pathlib import Path

import numpy as np

RATE = 16_000


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE, loudness: float = 0.3) -> np.ndarray:
    """float64[n] in -1..1."""
    return loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_wav(path: Path, *channels: np.ndarray, rate: int = RATE) -> Path:
    """Write 16-bit PCM by the standard library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.stack(channels, 1) * 32767).astype("<i2").tobytes())
    return path


def write_ravdess(folder: Path, actors: int = 4, repetitions: int = 1, units: bool = True) -> Path:
    """A tone for each of eight emotions by each actor, a little higher from actor to actor, and action units."""
    names = []
    for actor in range(1, actors + 1):
        for emotion in range(1, 9):
            for repetition in range(1, repetitions + 1):
                name = f"01-{emotion:02d}-01-01-{repetition:02d}-{actor:02d}"
                names.append(f"01-{name}")
                pitch = 200 * emotion + 10 * actor + repetition
                write_wav(folder / f"Actor_{actor:02d}" / f"03-{name}.wav", tone(pitch))
    if units:
        rng = np.random.default_rng(0)
        emotions = np.array([int(name.split("-")[2]) for name in names])
        values = np.eye(35)[emotions] + rng.normal(0, 0.1, (len(names), 35))
        np.savez(
            folder / "openface.npz",
            names=np.array(names),
            action_units=values.astype(np.float32),
            action_unit_names=np.array([f"AU{i:02d}" for i in range(35)]),
        )
    return folder
