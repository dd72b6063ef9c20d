"""Generated faces: people, expressions set by action units, pose, light, what is in front and behind, and a camera.

    face = generate(7, seed=0, size=48, channels=1, style="a", emotion=3)

A face is a pure function of its arguments: the person of (seed, identity), everything else of (seed, index).
"""

from bisect import bisect
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT
from expressnet_jax.data.synthetic import ink, shaded
from expressnet_jax.data.synthetic.anatomy import AU_NAMES
from expressnet_jax.data.synthetic.camera import background, blank, paper, photograph, scan
from expressnet_jax.data.synthetic.canvas import Canvas
from expressnet_jax.data.synthetic.expression import draw_expression
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import LANDMARK_INDEX, express, project
from expressnet_jax.data.synthetic.occluders import OCCLUDERS, SHARES, Cover, draw_cover
from expressnet_jax.data.synthetic.person import Person, draw_person
from expressnet_jax.errors import UserError

__all__ = ["AU_NAMES", "OCCLUDERS", "STYLES", "Face", "check", "generate"]


class Style(NamedTuple):
    """How a picture is made: what is behind the face, how the face is drawn, what happens to the picture afterwards."""

    behind: Callable[[np.random.Generator, int, int], np.ndarray]
    paint: Callable[[Canvas, Scene, Cover], None]
    finish: Callable[[np.random.Generator, np.ndarray], np.ndarray]


STYLES = {
    "a": Style(background, shaded.paint, photograph),
    "b": Style(paper, ink.paint, scan),
    "c": Style(blank, ink.pencil, scan),
}
IDENTITIES = 1_000_000
# How far heads turn, nod and tilt, and eyes wander (standard deviations); the box of directions that light comes from.
_POSE, _GAZE = np.array((0.18, 0.085, 0.11)), np.array((0.025, 0.012j))
_LIGHT_FROM, _LIGHT_TO = np.array(((-0.9, -0.8, 0.7), (0.9, 0.25, 1.2)), np.float32)
_OCCLUDER_BOUNDS = np.cumsum(SHARES)[:-1].tolist()
_PERSON, _PICTURE = 0, 1  # the two families of random streams


class Face(NamedTuple):
    """A picture and all that is known of it.

    Attributes:
      image: uint8[H,H,C].
      label: the emotion's index in labels.WITH_CONTEMPT (its first seven are labels.BASIC).
      action_units: float32[U] in 0..1, in the order of AU_NAMES; the stronger side where they differ.
      landmarks: float32[68,2], iBUG's points as x, y in pixels; (0, 0) is the middle of the first pixel.
      identity: who it is.
      intensity: of the expression, 0 (neutral) to 1.
      pose: float32[3], yaw, pitch and roll in radians; positive turns to the image's right, down, clockwise.
      style, occluder: keys of STYLES, OCCLUDERS.
    """

    image: np.ndarray
    label: int
    action_units: np.ndarray
    landmarks: np.ndarray
    identity: int
    intensity: float
    pose: np.ndarray
    style: str
    occluder: str


def generate(
    index: int,
    *,
    seed: int = 0,
    size: int = 48,
    channels: int = 1,
    style: str = "a",
    emotion: int | None = None,
    identity: int | None = None,
) -> Face:
    """The index-th face of a seed.

    Args:
      index: which picture; it decides expression, pose, light, occluder, background and camera.
      seed: of the whole world: other seeds have other people and other pictures.
      size, channels: H, and C = 1 (gray) or 3 (R, G, B).
      style: a key of STYLES.
      emotion: an index in labels.WITH_CONTEMPT; not given, one of the seven basic ones is drawn, all alike.
      identity: who it is; not given, it is drawn.
    """
    check(seed, size, channels, style)
    if emotion is not None and not 0 <= emotion < len(WITH_CONTEMPT):
        raise UserError(f"synthetic: emotion {emotion} is not 0..{len(WITH_CONTEMPT) - 1}")
    rng = _stream(seed, _PICTURE, index)
    drawn = int(rng.integers(IDENTITIES)), int(rng.integers(len(BASIC)))
    identity = drawn[0] if identity is None else identity
    emotion = drawn[1] if emotion is None else emotion
    activation, intensity = draw_expression(rng, emotion)
    scene, pose = _draw_scene(rng, _person(seed, identity, channels), activation)
    occluder = OCCLUDERS[bisect(_OCCLUDER_BOUNDS, rng.random())]
    turn, shift = _frame(rng, scene, pose[2])
    image = _picture(rng, STYLES[style], scene, occluder, (size, channels), turn, shift)
    landmarks = scene.plane[LANDMARK_INDEX] * (turn * size) + shift * size - (0.5 + 0.5j)
    landmarks = np.stack([landmarks.real, landmarks.imag], axis=-1).astype(np.float32)
    units = activation.max(axis=0).astype(np.float32)
    return Face(image, emotion, units, landmarks, identity, intensity, pose, style, occluder)


def check(seed: int, size: int, channels: int, style: str) -> None:
    """Refuses what `generate` cannot draw.

    Raises:
      UserError: it names the argument and what it may be.
    """
    if seed < 0:
        raise UserError(f"synthetic: seed is {seed}; it must not be negative")
    if size < 16:
        raise UserError(f"synthetic: size {size} is too small for a face; give at least 16 pixels")
    if channels not in (1, 3):
        raise UserError(f"synthetic: channels is {channels}; it must be 1 (gray) or 3 (RGB)")
    if style not in STYLES:
        raise UserError(f"synthetic: no style {style!r}; the styles are: {', '.join(STYLES)}")


def _stream(seed: int, family: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, family, number))))


@lru_cache(maxsize=4096)
def _person(seed: int, identity: int, channels: int) -> Person:
    person = draw_person(_stream(seed, _PERSON, identity))
    return person if channels == 3 else person.in_gray()


def _draw_scene(rng: np.random.Generator, person: Person, activation: np.ndarray) -> tuple[Scene, np.ndarray]:
    """Pose, gaze and light around an expression."""
    pose = np.clip(rng.standard_normal(3), -2, 2) * _POSE
    gaze = rng.standard_normal(2) @ _GAZE
    to_light = _LIGHT_FROM + rng.random(3, np.float32) * (_LIGHT_TO - _LIGHT_FROM)
    return Scene(
        person=person,
        activation=activation.astype(np.float32),
        plane=project(express(person.resting, activation), pose[0], pose[1]),
        gaze=complex(gaze),
        light=to_light / np.linalg.norm(to_light),
        ambient=float(rng.uniform(0.32, 0.62)),
    ), pose.astype(np.float32)


def _frame(rng: np.random.Generator, scene: Scene, roll: float) -> tuple[complex, complex]:
    """The crop, as a detector cuts it: factor and shift from face coordinates to a picture of side 1.

    All landmarks are inside, at least 3 % off the edges.
    """
    turn = complex(np.exp(1j * roll)) / rng.uniform(2.55, 3.35)
    marks = scene.plane[LANDMARK_INDEX] * turn
    low, high = complex(marks.real.min(), marks.imag.min()), complex(marks.real.max(), marks.imag.max())
    largest = max(high.real - low.real, high.imag - low.imag)
    if largest > 0.92:
        turn, low, high = turn * 0.92 / largest, low * 0.92 / largest, high * 0.92 / largest
    shift = complex(*rng.normal(0.5, 0.045, 2)) - turn * 0.22j
    fit = lambda value, least, most: min(max(value, 0.03 - least), 0.97 - most)
    return turn, complex(fit(shift.real, low.real, high.real), fit(shift.imag, low.imag, high.imag))


def _picture(
    rng: np.random.Generator,
    style: Style,
    scene: Scene,
    occluder: str,
    shape: tuple[int, int],
    place: complex,
    at: complex,
) -> np.ndarray:
    """uint8[H,H,C] with shape = (H, C), drawn at twice the size, for at 48 pixels a lid is a third of a pixel."""
    size, channels = shape
    side = 2 * size
    canvas = Canvas(side, channels, place * side, at * side - (0.5 + 0.5j))
    canvas.pixels = style.behind(rng, side, channels)
    style.paint(canvas, scene, draw_cover(rng, scene, occluder))
    pixels = cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)
    return style.finish(rng, pixels).reshape(size, size, channels)
