"""Hair and beards: how each style moves the hair points of the template."""

from dataclasses import dataclass

import numpy as np

from expressnet_jax.data.synthetic.geometry import INDEX


@dataclass(frozen=True)
class HairStyle:
    """A haircut, in face units.

    Attributes:
      low, high: on whom it is seen, 0 masculine to 1 feminine.
      volume: how far it stands off the skull at the top and at the side.
      line: how much lower the hairline is, from the middle of the forehead to the temple.
      part: how much higher it is on one side of the forehead than on the other.
      burn: how much lower it ends beside the ear.
      length: how far down it hangs behind the head, 0 for not at all.
      width: how far it hangs out sideways there.
      curl: height of the curls along its outline.
    """

    low: float
    high: float
    volume: tuple[float, float] = (0.06, 0.04)
    line: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    part: float = 0.0
    burn: float = 0.0
    length: float = 0.0
    width: float = 0.0
    curl: float = 0.0
    bald: bool = False


HAIR = {
    "bald": HairStyle(0.0, 0.25, bald=True),
    "buzz": HairStyle(0.0, 0.5, volume=(-0.03, -0.02), line=(0.02, 0.0, -0.02, 0.0, 0.0), burn=0.1),
    "receding": HairStyle(0.0, 0.35, volume=(-0.02, 0.05), line=(-0.12, -0.3, -0.34, -0.16, -0.02), burn=0.12),
    "short": HairStyle(0.0, 0.6, volume=(0.10, 0.02), line=(0.03, 0.02, 0.0, 0.02, 0.02), burn=0.1),
    "side": HairStyle(0.0, 0.8, volume=(0.14, 0.03), line=(0.08, 0.06, 0.05, 0.05, 0.0), part=0.15, burn=0.12),
    "quiff": HairStyle(0.0, 0.45, volume=(0.26, 0.0), line=(-0.04, -0.03, 0.02, 0.04, 0.0), burn=0.08),
    "fringe": HairStyle(0.2, 1.0, volume=(0.1, 0.07), line=(0.36, 0.37, 0.33, 0.18, 0.03), burn=0.25),
    "afro": HairStyle(0.1, 1.0, volume=(0.38, 0.34), line=(0.04, 0.03, 0.03, 0.04, 0.02), burn=0.05, curl=0.05),
    "curly": HairStyle(0.1, 0.9, volume=(0.22, 0.14), line=(0.14, 0.12, 0.1, 0.08, 0.0), burn=0.15, curl=0.08),
    "bob": HairStyle(0.5, 1.0, (0.12, 0.1), (-0.02, 0.05, 0.14, 0.2, 0.06), 0.05, 0.5, length=1.25, width=0.12),
    "bangs": HairStyle(0.5, 1.0, (0.12, 0.1), (0.40, 0.40, 0.36, 0.2, 0.06), 0.0, 0.5, length=1.45, width=0.1),
    "long": HairStyle(0.5, 1.0, (0.1, 0.06), (-0.05, 0.08, 0.18, 0.24, 0.06), 0.1, 0.55, length=2.1, width=0.1),
    "wavy": HairStyle(0.5, 1.0, (0.16, 0.14), (0.06, 0.1, 0.16, 0.2, 0.06), 0.14, 0.5, 2.1, 0.2, curl=0.05),
    "updo": HairStyle(0.5, 1.0, volume=(0.06, -0.01), line=(0.0, 0.0, 0.0, 0.02, 0.0), burn=0.05),
}


@dataclass(frozen=True)
class Beard:
    """How far up the jaw it reaches (0 none, 1 to the sideburn), whether there is a moustache, and how dense it is."""

    reach: float
    moustache: bool
    density: float


BEARDS = {
    "stubble": Beard(0.85, True, 0.3),
    "full": Beard(0.9, True, 0.88),
    "short": Beard(0.85, True, 0.6),
    "goatee": Beard(0.3, True, 0.8),
    "moustache": Beard(0.0, True, 0.9),
}


_SWEEP = np.array((1.2, 1.0, 0.6, 0.2))  # how far a parting moves the hairline from beside the middle to the temple
_SIDEWARD = np.array((0.1, 0.4, 0.8, 1.0, 0.5))  # from the crown to the ear, how much of the volume goes sideways
_HANGING = np.array((0.25, 0.5, 0.8, 1.0))
_FLARE = np.array((0.5, 1.0, 1.0, 0.6))


def dress(face: np.ndarray, style: HairStyle, rng: np.random.Generator) -> None:
    """Move the hair points of a resting face float[P,3], in place, to a haircut that sits a little differently."""
    part = style.part * rng.choice((-1.0, 1.0))
    lower = np.array(style.line) + rng.normal(0, 0.025, 5)
    top, outwards = style.volume
    face[INDEX["hair0"], 1] -= top
    face[INDEX["line0"], 1] += lower[0]
    for side, sign in (("l", -1), ("r", 1)):
        line, hair, back = _points("line", 4, side), _points("hair", 5, side), _points("back", 4, side)
        face[line, 1] += lower[1:] + sign * part * _SWEEP
        face[hair, 0] += sign * outwards * _SIDEWARD
        face[hair, 1] -= top * (1 - 0.8 * _SIDEWARD)
        face[back, 0] += sign * (outwards + style.width * _FLARE)
        face[back, 1] = -0.3 + _HANGING * (style.length + 0.3)
        face[[hair[-1], INDEX[f"line5.{side}"]], 1] += style.burn


def _points(stem: str, count: int, side: str) -> list[int]:
    return [INDEX[f"{stem}{number}.{side}"] for number in range(1, count + 1)]
