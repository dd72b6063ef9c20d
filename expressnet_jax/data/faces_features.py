"""The parts of a face as polygons, the same for every style of drawing.

Points are complex64 in face coordinates. S samples of a curve, U action units, P points; n polygons of N corners are
complex64[n,N], a part on both sides is complex64[2,N].
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from expressnet_jax.data.faces_anatomy import AU_NAMES, LINES
from expressnet_jax.data.faces_geometry import INDEX, Curves, loop, ribbon
from expressnet_jax.data.faces_hair import BEARDS, HAIR
from expressnet_jax.data.faces_person import Person


def taper(samples: int, blunt: float = 0.12) -> np.ndarray:
    """The profile of a stroke that is thick in the middle and thin at its ends, float32[S]."""
    return np.sin(np.linspace(blunt, np.pi - blunt, samples)).astype(np.float32)


TAPER9, TAPER13, TAPER25 = taper(9), taper(13), taper(25)
CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 18, endpoint=False)).astype(np.complex64)
_BOW = np.linspace(-1, 1, 25, dtype=np.float32) ** 2
_EYES = np.array([INDEX["eye.l"], INDEX["eye.r"]])


@dataclass(frozen=True)
class Scene:
    """What is to be drawn: a person with an expression in a pose, and the light.

    Attributes:
      activation: float32[2,U].
      plane: complex64[P], the projected points.
      gaze: how far the irises are off the middle of the eyes.
      light: float32[3], the direction to the light; x to the right, y down, z to the viewer.
      ambient: 0..1, the share of light that comes from everywhere.
    """

    person: Person
    activation: np.ndarray
    plane: np.ndarray
    gaze: complex
    light: np.ndarray
    ambient: float

    @cached_property
    def curves(self) -> Curves:
        return Curves(self.plane)

    @cached_property
    def head(self) -> np.ndarray:
        return loop(self.curves["jaw"], self.curves["skull"])

    def strength(self, unit: int) -> float:
        """How strongly an action unit is active, on the stronger side."""
        return float(self.activation[:, AU_NAMES.index(f"AU{unit}")].max())


def _line_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights = np.zeros((len(AU_NAMES), len(LINES)), np.float32)
    for column, (units, _, _) in enumerate(LINES.values()):
        for unit, weight in units.items():
            weights[AU_NAMES.index(f"AU{unit}"), column] = weight
    _, age, always = zip(*LINES.values(), strict=True)
    return weights, np.array(age, np.float32), np.array(always, np.float32)


_LINE_WEIGHTS, _LINE_AGE, _LINE_ALWAYS = _line_table()


def lines(scene: Scene, least: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """The lines of the skin that show: curves complex64[n,9] and their strengths float32[n,1] in 0..1."""
    person, curves = scene.person, scene.curves
    strength = scene.activation @ _LINE_WEIGHTS + _LINE_AGE * person.age**2 + _LINE_ALWAYS
    strength = np.minimum(strength * person.lined, 1.0)
    shown, strengths = [], []
    for name, left, right in zip(LINES, *strength.tolist(), strict=True):
        if max(left, right) > least:
            curve = curves[name]
            shown.append(curve.reshape(-1, 9))
            strengths += [left, right] if curve.ndim == 2 else [(left + right) / 2]
    if not shown:
        return np.zeros((0, 9), np.complex64), np.zeros((0, 1), np.float32)
    return np.concatenate(shown), np.array(strengths, np.float32)[:, None]


class Mouth(NamedTuple):
    """Lips and the seam between them, and what is seen inside: `opening` and the rest are None while it is shut."""

    upper_lip: np.ndarray
    lower_lip: np.ndarray
    seam: np.ndarray
    opening: np.ndarray | None = None
    teeth: np.ndarray | None = None
    lower_teeth: np.ndarray | None = None
    tongue: np.ndarray | None = None


def mouth(scene: Scene) -> Mouth:
    """The mouth; the upper teeth show below the upper lip, the lower ones where AU16 or AU20 bare them."""
    curves = scene.curves
    top, bottom = curves["in_top"], curves["in_bottom"]
    lips = loop(curves["lip_top"], top), loop(bottom, curves["lip_bottom"]), (top + bottom) / 2
    middle, floor = float(top[12].imag), float(bottom[12].imag)
    gap = floor - middle
    if gap < 0.035:
        return Mouth(*lips)
    corners = float(top[0].imag + top[-1].imag) / 2
    between = lambda x, y: x + 1j * np.clip(y, top.imag, bottom.imag)
    raised = max(scene.strength(unit) for unit in (9, 10, 12, 20))
    teeth = between(top.real, middle + min(0.03 + 0.075 * raised, 0.75 * gap) + 0.45 * (corners - middle) * _BOW)
    bared = min(0.3 * gap, 0.09 * scene.strength(16) + 0.05 * scene.strength(20))
    lower_teeth = between(bottom.real, floor - bared + 0.05 * _BOW)
    tongue = between(bottom.real, floor - min(0.14, 0.42 * gap) + 0.12 * _BOW)
    return Mouth(
        *lips,
        opening=loop(top, bottom),
        teeth=loop(top[2:-2], teeth[2:-2]),
        lower_teeth=loop(lower_teeth[4:-4], bottom[4:-4]) if bared > 0.02 else None,
        tongue=loop(tongue[3:-3], bottom[3:-3]) if gap > 0.12 else None,
    )


class Eyes(NamedTuple):
    """Both eyes; rims, irises and pupils are cut to the opening, and no glint shows behind a closed lid."""

    openings: np.ndarray
    rims: np.ndarray
    irises: np.ndarray
    pupils: np.ndarray
    glints: np.ndarray


_IRIS_RADII = np.array((1.0, 0.8, 0.42), np.float32)[:, None]


def eyes(scene: Scene, radius: float = 0.118) -> Eyes:
    upper, lower = scene.curves["lid_up"], scene.curves["lid_lo"]
    centres = scene.plane[_EYES] + np.complex64(scene.gaze)
    rings = centres[:, None, None] + CIRCLE * (radius * _IRIS_RADII)
    for ring, lid, floor, order in zip(rings, upper, lower, (slice(None, None, -1), slice(None)), strict=True):
        # np.interp wants x to rise, and the curves run outwards from the nose.
        highest = np.interp(ring.real, lid.real[order], lid.imag[order])
        lowest = np.interp(ring.real, floor.real[order], floor.imag[order])
        ring.imag = np.clip(ring.imag, highest, np.maximum(highest, lowest))
    spots = centres + np.complex64(0.045 * np.sign(scene.light[0]) - 0.035j)
    seen = upper[:, 6].imag < spots.imag - 0.012
    return Eyes(loop(upper, lower), *rings.swapaxes(0, 1), spots[seen, None] + 0.025 * CIRCLE[::2])


class Strokes(NamedTuple):
    """The strokes around the eyes, outlines complex64[2,26]."""

    brows: np.ndarray
    lashes: np.ndarray
    lower_lids: np.ndarray
    creases: np.ndarray
    lid_shadows: np.ndarray


_ALONG = np.linspace(0, 1, 13, dtype=np.float32)
_BROW = 0.052 * np.minimum(1, (_ALONG + 0.06) / 0.2) ** 0.6 * (0.8 + 0.5 * _ALONG - 1.15 * _ALONG**2.2)
_LASHES = 0.024 * np.linspace(0.55, 1.15, 13) * np.sin(np.linspace(0.5, np.pi - 0.2, 13))
_PROFILES = np.stack([_BROW, _LASHES, 0.009 * TAPER13, 0.02 * TAPER13, 0.02 * TAPER13]).astype(np.float32)


def strokes(scene: Scene, weights: tuple[float, ...] = (1.0,) * 5) -> Strokes:
    """The strokes around the eyes, each with its weight on the usual thickness."""
    curves, person = scene.curves, scene.person
    lid = curves["lid_up"]
    paths = np.stack([curves["brow"], lid, curves["lid_lo"], curves["crease"], lid + np.complex64(0.02j)])
    scale = np.array(weights, np.float32)
    scale[:2] *= person.brow_weight, person.lashes
    return Strokes(*ribbon(paths, (_PROFILES * scale[:, None])[:, None]))


_NOSTRILS = np.array((0.006, 0.022, 0.026, 0.02, 0.006), np.float32)


def nostrils(scene: Scene) -> np.ndarray:
    base = scene.curves["nose_base"] - np.complex64(0.012j)
    return ribbon(np.stack([base[2:7], base[10:15]]), _NOSTRILS)


def body(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Neck with shoulders, and the cloth over them; they follow a turn of the head a little."""
    neck = scene.person.neck
    lean = 0.5 * float(scene.curves["jaw"][14].real + scene.curves["jaw"][34].real)
    side = np.array([neck + 0.8j, neck + 1.85j, 1.15 * neck + 2.1j, 1.5 + 2.45j, 2.3 + 2.9j, 2.4 + 4.5j])
    collar = np.array([2.35j, 0.6 * neck + 2.25j, 1.12 * neck + 2j, 1.5 + 2.4j, 2.4 + 2.9j, 2.4 + 4.5j])
    shift = lean * np.array((0.6, 0.4, 0.3, 0.2, 0.2, 0.2))
    return loop(side + shift, shift - side.conj()), loop(collar, -collar.conj()) + 0.25 * lean


def locks(scene: Scene) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The hair on top and the hair that hangs behind the head, or None."""
    person, curves = scene.person, scene.curves
    style = HAIR[person.hair_style]
    if style.bald:
        return None, None
    top = loop(person.curl(curves["hair"]), curves["hairline"] + person.fringe)
    return top, person.curl(curves["back"]) if style.length else None


_T = np.linspace(0.05, 0.95, 9, dtype=np.float32)


def strands(scene: Scene) -> np.ndarray:
    """Single strands of hair from the hairline outwards, complex64[n,9]."""
    person = scene.person
    roots = scene.curves["hairline"][person.strand_roots, None]
    ends = scene.curves["hair"][person.strand_roots, None]
    return roots * (1 - _T) + ends * _T + person.strand_bends[:, None] * np.sin(np.pi * _T)


_SPAN = np.abs(np.linspace(-1, 1, 49, dtype=np.float32))


def beard(scene: Scene) -> list[np.ndarray]:
    """The outlines of beard and moustache, none for a shaven face."""
    style = BEARDS.get(scene.person.beard)
    if style is None:
        return []
    curves = scene.curves
    shapes = []
    if style.reach > 0:
        first = round(24 * (1 - style.reach))
        kept = slice(first, 49 - first)
        rim, span = curves["jaw"][kept], _SPAN[kept] / style.reach
        lip = curves["lip_bottom"][np.linspace(0, 24, len(rim)).astype(int)] + 0.05j
        cheek = 0.84 * rim.real + 1j * (rim.imag - 0.06)
        near = np.clip(1.5 - 1.9 * span, 0, 1)
        near = near * near * (3 - 2 * near)
        shapes.append(loop(rim, cheek * (1 - near) + lip * near))
    if style.moustache:
        lip, nose = curves["lip_top"][3:-3], curves["nose_base"]
        crest = 0.42 * np.linspace(nose[0], nose[-1], 19) + 0.58 * (lip - 0.03j)
        shapes.append(loop(crest, lip + 0.015j))
    return shapes
