"""The parts of a face as polygons, the same for every style of drawing.

Points are complex64 in face coordinates. S samples of a curve, U action units, P points; n polygons of N corners are
complex64[n,N], a part on both sides is complex64[2,N].
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from expressnet_jax.data.synthetic.anatomy import AU_NAMES
from expressnet_jax.data.synthetic.geometry import INDEX, Curves, loop
from expressnet_jax.data.synthetic.hair import BEARDS, HAIR
from expressnet_jax.data.synthetic.person import Person

_CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 18, endpoint=False)).astype(np.complex64)
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
        """Return how strongly an action unit is active, on the stronger side."""
        return float(self.activation[:, AU_NAMES.index(f"AU{unit}")].max())


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
    """Return the mouth; the upper teeth show below the upper lip, the lower ones where AU16 or AU20 bare them."""
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
    rings = centres[:, None] + _CIRCLE * (radius * _IRIS_RADII)[:, None]
    # Curves run outwards from the nose: the left one backwards and then the right one, x rises all the way.
    lid, floor = (np.concatenate([curve[0, ::-1], curve[1]]) for curve in (upper, lower))
    x = rings.real
    highest = np.interp(x, lid.real, lid.imag)
    rings.imag = np.minimum(np.maximum(rings.imag, highest), np.maximum(highest, np.interp(x, floor.real, floor.imag)))
    spots = centres + np.complex64(0.045 * np.sign(scene.light[0]) - 0.035j)
    seen = upper[:, 6].imag < spots.imag - 0.012
    return Eyes._make([loop(upper, lower), *rings, spots[seen, None] + 0.025 * _CIRCLE[::2]])


def chin_shadow(scene: Scene) -> np.ndarray:
    """Return where the jaw keeps the light from the neck."""
    rim, neck = scene.curves["jaw"][12:-12], 0.97 * scene.person.neck
    lean = 0.3 * (rim[2] + rim[-3]).real
    rim = np.clip(rim.real, lean - neck, lean + neck) + 1j * rim.imag
    return loop(rim, rim + 0.24j)


def body(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return neck with shoulders, and the cloth over them; they follow a turn of the head a little."""
    neck = scene.person.neck
    lean = 0.5 * float(scene.curves["jaw"][14].real + scene.curves["jaw"][34].real)
    side = np.array([neck + 0.8j, neck + 1.85j, 1.15 * neck + 2.1j, 1.5 + 2.45j, 2.3 + 2.9j, 2.4 + 4.5j])
    collar = np.array([2.35j, 0.6 * neck + 2.25j, 1.12 * neck + 2j, 1.5 + 2.4j, 2.4 + 2.9j, 2.4 + 4.5j])
    shift = lean * np.array((0.6, 0.4, 0.3, 0.2, 0.2, 0.2))
    return loop(side + shift, shift - side.conj()), loop(collar, -collar.conj()) + 0.25 * lean


def hair_on_top(scene: Scene) -> np.ndarray | None:
    """Return the hair from the hairline to its outline; None on a bald head."""
    person, curves = scene.person, scene.curves
    if HAIR[person.hair_style].bald:
        return None
    return loop(person.curl(curves["hair"]), curves["hairline"] + person.fringe)


def hair_behind(scene: Scene) -> np.ndarray | None:
    """Return the hair that hangs behind the head; None where it is short."""
    person = scene.person
    return person.curl(scene.curves["back"]) if HAIR[person.hair_style].length else None


_SPAN = np.abs(np.linspace(-1, 1, 49, dtype=np.float32))


def beard(scene: Scene) -> list[np.ndarray]:
    """Return the outlines of beard and moustache, none for a shaven face."""
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
