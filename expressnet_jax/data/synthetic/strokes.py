"""Everything on a face that is a stroke: brows, lashes, lids, nostrils, the lines of the skin, single hairs.

S samples of a curve, U action units. Points are complex64 in face coordinates; n strokes are outlines complex64[n,2S].
"""

from typing import NamedTuple

import numpy as np

from expressnet_jax.data.synthetic.anatomy import AU_NAMES, LINES
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import STROKE_SAMPLES, ribbon
from expressnet_jax.data.synthetic.hair import HAIR


def _taper(samples: int, blunt: float = 0.12) -> np.ndarray:
    """Return the profile of a stroke that is thick in the middle and thin at its ends, float32[S]."""
    return np.sin(np.linspace(blunt, np.pi - blunt, samples)).astype(np.float32)


TAPER, TAPER25 = _taper(STROKE_SAMPLES), _taper(25)


class Pen(NamedTuple):
    """How thick a style draws its strokes, as half widths in face units, and the weakest line of the skin it draws."""

    brow: float
    lash: float
    lid: float
    crease: float
    shadow: float
    nostril: float
    fold: float
    line: float
    strand: float
    least: float


class Strokes(NamedTuple):
    """Outlines complex64[n,2S]: n is 2, or 4 for the folds of ears and wings of the nose, or as many as there are."""

    brows: np.ndarray
    lashes: np.ndarray
    lids: np.ndarray
    creases: np.ndarray
    shadows: np.ndarray
    nostrils: np.ndarray
    folds: np.ndarray
    lines: np.ndarray
    strands: np.ndarray


def _profiles() -> np.ndarray:
    """float32[16,S]: the thickness along each stroke on both sides, relative to what a pen gives it."""
    along = np.linspace(0, 1, STROKE_SAMPLES)
    brow = np.minimum(1, (along + 0.06) / 0.2) ** 0.6 * (0.8 + 0.5 * along - 1.15 * along**2.2)
    lash = np.linspace(0.55, 1.15, STROKE_SAMPLES) * _taper(STROKE_SAMPLES, 0.35)
    nostril = _taper(STROKE_SAMPLES, 0.2)
    sided = [brow, lash, TAPER, TAPER, TAPER, nostril, TAPER, TAPER]
    return np.repeat(np.stack(sided), 2, axis=0).astype(np.float32)


_PROFILES = _profiles()


def all_strokes(scene: Scene, pen: Pen) -> Strokes:
    """Return everything on a face that is a stroke."""
    person, curves = scene.person, scene.curves
    lid, base = curves["lid_up"], curves["nose_base"] - np.complex64(0.012j)
    sided = [curves["brow"], lid, curves["lid_lo"], curves["crease"], lid + np.complex64(0.02j)]
    sided += [base[None, 6:19], base[None, 30:43], curves["concha"], curves["wing"]]
    lines, strength = _lines(scene, pen.least)
    hairs = _strands(scene)
    scales = (pen.brow * person.brow_weight, pen.lash * person.lashes, *pen[2:7], pen.fold)
    rest = [pen.line * value for value in strength] + [pen.strand] * len(hairs)
    widths = [_PROFILES * np.repeat(np.array(scales, np.float32), 2)[:, None]]
    widths.append(np.array(rest, np.float32)[:, None] * TAPER)
    outlines = ribbon(np.concatenate([*sided, *lines, hairs]), np.concatenate(widths))
    first = len(_PROFILES) + len(strength)
    pairs = [outlines[i : i + 2] for i in range(0, 12, 2)]
    return Strokes._make([*pairs, outlines[12:16], outlines[16:first], outlines[first:]])


def _line_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights = np.zeros((len(AU_NAMES), len(LINES)), np.float32)
    for column, (units, _, _) in enumerate(LINES.values()):
        for unit, weight in units.items():
            weights[AU_NAMES.index(f"AU{unit}"), column] = weight
    _, age, always = zip(*LINES.values(), strict=True)
    return weights, np.array(age, np.float32), np.array(always, np.float32)


_LINE_WEIGHTS, _LINE_AGE, _LINE_ALWAYS = _line_table()


def _lines(scene: Scene, least: float) -> tuple[list[np.ndarray], list[float]]:
    """Return the lines of the skin that show: curves complex64[1 or 2,S], and a strength in 0..1 for each row of
    them."""
    person, curves = scene.person, scene.curves
    strength = scene.activation @ _LINE_WEIGHTS + _LINE_AGE * person.age**2 + _LINE_ALWAYS
    strength = np.minimum(strength * person.lined, 1.0)
    shown, strengths = [], []
    for name, left, right in zip(LINES, *strength.tolist(), strict=True):
        if max(left, right) > least:
            curve = curves[name]
            shown.append(curve.reshape(-1, STROKE_SAMPLES))
            strengths += [left, right] if curve.ndim == 2 else [(left + right) / 2]
    return shown, strengths


_T = np.linspace(0.05, 0.95, STROKE_SAMPLES, dtype=np.float32)
_BEND = np.sin(np.pi * _T)


def _strands(scene: Scene) -> np.ndarray:
    """Return single strands of hair from the hairline outwards, complex64[n,S]."""
    person = scene.person
    if HAIR[person.hair_style].bald:
        return np.zeros((0, STROKE_SAMPLES), np.complex64)
    roots = scene.curves["hairline"][person.strand_roots, None]
    ends = scene.curves["hair"][person.strand_roots, None]
    way = ends - roots
    return roots + way * _T + np.abs(way) * person.strand_bends[:, None] * _BEND
