"""Where an expression is in a face: the regions that its action units move, and how well maps find them.

Shapes: N images, H height, W width; points are float[68,2], iBUG's.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from expressnet_jax.data.synthetic.expression import CORE
from expressnet_jax.report.landmarks import part_mask

# Action unit of FACS (Ekman & Friesen 1978) -> the parts of the face that it moves.
_UNIT_PARTS = {
    **dict.fromkeys((1, 2, 4), ("brows",)),
    **dict.fromkeys((5, 7, 43), ("eyes",)),
    6: ("eyes", "cheeks"),
    9: ("nose", "brows"),
    10: ("mouth", "nose"),
    **dict.fromkeys((12, 14, 16, 18, 20, 23, 24, 25), ("mouth",)),
    **dict.fromkeys((15, 17, 26, 27), ("mouth", "chin")),
}
ACTIVE = 0.3  # of full strength


def region(points: np.ndarray, size: Sequence[int], units: Iterable[int]) -> np.ndarray:
    """Return bool[H,W], the union of the parts that action units move."""
    mask = np.zeros(tuple(size), bool)
    for name in sorted({part for unit in units for part in _UNIT_PARTS[unit]}):
        mask |= part_mask(points, size, name)
    return mask


def active_units(strengths: np.ndarray, names: Sequence[str]) -> list[int]:
    """Return the numbers of the units whose strength float[U] is ACTIVE or more; `names` are AU1, AU2, ..."""
    return [int(name[2:]) for name, strength in zip(names, strengths, strict=True) if strength >= ACTIVE]


def core_units(emotion: str) -> tuple[int, ...]:
    """Return the action units without which an emotion is not shown; none of neutral or an unknown word."""
    return CORE.get(emotion, ())


def pointing(maps: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Return bool[N]: does the highest place of each map float[N,H,W] lie in its region bool[N,H,W]?

    Zhang et al. 2018, Top-down neural attention by excitation backprop, section 4.2, without a tolerance.
    """
    flat = maps.reshape(len(maps), -1)
    return regions.reshape(len(maps), -1)[np.arange(len(maps)), flat.argmax(1)]


def overlap(maps: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each region with the map's highest places of equal area, float64[N]."""
    found = np.empty(len(maps))
    for i, (each, inside) in enumerate(zip(maps, regions, strict=True)):
        area = int(inside.sum())
        highest = np.zeros(each.size, bool)
        highest[np.argsort(-each.ravel(), kind="stable")[:area]] = True
        both = int((highest & inside.ravel()).sum())
        found[i] = both / (2 * area - both) if area else 0.0
    return found
