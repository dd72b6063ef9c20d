"""Who is in the image: everything about a face that stays when its expression, pose and light change."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from expressnet_jax.data.synthetic.anatomy import LINE_NAMES
from expressnet_jax.data.synthetic.canvas import Colour, luma
from expressnet_jax.data.synthetic.geometry import HAIR_SAMPLES, neutral
from expressnet_jax.data.synthetic.hair import BEARDS, HAIR, dress
from expressnet_jax.data.synthetic.traits import TRAIT_NAMES

# Colours in R, G, B from light to dark; people lie anywhere between two neighbours.
SKIN = np.array(
    [(246, 216, 198), (238, 200, 174), (224, 178, 144), (202, 150, 112), (164, 112, 78), (126, 84, 60), (94, 62, 47)],
    np.float32,
)
_HAIR_COLOURS = np.array(
    [(24, 20, 20), (46, 32, 26), (78, 52, 36), (122, 80, 48), (176, 132, 78), (214, 180, 120), (140, 60, 30)],
    np.float32,
)
_GRAY_HAIR = np.array((186, 184, 184), np.float32)
_IRISES = np.array(
    [(62, 38, 24), (84, 54, 30), (110, 84, 46), (92, 112, 76), (84, 120, 150), (110, 124, 134)],
    np.float32,
)


@dataclass(frozen=True)
class Person:
    """One identity.

    Attributes:
      resting: float32[P,3], the face at rest, hair included.
      skin, lips, hair, iris, cloth: float32[3] in R, G, B, or one gray value.
      age: 0..1; it deepens the lines.
      lined: float32[lines], how readily each line of the skin shows.
      brow_weight, lashes, neck: thickness of brows and upper lashes, half breadth of the neck.
      shine: how much the skin reflects.
      pen: how thick the lines are of a drawing of this person.
      hair_style, beard: keys of HAIR and BEARDS ("none" for a shaven face).
      fringe: complex64[S], how uneven the hairline is.
      strand_roots, strand_bends: int[n], float32[n]; where single strands of hair start and how they bend.
      curls: height, frequency and phase of the curls along the outline of the hair.
    """

    resting: np.ndarray
    skin: Colour
    lips: Colour
    hair: Colour
    iris: Colour
    cloth: Colour
    age: float
    lined: np.ndarray
    brow_weight: float
    lashes: float
    neck: float
    shine: float
    pen: float
    hair_style: str
    beard: str
    fringe: np.ndarray
    strand_roots: np.ndarray
    strand_bends: np.ndarray
    curls: tuple[float, float, float]

    def in_gray(self) -> "Person":
        """Return the same person with every colour as one number, its brightness: mixing those is far cheaper."""
        gray: dict[str, Any] = {name: luma(getattr(self, name)) for name in ("skin", "lips", "hair", "iris", "cloth")}
        return replace(self, **gray)

    def curl(self, path: np.ndarray) -> np.ndarray:
        """Return the outline of the hair with its curls, path complex64[S]."""
        height, frequency, phase = self.curls
        if not height:
            return path
        along = np.gradient(path)
        wave = height * np.abs(np.sin(frequency * np.arange(len(path)) + phase))
        return path - 1j * along / (np.abs(along) + 1e-6) * wave


def _between(table: np.ndarray, position: float) -> np.ndarray:
    """Return a colour on the way through a table, position in 0..1."""
    t = position * (len(table) - 1)
    i = min(int(t), len(table) - 2)
    return table[i] + (t - i) * (table[i + 1] - table[i])


# What goes with a masculine (+) or feminine (-) face, in standard deviations of a trait.
DIMORPHISM = {"jaw_width": 0.6, "jaw_square": 0.7, "brow_height": -0.7, "lip_upper": -0.5, "lip_lower": -0.5}
DIMORPHISM |= {"eye_size": -0.5, "nose_width": 0.4, "chin_length": 0.4}


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a person whose traits scatter as people's do: mostly near the mean; skin, hair and age over their whole
    range."""
    feminine, tone, age = rng.random(), rng.random(), rng.beta(1.3, 1.8)
    resting = neutral(_draw_traits(rng, feminine))
    styles = [name for name, style in HAIR.items() if style.low <= feminine <= style.high]
    hair_style = styles[int(rng.integers(len(styles)))]
    bearded = feminine < 0.45 and rng.random() < 0.5
    beard = list(BEARDS)[int(rng.integers(len(BEARDS)))] if bearded else "none"
    dress(resting, HAIR[hair_style], rng)
    skin = _between(SKIN, tone) * rng.uniform(0.96, 1.04, 3)
    red = rng.uniform(0.5, 0.72) if feminine > 0.5 else rng.uniform(0.6, 0.76)
    return Person(
        resting=resting.astype(np.float32),
        skin=np.clip(skin, 30, 250).astype(np.float32),
        lips=np.clip(skin * (0.87, red, red * 1.02), 20, 240).astype(np.float32),
        hair=_draw_hair_colour(rng, tone, age),
        iris=_IRISES[int(rng.integers(2 if tone > 0.55 else len(_IRISES)))],
        cloth=np.clip(rng.uniform(40, 210) + rng.uniform(-35, 35, 3), 15, 240).astype(np.float32),
        age=float(age),
        lined=rng.uniform(0.45, 1.15, len(LINE_NAMES)).astype(np.float32),
        brow_weight=float(rng.uniform(0.75, 1.25) * (1.12 - 0.35 * feminine)),
        lashes=float(0.8 + 0.6 * feminine),
        neck=float(0.68 - 0.12 * feminine + rng.normal(0, 0.02)),
        shine=float(rng.uniform(0.04, 0.25)),
        pen=float(rng.uniform(0.035, 0.075)),
        hair_style=hair_style,
        beard=beard,
        fringe=rng.normal(0, 0.008, 2 * HAIR_SAMPLES).astype(np.float32).view(np.complex64),
        strand_roots=np.sort(rng.integers(8, HAIR_SAMPLES - 8, 22)),
        strand_bends=rng.normal(0, 0.1, 22).astype(np.float32),
        curls=(HAIR[hair_style].curl, float(rng.uniform(0.4, 0.6)), float(rng.uniform(0, 3))),
    )


def _draw_traits(rng: np.random.Generator, feminine: float) -> np.ndarray:
    traits = rng.standard_normal(len(TRAIT_NAMES))
    for name, weight in DIMORPHISM.items():
        traits[TRAIT_NAMES.index(name)] += weight * (1 - 2 * feminine)
    return np.clip(traits, -1.9, 1.9)


def _draw_hair_colour(rng: np.random.Generator, tone: float, age: float) -> np.ndarray:
    dark = 3 if tone > 0.5 else len(_HAIR_COLOURS)
    colour = _HAIR_COLOURS[int(rng.integers(dark))] * rng.uniform(0.85, 1.15)
    gray = min(1.0, max(0.0, age - 0.55) * 2.6 * rng.random())
    return np.clip(colour + gray * (_GRAY_HAIR - colour), 12, 235).astype(np.float32)
