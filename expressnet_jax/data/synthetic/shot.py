"""One drawing: a person with an expression, in a pose and a light, as one camera sees it.

A still image is one shot. A clip is one shot per frame, of the same person with other action units, pose and light.
"""

from bisect import bisect
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.synthetic import ink, shaded
from expressnet_jax.data.synthetic.camera import background, blank, paper, photograph, scan
from expressnet_jax.data.synthetic.canvas import Canvas
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import LANDMARK_INDEX, express, project
from expressnet_jax.data.synthetic.occluders import OCCLUDERS, SHARES, Cover, draw_cover
from expressnet_jax.data.synthetic.person import Person, draw_person


class Style(NamedTuple):
    """How an image is made: what is behind the face, how the face is drawn, what the camera does to the image."""

    behind: Callable[[np.random.Generator, int, int], np.ndarray]
    paint: Callable[[Canvas, Scene, Cover], None]
    finish: Callable[[np.random.Generator, np.ndarray, np.random.Generator], np.ndarray]


STYLES = {
    "a": Style(background, shaded.paint, photograph),
    "b": Style(paper, ink.paint, scan),
    "c": Style(blank, ink.pencil, scan),
}
_IDENTITIES = 1_000_000
# How far heads turn, nod and tilt, and eyes wander (standard deviations); the box of directions that light comes from.
_POSE, _GAZE = np.array((0.18, 0.085, 0.11)), np.array((0.025, 0.012j))
_LIGHT_FROM, _LIGHT_TO = np.array(((-0.9, -0.8, 0.7), (0.9, 0.25, 1.2)), np.float32)
_OCCLUDER_BOUNDS = np.cumsum(SHARES)[:-1].tolist()
# The families of random streams: who, a still image, a clip, its camera and its noise, a person's face at rest.
PERSON, IMAGE, CLIP, CAMERA, NOISE, RESTING = range(6)


class Shot(NamedTuple):
    """What the camera sees: the scene, what covers the face, and the crop.

    `turn` and `shift` map a face point z to z * turn + shift in an image of side 1.
    """

    scene: Scene
    occluder: str
    turn: complex
    shift: complex

    def landmarks(self, size: int) -> np.ndarray:
        """Return iBUG's 68 points in pixels of an image of this size, float32[68,2]."""
        marks = self.scene.plane[LANDMARK_INDEX] * (self.turn * size) + self.shift * size - (0.5 + 0.5j)
        return np.stack([marks.real, marks.imag], axis=-1).astype(np.float32)


def stream(seed: int, family: int, number: int) -> np.random.Generator:
    """Return the random numbers of one thing: they depend on nothing else that was drawn."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, family, number))))


@lru_cache(maxsize=4096)
def person_of(seed: int, identity: int, channels: int) -> Person:
    """Return a person of a seed, in colour or in gray."""
    person = draw_person(stream(seed, PERSON, identity))
    return person if channels == 3 else person.in_gray()


def draw_who(rng: np.random.Generator, identity: int | None, emotion: int | None) -> tuple[int, int]:
    """Draw identity and basic emotion, and return those that were given in place of the drawn ones."""
    drawn = int(rng.integers(_IDENTITIES)), int(rng.integers(len(BASIC)))
    return drawn[0] if identity is None else identity, drawn[1] if emotion is None else emotion


def draw_scene(rng: np.random.Generator, person: Person, activation: np.ndarray) -> tuple[Scene, np.ndarray]:
    """Draw pose, gaze and light around an expression; return the scene and yaw, pitch and roll, float32[3]."""
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


def draw_occluder(rng: np.random.Generator) -> str:
    """Draw what covers the face, a key of OCCLUDERS."""
    return OCCLUDERS[bisect(_OCCLUDER_BOUNDS, rng.random())]


def draw_crop(rng: np.random.Generator, marks: np.ndarray, roll: float) -> tuple[complex, complex]:
    """Draw the crop, as a detector cuts it: turn and shift from face coordinates to an image of side 1.

    All landmarks, `marks` complex[...,68] in face coordinates, are inside, at least 3 % off the edges.
    """
    turn = complex(np.exp(1j * roll)) / rng.uniform(2.55, 3.35)
    marks = marks * turn
    low, high = complex(marks.real.min(), marks.imag.min()), complex(marks.real.max(), marks.imag.max())
    largest = max(high.real - low.real, high.imag - low.imag)
    if largest > 0.92:
        turn, low, high = turn * 0.92 / largest, low * 0.92 / largest, high * 0.92 / largest
    shift = complex(*rng.normal(0.5, 0.045, 2)) - turn * 0.22j
    fit = lambda value, least, most: min(max(value, 0.03 - least), 0.97 - most)
    return turn, complex(fit(shift.real, low.real, high.real), fit(shift.imag, low.imag, high.imag))


def render(
    rng: np.random.Generator,
    shot: Shot,
    style: Style,
    size: int,
    channels: int,
    noise: np.random.Generator | None = None,
) -> np.ndarray:
    """Return uint8[H,H,C], drawn at twice the size, since at 48 pixels a lid is a third of a pixel.

    `rng` decides background, fit of the occluder and camera; `noise` the sensor's noise, if another stream is to.
    """
    side = 2 * size
    canvas = Canvas(side, channels, shot.turn * side, shot.shift * side - (0.5 + 0.5j))
    canvas.pixels = style.behind(rng, side, channels)
    style.paint(canvas, shot.scene, draw_cover(rng, shot.scene, shot.occluder))
    pixels = cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)
    return style.finish(rng, pixels, rng if noise is None else noise).reshape(size, size, channels)
