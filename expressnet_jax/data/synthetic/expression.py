"""Which muscles move in an emotion: prototypes of action units and the way that real faces depart from them.

The prototypes are EMFACS' (Friesen and Ekman 1983; Matsumoto and Ekman 2008, table 1), with the variants that are
common in photographs. U action units; sides are 0 = image left, 1 = image right.
"""

from bisect import bisect
from typing import NamedTuple

import numpy as np

from expressnet_jax.data.labels import WITH_CONTEMPT
from expressnet_jax.data.synthetic.anatomy import AU_NAMES

# emotion -> variants: (share, action unit -> strength of a full-blown expression)
_PROTOTYPES: dict[str, list[tuple[float, dict[int, float]]]] = {
    "anger": [
        (0.30, {4: 1.0, 5: 0.5, 7: 0.5, 23: 0.8}),
        (0.30, {4: 1.0, 5: 0.5, 7: 0.5, 24: 0.9, 17: 0.3}),
        (0.20, {4: 1.0, 5: 0.6, 7: 0.4, 23: 0.5, 25: 0.8, 16: 0.6, 10: 0.25}),
        (0.20, {4: 1.0, 5: 0.6, 7: 0.4, 25: 0.6, 26: 0.8, 16: 0.5}),
    ],
    "disgust": [
        (0.30, {9: 1.0, 7: 0.4, 15: 0.5, 16: 0.6, 25: 0.5}),
        (0.30, {9: 1.0, 10: 0.8, 7: 0.4, 17: 0.6}),
        (0.25, {10: 1.0, 9: 0.6, 7: 0.5, 17: 0.7, 15: 0.4}),
        (0.15, {9: 1.0, 10: 0.8, 6: 0.3, 7: 0.5, 25: 0.7, 26: 0.5}),
    ],
    "fear": [
        (0.40, {1: 1.0, 2: 0.6, 4: 0.4, 5: 1.0, 20: 1.0, 25: 0.6, 26: 0.4, 7: 0.2}),
        (0.30, {1: 1.0, 2: 0.6, 4: 0.4, 5: 1.0, 20: 1.0, 25: 0.7}),
        (0.20, {1: 1.0, 2: 0.5, 4: 0.5, 5: 1.0, 20: 1.0, 25: 0.6, 27: 0.5}),
        (0.10, {1: 1.0, 2: 0.6, 4: 0.5, 5: 1.0, 20: 0.8}),
    ],
    "happiness": [
        (0.35, {6: 0.8, 12: 0.95, 25: 0.8}),
        (0.25, {6: 0.7, 12: 0.9}),
        (0.25, {6: 0.9, 12: 1.0, 25: 0.8, 26: 0.7, 7: 0.3}),
        (0.15, {12: 0.8, 25: 0.5, 6: 0.25}),
    ],
    "sadness": [
        (0.35, {1: 1.0, 4: 0.4, 15: 0.9, 17: 0.6, 43: 0.15}),
        (0.30, {1: 1.0, 4: 0.45, 15: 0.9, 43: 0.3}),
        (0.20, {1: 0.9, 15: 1.0, 17: 0.8, 43: 0.25, 6: 0.2}),
        (0.15, {1: 1.0, 4: 0.5, 6: 0.4, 15: 0.9, 20: 0.3, 25: 0.4}),
    ],
    "surprise": [
        (0.45, {1: 0.9, 2: 1.0, 5: 0.7, 25: 0.5, 26: 1.0}),
        (0.35, {1: 1.0, 2: 1.0, 5: 0.8, 25: 0.5, 27: 0.9}),
        (0.20, {1: 0.9, 2: 1.0, 5: 0.6, 25: 0.7, 26: 0.7, 18: 0.6}),
    ],
    "neutral": [(1.0, {})],
    "contempt": [(0.5, {12: 0.55, 14: 0.8}), (0.3, {14: 1.0, 17: 0.2}), (0.2, {12: 0.6, 14: 0.7, 10: 0.4, 7: 0.2})],
}
# What no variant goes without; never dropped, so that a label always has its cause in the face.
CORE = {
    "anger": (4,),
    "disgust": (9, 10),
    "fear": (1, 4, 5),
    "happiness": (12,),
    "sadness": (1, 15),
    "surprise": (1, 2, 5, 26, 27),
    "neutral": (),
    "contempt": (12, 14),
}
# Speech, blinks and habits: action unit -> (how often, how strong at most) on any face.
BYSTANDERS = {1: (0.04, 0.25), 2: (0.06, 0.3), 4: (0.05, 0.25), 5: (0.04, 0.25), 7: (0.06, 0.3), 12: (0.03, 0.2)}
BYSTANDERS |= {14: (0.03, 0.3), 15: (0.03, 0.2), 17: (0.04, 0.3), 18: (0.04, 0.5), 23: (0.04, 0.4)}
BYSTANDERS |= {24: (0.04, 0.4), 25: (0.10, 0.6), 26: (0.05, 0.4), 43: (0.05, 0.7)}

_MOST_AT_REST = 0.4  # how intense an expression the face of a person at rest resembles at most

_COLUMN = {int(name[2:]): i for i, name in enumerate(AU_NAMES)}


def _tables() -> list[tuple[list[float], np.ndarray]]:
    tables = []
    for emotion in WITH_CONTEMPT:
        variants = _PROTOTYPES[emotion]
        strengths = np.zeros((len(variants), len(AU_NAMES)))
        for row, (_, units) in zip(strengths, variants, strict=True):
            for unit, strength in units.items():
                row[_COLUMN[unit]] = strength
        tables.append((np.cumsum([share for share, _ in variants])[:-1].tolist(), strengths))
    return tables


_VARIANTS = _tables()
_IS_CORE = np.array([[int(name[2:]) in CORE[emotion] for name in AU_NAMES] for emotion in WITH_CONTEMPT])
_OFTEN, _STRONG = np.array([BYSTANDERS.get(int(name[2:]), (0.0, 0.0)) for name in AU_NAMES]).T


class Expression(NamedTuple):
    """What the muscles do in a face.

    Attributes:
      emotional, habitual: float[U], what the emotion moves, and what speech, blinks and habits do.
      sides: float[2,U], how strongly each side takes part.
      intensity: of the emotion, 0 (neutral) to 1.
    """

    emotional: np.ndarray
    habitual: np.ndarray
    sides: np.ndarray
    intensity: float

    def activation(self, strength: np.ndarray) -> np.ndarray:
        """Return the strength float[U] of each unit on both sides, float[2,U] in 0..1."""
        return np.clip(strength * self.sides, 0, 1)


def draw_parts(rng: np.random.Generator, emotion: int, intensity: tuple[float, float]) -> Expression:
    """Draw an expression of an emotion (its index in WITH_CONTEMPT), apart from what else moves in the face.

    A variant of the prototype is scaled by one intensity from the given range; each unit then scatters by itself, may
    be missing unless it is a core one, and differs a little between the sides. Contempt is on one side only.
    """
    shares, strengths = _VARIANTS[emotion]
    units = len(AU_NAMES)
    low, high = intensity
    drawn = low + (high - low) * rng.beta(2.2, 1.4)
    variant = strengths[bisect(shares, rng.random())]
    scatter = np.clip(1 + 0.22 * rng.standard_normal(units), 0.5, 1.5)
    uniform = rng.random((3, units))
    kept = _IS_CORE[emotion] | (uniform[0] > 0.1)
    emotional = variant * scatter * kept * drawn
    habitual = (uniform[1] < _OFTEN) * uniform[2] * _STRONG
    sides = 1 + 0.1 * rng.standard_normal((2, units))
    if WITH_CONTEMPT[emotion] == "contempt":
        lazy = int(rng.integers(2))
        sides[lazy, [_COLUMN[10], _COLUMN[12], _COLUMN[14]]] = 0.08
    return Expression(emotional, habitual, np.clip(sides, 0, 1.25), float(drawn * bool(variant.any())))


def draw_expression(
    rng: np.random.Generator, emotion: int, intensity: tuple[float, float] = (0.4, 1.0)
) -> tuple[np.ndarray, float]:
    """Return the active muscles for an emotion, activation float[2,U] in 0..1, and the intensity (see `draw_parts`)."""
    parts = draw_parts(rng, emotion, intensity)
    return parts.activation(np.maximum(parts.emotional, parts.habitual)), parts.intensity


def draw_resting(rng: np.random.Generator) -> np.ndarray:
    """Draw the tone of a person's muscles at rest, float[2,U]: every face resembles some expression a little.

    Raters and classifiers see emotion in faces at rest, by their shape (Said, Sebe and Todorov 2009, "Structural
    resemblance to emotional expressions predicts evaluation of emotionally neutral faces"). A slight frown may be
    somebody's anger or how somebody else always looks; only how the face changes tells which. The jaw stays
    shut and the eyes open.
    """
    resembled = int(rng.choice([i for i, name in enumerate(WITH_CONTEMPT) if _PROTOTYPES[name][0][1]]))
    strength = rng.uniform(0, _MOST_AT_REST)
    parts = draw_parts(rng, resembled, (strength, strength))
    resting = parts.activation(parts.emotional)
    resting[:, [_COLUMN[26], _COLUMN[27], _COLUMN[43]]] = 0
    return resting
