"""Hair and beards: how each style moves the hair points of the template."""

from dataclasses import dataclass

import numpy as np

from expressnet_jax.data.faces_geometry import INDEX


@dataclass(frozen=True)
class HairStyle:
    """A haircut, in face units.

    Attributes:
      low, high: on whom it is seen, 0 masculine to 1 feminine.
      volume: how far it stands off the skull at the top and at the side.
      line: how much lower the hairline is at its five points from the middle to the temple.
      part: the same, but with the sign of the side: positive sweeps down to the image's right.
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


def dress(face: np.ndarray, style: HairStyle, rng: np.random.Generator) -> None:
    """Moves the hair points of a resting face float[P,3] in place."""
    side_part = style.part * rng.choice((-1.0, 1.0))
    jitter = rng.normal(0, 0.025, 5)
    top, side = style.volume
    for suffix, sign in (("l", -1.0), ("r", 1.0)):
        at = lambda name, suffix=suffix: face[INDEX[f"{name}.{suffix}"]]
        for i in range(1, 6):
            at(f"line{i}")[1] += style.line[min(i, 5) - 1] * 1.0 + jitter[i - 1] + sign * side_part * (1.2, 1, 0.6, 0.2, 0)[i - 1]
        for i, share in zip(range(1, 6), (0.1, 0.4, 0.8, 1.0, 1.0), strict=True):
            point = at(f"hair{i}")
            point[0] += sign * side * share
            point[1] -= top * (1 - share * 0.8)
        at("line5")[1] += style.burn
        at("hair5")[1] += style.burn
        for i, share in zip(range(1, 5), (0.25, 0.5, 0.8, 1.0), strict=True):
            point = at(f"back{i}")
            point[1] = -0.3 + share * (style.length + 0.3)
            point[0] += sign * (side + style.width * (0.5, 1.0, 1.0, 0.6)[i - 1])
    face[INDEX["hair0"], 1] -= top
    face[INDEX["line0"], 1] += style.line[0] + jitter[0]
