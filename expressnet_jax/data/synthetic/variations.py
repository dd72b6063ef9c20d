"""Generated faces with one thing changed and all else the same: skin, age, shape, glasses, light, pose.

Muscles, pose, light, background and camera of a face follow from its number alone, each from another stream, so
that a pair of glasses does not change the noise of the camera. Shapes: H height, W width, C channels.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from expressnet_jax.data.synthetic.canvas import Canvas
from expressnet_jax.data.synthetic.expression import draw_expression
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import LANDMARK_INDEX, TEMPLATE, express, neutral, project
from expressnet_jax.data.synthetic.occluders import draw_cover
from expressnet_jax.data.synthetic.person import DIMORPHISM, SKIN, Person
from expressnet_jax.data.synthetic.shot import PERSON, STYLES, draw_crop, draw_scene, person_of, stream
from expressnet_jax.data.synthetic.traits import TRAIT_NAMES

SEED = 2027  # people whom no data set of seed 0 has
_STRENGTH = (0.7, 1.0)  # of the expressions: clear ones
MUSCLES, SETTING, BEHIND, COVER, CAMERA = range(10, 15)  # families of random streams


class Sweep(NamedTuple):
    """One thing that is changed. `values` are numbers on an axis, or words; `axis` says what the numbers mean."""

    title: str
    values: tuple[Any, ...]
    axis: str = ""


SWEEPS = {
    "skin": Sweep("Skin tone", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "0 lightest, 1 darkest"),
    "age": Sweep("Age", (0.0, 0.25, 0.5, 0.75, 1.0), "0 no lines, 1 deep lines"),
    "shape": Sweep("Sex-typical shape", (0.0, 0.25, 0.5, 0.75, 1.0), "0 masculine, 1 feminine"),
    "glasses": Sweep("Glasses", ("none", "glasses", "sunglasses")),
    "light": Sweep("Light from", ("left", "front", "right", "below")),
    "yaw": Sweep("Turned head", (-40.0, -20.0, 0.0, 20.0, 40.0), "degrees to the image's right"),
    "pitch": Sweep("Nodding head", (-25.0, -12.0, 0.0, 12.0, 25.0), "degrees down"),
}
LIGHTS = {"left": (-0.9, -0.2, 0.5), "front": (0.0, -0.2, 1.0), "right": (0.9, -0.2, 0.5), "below": (0.0, 0.7, 0.6)}


def draw_face(number: int, emotion: int, size: int, channels: int, what: str, value: Any) -> np.ndarray:
    """Return person `number` with an expression (its index in labels.WITH_CONTEMPT), uint8[H,H,C].

    `what` is a key of SWEEPS and `value` one of its values; everything else is the same for all of them.
    """
    activation, _ = draw_expression(stream(SEED, MUSCLES, 16 * number + emotion), emotion, _STRENGTH)
    person = person_of(SEED, number, 3)
    if what in PEOPLE:
        person = PEOPLE[what](person, number, float(value))
    person = person if channels == 3 else person.in_gray()
    rng = stream(SEED, SETTING, number)
    scene, pose = draw_scene(rng, person, activation)
    scene = replace(scene, ambient=0.45)
    if what == "light":
        toward = np.array(LIGHTS[value], np.float32)
        scene = replace(scene, light=toward / np.linalg.norm(toward), ambient=0.25)
    if what in ("yaw", "pitch"):
        yaw, nod = (np.radians(value), 0.0) if what == "yaw" else (0.0, np.radians(value))
        scene = replace(scene, plane=project(express(person.resting, scene.activation), yaw, nod))
    turn, shift = draw_crop(rng, scene.plane[LANDMARK_INDEX], pose[2])
    return _drawn(number, scene, str(value) if what == "glasses" else "none", turn, shift, size, channels)


def _drawn(
    number: int, scene: Scene, occluder: str, turn: complex, shift: complex, size: int, channels: int
) -> np.ndarray:
    """`shot.render` with another random stream for everything that is drawn."""
    side, style = 2 * size, STYLES["a"]
    canvas = Canvas(side, channels, turn * side, shift * side - (0.5 + 0.5j))
    canvas.pixels = style.behind(stream(SEED, BEHIND, number), side, channels)
    style.paint(canvas, scene, draw_cover(stream(SEED, COVER, number), scene, occluder))
    pixels = cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)
    camera = stream(SEED, CAMERA, number)
    return style.finish(camera, pixels, camera).reshape(size, size, channels)


def _with_skin(person: Person, number: int, tone: float) -> Person:
    """Return a person with a skin on the scale of SKIN, 0 lightest, 1 darkest; the lips keep their contrast to it."""
    at = np.arange(len(SKIN)) / (len(SKIN) - 1)
    skin = np.array([np.interp(tone, at, SKIN[:, channel]) for channel in range(3)], np.float32)
    lips = np.clip(skin * (np.asarray(person.lips) / np.asarray(person.skin)), 20, 240).astype(np.float32)
    return replace(person, skin=skin, lips=lips)


def _with_age(person: Person, number: int, age: float) -> Person:
    """Return a person whose skin is lined as at an age 0..1; the hair keeps its colour."""
    return replace(person, age=age)


def _with_shape(person: Person, number: int, feminine: float) -> Person:
    """Return a person with the shape that is typical of a sex, 0 masculine, 1 feminine; hair and beard stay."""
    drawn = stream(SEED, PERSON, number).random()  # what the person was drawn with: the first number of the stream
    traits = np.zeros(len(TRAIT_NAMES))
    for name, weight in DIMORPHISM.items():
        traits[TRAIT_NAMES.index(name)] = 2 * weight * (drawn - feminine)
    shift = (neutral(traits) - TEMPLATE).astype(np.float32)
    return replace(person, resting=person.resting + shift, neck=person.neck + 0.12 * (drawn - feminine))


PEOPLE: dict[str, Callable[[Person, int, float], Person]] = {"skin": _with_skin, "age": _with_age, "shape": _with_shape}
