"""What may be in front of a face: glasses, sunglasses, a mask, a hand."""

from typing import NamedTuple

import numpy as np

from expressnet_jax.data.synthetic.canvas import Canvas
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import INDEX, loop, ribbon
from expressnet_jax.data.synthetic.strokes import TAPER

OCCLUDERS = ("none", "glasses", "sunglasses", "mask", "hand")
SHARES = (0.82, 0.10, 0.03, 0.025, 0.025)

_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)


class Cover(NamedTuple):
    """Polygons to fill and lines to draw, each with a colour float[3]; a line's width is in face units.

    `hides` says that the nose's tip and what is below it are covered.
    """

    fills: list[tuple[np.ndarray, np.ndarray]]
    edges: list[tuple[np.ndarray, float, np.ndarray]]
    hides: bool = False

    def draw(self, canvas: Canvas, soft: Canvas | None = None, neutral: float = 0) -> None:
        """Draw it, and wipe the marks of the face below it off a layer of soft marks."""
        for colour, shape in self.fills:
            canvas.fill(colour, shape)
            if soft is not None:
                soft.fill(neutral, shape)
        for colour, width, path in self.edges:
            canvas.stroke(colour, width, path)


def draw_cover(rng: np.random.Generator, scene: Scene, kind: str) -> Cover:
    """Return an object of a kind, in a random colour and fit, at its place on the face."""
    if kind == "none":
        return Cover([], [])
    makers = {"glasses": _glasses, "sunglasses": _glasses, "mask": _mask, "hand": _hand}
    return makers[kind](rng, scene, kind)


def _points(scene: Scene, *names: str) -> np.ndarray:
    return scene.plane[[INDEX[name] for name in names]]


def _glasses(rng: np.random.Generator, scene: Scene, kind: str) -> Cover:
    """Draw round to square lenses before the eyes, a bridge on the nose, temples to the ears."""
    frame = np.array(((24, 22, 24), (92, 60, 36), (150, 150, 156))[int(rng.integers(3))], np.float32)
    dark = kind == "sunglasses"
    width, height = rng.uniform(0.27, 0.33) + 0.03 * dark, rng.uniform(0.2, 0.26) + 0.04 * dark
    power = rng.uniform(0.5, 1.0)
    bend = lambda wave: np.sign(wave) * np.abs(wave) ** power
    rim = width * bend(np.cos(_ANGLES)) + 1j * height * bend(np.sin(_ANGLES))
    eyes = _points(scene, "eye.l", "eye.r") + 0.035j
    lenses = (eyes[:, None] + rim).astype(np.complex64)
    ears = _points(scene, "jaw8.l", "jaw8.r") - 0.03j
    bridge = np.linspace(eyes[0] + width, eyes[1] - width, 7) - 0.05j * np.sin(np.linspace(0, np.pi, 7)) - 0.03j
    temples = np.stack([eyes + np.array((-width, width)) - 0.05j, ears], axis=1)
    weight = rng.uniform(0.03, 0.055)
    edges = [(frame, weight, lens) for lens in np.concatenate([lenses, lenses[:, :1]], axis=1)]
    edges += [(frame, weight, bridge), (frame, weight, temples[0]), (frame, weight, temples[1])]
    return Cover([(np.array((28, 28, 34), np.float32), lenses)] if dark else [], edges)


_MASKS = ((226, 232, 236), (150, 190, 214), (40, 42, 48), (186, 206, 190))


def _mask(rng: np.random.Generator, scene: Scene, kind: str) -> Cover:
    """Draw cloth from the nose to below the chin, with pleats and a string to each ear."""
    colour = np.array(_MASKS[int(rng.integers(len(_MASKS)))], np.float32)
    corners = _points(scene, "jaw6.l", "jaw6.r")
    top = scene.plane[INDEX["bridge3"]] + (0.1j if rng.random() < 0.7 else 0.3j)
    crest = np.array([corners[0] * 0.94, (corners[0] + top) / 2 - 0.02j, top, (corners[1] + top) / 2 - 0.02j])
    crest = np.append(crest, corners[1] * 0.94)
    rim = scene.curves["jaw"][8:-8] * 1.015 + 0.03j
    pleats = [np.linspace(rim[i], rim[-1 - i], len(TAPER)) + 0.1j * TAPER for i in (3, 7)]
    ears = _points(scene, "ear1.l", "ear1.r")
    strings = [(colour * 0.9, 0.02, np.array([corners[k] * 0.95, ears[k]])) for k in (0, 1)]
    return Cover([(colour, loop(crest, rim))], [(colour * 0.8, 0.02, pleat) for pleat in pleats] + strings, hides=True)


_FINGER = 0.105 * np.array((0.9, 1.0, 1.0, 0.98, 0.96, 0.92, 0.85, 0.7, 0.3), np.float32)
_LENGTHS = np.array((0.62, 0.74, 0.7, 0.52))
_SPREAD = np.exp(1j * np.linspace(-0.1, 0.1, 4))
_PALM = np.array((0.3j - 0.43, 0.3j + 0.43, 1j + 0.46, 1.9j + 0.34, 1.9j - 0.34, 1j - 0.46))


def _hand(rng: np.random.Generator, scene: Scene, kind: str) -> Cover:
    """Draw a hand from below that covers the mouth or a cheek: four fingers and the palm."""
    skin, side = np.asarray(scene.person.skin), 1 if rng.random() < 0.5 else -1
    target = scene.plane[INDEX["in_up0"]] + side * rng.uniform(-0.05, 0.55)
    right = np.exp(1j * side * rng.uniform(-0.9, -0.2))
    knuckles = target + right * (0.25j + np.linspace(-0.33, 0.33, 4))
    along = -1j * right * _SPREAD * _LENGTHS * rng.uniform(0.9, 1.1)
    fingers = ribbon((knuckles[:, None] + along[:, None] * np.linspace(-0.2, 1, 9)).astype(np.complex64), _FINGER)
    fills, edges = [(skin * 0.97, target + right * _PALM)], []
    for finger in fingers:
        fills.append((skin * 0.97, finger))
        edges.append((skin * 0.55, 0.02, finger[2:-2]))
    return Cover(fills, edges, hides=True)
