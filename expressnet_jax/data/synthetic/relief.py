"""Light on a face: a relief of bumps on an ellipsoid, shaded by its slope.

Shapes: K bumps, G x G grid, P points, U action units. A bump is a Gaussian that is separable in x and y, so a field of
all of them, and each of its slopes, is one matrix product [G,K] @ [K,G].
"""

from functools import lru_cache

import numpy as np

from expressnet_jax.data.synthetic.anatomy import AU_NAMES
from expressnet_jax.data.synthetic.canvas import GRID_EXTENT, GRID_ORIGIN
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import INDEX

# point -> bumps there: (offset down, breadth, height, how far it stands out, darkness, redness)
_BUMPS = {
    "bridge1": [(0.0, 0.10, 0.17, 0.05, 0.0, 0.0)],
    "bridge2": [(0.0, 0.085, 0.14, 0.10, 0.0, 0.0)],
    "bridge3": [(0.0, 0.085, 0.13, 0.13, 0.0, 0.1)],
    "bridge4": [(0.0, 0.115, 0.10, 0.17, 0.0, 0.4)],
    "wing": [(0.02, 0.08, 0.075, 0.07, 0.0, 0.3)],
    "subnasale": [(0.04, 0.17, 0.055, -0.02, 0.2, 0.0)],
    "brow3": [(-0.02, 0.30, 0.10, 0.05, 0.0, 0.0)],
    "eye": [(-0.02, 0.25, 0.15, -0.06, 0.1, 0.1), (0.0, 0.19, 0.10, 0.045, 0.0, 0.0)],
    "eye_in": [(-0.05, 0.10, 0.12, -0.07, 0.16, 0.1)],
    "bag2": [(0.03, 0.2, 0.06, -0.01, 0.07, 0.15)],
    "cheek": [(0.0, 0.25, 0.19, 0.07, -0.03, 0.55)],
    "in_up0": [(0.0, 0.32, 0.24, 0.06, 0.0, 0.0)],
    "lip_up1": [(0.04, 0.15, 0.05, 0.03, 0.05, 0.0)],
    "lip_lo0": [(-0.07, 0.19, 0.06, 0.05, -0.03, 0.0)],
    "mouth": [(0.01, 0.07, 0.07, -0.03, 0.1, 0.0)],
    "chinfold0": [(-0.02, 0.2, 0.06, -0.04, 0.13, 0.0)],
    "chin": [(-0.16, 0.22, 0.15, 0.07, 0.0, 0.3)],
    "jaw4": [(-0.05, 0.18, 0.35, -0.04, 0.1, 0.0)],
    "line1": [(0.02, 0.35, 0.09, 0.0, 0.14, 0.0)],
    "line3": [(0.02, 0.16, 0.14, 0.0, 0.14, 0.0)],
}
# action unit -> point -> what it adds there at full strength: (how far it stands out, darkness, redness)
GAINS = {
    "AU4": {"eye_in": (-0.02, 0.1, 0.0), "eye": (-0.01, 0.06, 0.0), "brow3": (0.02, 0.0, 0.0)},
    "AU6": {"cheek": (0.08, -0.05, 0.4), "bag2": (-0.01, 0.06, 0.0)},
    "AU9": {"bridge1": (0.02, 0.1, 0.0), "wing": (0.03, 0.0, 0.0)},
    "AU10": {"wing": (0.02, 0.0, 0.0), "cheek": (0.03, 0.0, 0.0)},
    "AU12": {"cheek": (0.07, -0.04, 0.3), "mouth": (-0.02, 0.08, 0.0)},
    "AU14": {"mouth": (-0.05, 0.18, 0.0)},
    "AU15": {"mouth": (-0.03, 0.1, 0.0)},
    "AU17": {"chin": (0.06, 0.0, 0.0), "chinfold0": (-0.03, 0.12, 0.0)},
}


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which point each bump is at int[K], its figures float32[K,6], and what the muscles add float32[2U,3K]."""
    anchors, rows, gains = [], [], []
    for name, bumps in _BUMPS.items():
        sides = ((name, (0, 1), 0.5),) if name in INDEX else ((f"{name}.l", (0,), 1.0), (f"{name}.r", (1,), 1.0))
        for point, active, share in sides:
            for number, bump in enumerate(bumps):
                gain = np.zeros((2, len(AU_NAMES), 3))
                for unit, points in GAINS.items():
                    if number == 0 and name in points:
                        gain[active, AU_NAMES.index(unit)] = share * np.array(points[name])
                anchors.append(INDEX[point])
                rows.append(bump)
                gains.append(gain)
    flat = np.stack(gains, axis=2).reshape(2 * len(AU_NAMES), -1)
    return np.array(anchors), np.array(rows, np.float32), flat.astype(np.float32)


_ANCHORS, _ROWS, _GAINS = _tables()
_COVERED = ("bridge4", "wing", "subnasale", "in_up0", "lip_up1", "lip_lo0", "mouth", "chinfold0")
_BARE = (~np.isin(_ANCHORS, [i for name, i in INDEX.items() if name.split(".")[0] in _COVERED])).astype(np.float32)
_DOWN, _INVERSE_X, _INVERSE_Y = _ROWS[:, 0], 1 / _ROWS[:, 1], 1 / _ROWS[:, 2]


def shade(scene: Scene, side: int, hidden: bool = False) -> np.ndarray:
    """Return uint8[G,G,3] with G = side: brightness (128 is a surface that faces the viewer), redness and shine of the
    skin.

    Brightness is Lambert's cosine plus the ambient light, less what the bumps occlude; shine is Blinn's (1977) power
    of the cosine to the direction half-way between light and viewer. Redness and shine stay on the head.
    With `hidden`, something smooth covers the lower face.
    """
    x, y = _axes(side)
    centres = scene.plane[_ANCHORS]
    out, dark, red = (_ROWS[:, 3:] + (scene.activation.reshape(-1) @ _GAINS).reshape(-1, 3)).T
    if hidden:
        out, dark, red = out * _BARE, dark * _BARE, red * _BARE
    dx = (x[:, None] - centres.real) * _INVERSE_X
    dy = (y[:, None] - (centres.imag + _DOWN)) * _INVERSE_Y
    bump_x, bump_y = np.exp(-0.5 * dx * dx), np.exp(-0.5 * dy * dy)
    head_x, head_y, inside = _head(x, y, 0.3 * float(scene.plane[INDEX["bridge2"]].real))
    slope_x = (bump_y * out) @ (bump_x * (-dx * _INVERSE_X)).T - head_x
    slope_y = (bump_y * (-dy * _INVERSE_Y * out)) @ bump_x.T - head_y
    upright = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    facing = lambda to: np.maximum(to[2] - slope_x * to[0] - slope_y * to[1], 0) * upright
    bright = scene.ambient + 1.12 * (1 - scene.ambient) * facing(scene.light) - (bump_y * dark) @ bump_x.T
    half = scene.light + np.array((0, 0, 1), np.float32)
    fields = np.empty((side, side, 3), np.float32)
    fields[..., 0] = 128 * bright
    fields[..., 1] = inside * (14 * (bump_y * red) @ bump_x.T)
    shine = facing(half / np.linalg.norm(half))
    for _ in range(5):  # to the power of 32
        shine *= shine
    fields[..., 2] = (255 * scene.person.shine) * inside * shine
    return np.clip(fields, 0, 255, out=fields).astype(np.uint8)


@lru_cache(maxsize=4)
def _axes(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the grid's columns and rows are in face coordinates, float32[G] each."""
    ticks = np.linspace(0, GRID_EXTENT, side)
    return (GRID_ORIGIN.real + ticks).astype(np.float32), (GRID_ORIGIN.imag + ticks).astype(np.float32)


def _head(x: np.ndarray, y: np.ndarray, middle: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the slopes of the ellipsoid below the features, and 1 on the head, falling to 0 around it; each
    float32[G,G]."""
    across, down = (x - middle) / 1.12, (y - 0.05) / 1.72
    nearness = 1 - (across * across)[None, :] - (down * down)[:, None]
    depth = 0.75 / np.sqrt(np.maximum(nearness, 0.1))
    inside = np.clip(nearness * 3 + 1, 0, 1)
    return depth * (across / 1.12)[None, :], depth * (down / 1.72)[:, None], inside
