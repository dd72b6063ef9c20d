"""How an expression comes and goes: the course of every action unit over the frames of a clip.

Shapes: T frames, U action units; sides are 0 = image left, 1 = image right. A movement starts from the person's face at
rest, rises to the apex faster than it falls (Ekman and Friesen 1978 name the phases onset, apex and offset), and may
be cut off by the end of the clip.
"""

from typing import NamedTuple

import numpy as np

from expressnet_jax.data.synthetic.anatomy import AU_NAMES
from expressnet_jax.data.synthetic.expression import draw_parts

NEVER = -1  # the number of a frame that a clip does not have
_HELD = 0.2  # how often an expression stays until the end of the clip
_BLINKS = 0.6  # in a clip, on average
_AU43 = AU_NAMES.index("AU43")


class Phases(NamedTuple):
    """When one movement begins, is complete, begins to fall and is over, in frames: at `start` and `end` all is still.

    `decay` and `end` may lie behind the clip's last frame.
    """

    start: int
    apex: int
    decay: int
    end: int

    def course(self, frames: int) -> np.ndarray:
        """Return how far the movement has come in each frame, float[T] in 0..1."""
        time = np.arange(frames)
        return _ease(time, self.start, self.apex) * (1 - _ease(time, self.decay, self.end))


class Movement(NamedTuple):
    """What the muscles do in each frame.

    Attributes:
      activation: float32[T,2,U] in 0..1, the face at rest, the expression and the distractors together.
      intensity: float32[T], of the expression.
      onset, apex, offset: the first frame with movement, the first with all of it, the last with some of it; NEVER in a
        neutral clip, and for an offset that lies behind the last frame.
    """

    activation: np.ndarray
    intensity: np.ndarray
    onset: int
    apex: int
    offset: int


def draw_movement(
    rng: np.random.Generator, emotion: int, resting: np.ndarray, frames: int, intensity: tuple[float, float]
) -> Movement:
    """Draw the course of an emotion, from a face at rest float[2,U] to its peak and back.

    Speech, habits and blinks have courses of their own and are in neutral clips too: that something moves tells
    nothing. In clips of weak expressions the habits are as much weaker; a blink always closes the eyes.
    """
    parts = draw_parts(rng, emotion, intensity)
    phases, others = _draw_phases(rng, frames), _draw_phases(rng, frames)
    course = phases.course(frames)
    activation = np.clip(resting + course[:, None, None] * parts.activation(parts.emotional), 0, 1)
    habits = others.course(frames)[:, None, None] * parts.activation(parts.habitual) * intensity[1]
    activation = np.maximum(activation, habits)
    activation[..., _AU43] = np.maximum(activation[..., _AU43], _draw_blinks(rng, frames)[:, None])
    strength = (parts.intensity * course).astype(np.float32)
    if not parts.intensity:
        return Movement(activation.astype(np.float32), strength, NEVER, NEVER, NEVER)
    offset = phases.end - 1 if phases.end < frames else NEVER
    return Movement(activation.astype(np.float32), strength, phases.start + 1, phases.apex, offset)


def _draw_phases(rng: np.random.Generator, frames: int) -> Phases:
    """The first frame is always at rest and the apex always within the clip."""
    last = frames - 1
    waits, rises, holds, falls = np.rint(last * rng.uniform((0, 0.15, 0, 0.2), (0.25, 0.4, 0.2, 0.5))).astype(int)
    start = min(int(waits), last - 1)
    apex = min(start + max(1, int(rises)), last)
    decay = apex + int(holds) if rng.random() >= _HELD else frames
    return Phases(start, apex, decay, decay + max(1, int(falls)))


def _ease(time: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return 0 until `start`, 1 from `end` on, and between them the path of least jerk (Flash and Hogan 1985)."""
    t = np.clip((time - start) / (end - start), 0, 1)
    return t**3 * (10 - 15 * t + 6 * t**2)


def _draw_blinks(rng: np.random.Generator, frames: int) -> np.ndarray:
    """float[T]: how far the lids are closed. Never in the first frame, which shows the face at rest."""
    closed = np.zeros(frames)
    width = max(1.0, frames / 12)
    for _ in range(rng.poisson(_BLINKS)):
        centre = rng.uniform(width, frames)
        closed = np.maximum(closed, 1 - np.abs(np.arange(frames) - centre) / width)
    return closed
