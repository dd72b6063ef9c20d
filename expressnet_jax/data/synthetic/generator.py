"""Generated faces: people, expressions set by action units, pose, light, what is in front and behind, and a camera.

    face = generate(7, seed=0, size=48, channels=1, style="a", emotion=3)

A face is a pure function of its arguments: the person of (seed, identity), everything else of (seed, index).
"""

from typing import NamedTuple

import numpy as np

from expressnet_jax.data.labels import WITH_CONTEMPT
from expressnet_jax.data.synthetic.expression import draw_expression
from expressnet_jax.data.synthetic.geometry import LANDMARK_INDEX
from expressnet_jax.data.synthetic.shot import (
    IMAGE,
    STYLES,
    Shot,
    draw_crop,
    draw_occluder,
    draw_scene,
    draw_who,
    person_of,
    render,
    stream,
)
from expressnet_jax.errors import UserError

INTENSITY = (0.4, 1.0)


class Face(NamedTuple):
    """An image and all that is known of it.

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
    intensity: tuple[float, float] = INTENSITY,
) -> Face:
    """Return the index-th face of a seed.

    Args:
      index: which image; it decides expression, pose, light, occluder, background and camera.
      seed: of the whole world: other seeds have other people and other images.
      size, channels: H, and C = 1 (gray) or 3 (R, G, B).
      style: a key of STYLES.
      emotion: an index in labels.WITH_CONTEMPT; not given, one of the seven basic ones is drawn, all alike.
      identity: who it is; not given, it is drawn.
      intensity: the range that the strength of an expression is drawn from.
    """
    check(seed, size, channels, style, emotion, intensity)
    rng = stream(seed, IMAGE, index)
    identity, emotion = draw_who(rng, identity, emotion)
    activation, strength = draw_expression(rng, emotion, intensity)
    scene, pose = draw_scene(rng, person_of(seed, identity, channels), activation)
    occluder = draw_occluder(rng)
    shot = Shot(scene, occluder, *draw_crop(rng, scene.plane[LANDMARK_INDEX], pose[2]))
    image = render(rng, shot, STYLES[style], size, channels)
    units = activation.max(axis=0).astype(np.float32)
    landmarks = shot.landmarks(size)
    return Face(image, emotion, units, landmarks, identity, strength, pose, style, occluder)


def check(
    seed: int,
    size: int,
    channels: int,
    style: str,
    emotion: int | None = None,
    intensity: tuple[float, float] = INTENSITY,
) -> None:
    """Refuse what cannot be drawn.

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
    if emotion is not None and not 0 <= emotion < len(WITH_CONTEMPT):
        raise UserError(f"synthetic: emotion {emotion} is not 0..{len(WITH_CONTEMPT) - 1}")
    low, high = intensity
    if not 0 < low <= high <= 1:
        raise UserError(f"synthetic: intensity {low:g},{high:g} is no range; give LOW,HIGH with 0 < LOW <= HIGH <= 1")
