"""Generated clips: a face goes from neutral to the apex of an expression and back.

    clip = generate_clip(7, seed=0, size=48, channels=1, style="a", emotion=3, frames=16)

Person, style, light, background, camera and what covers the face stay; the action units, the head and the light move.
Every person's face resembles some expression at rest (`expression.draw_resting`). So one frame of a weak expression
(`intensity=(0.15, 0.5)`) leaves open what is the person's and what is the expression's; the change over time does not.
FACS asks its coders to compare with the neutral face for the same reason.

A clip is a pure function of its arguments: the person and its face at rest of (seed, identity), all else of
(seed, index).
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from expressnet_jax.data.synthetic.expression import draw_resting
from expressnet_jax.data.synthetic.generator import check
from expressnet_jax.data.synthetic.geometry import LANDMARK_INDEX, express, project
from expressnet_jax.data.synthetic.movement import Movement, draw_movement
from expressnet_jax.data.synthetic.shot import (
    CAMERA,
    CLIP,
    NOISE,
    RESTING,
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

CLIP_INTENSITY = (0.15, 1.0)
MOST_FRAMES = 512
# How far a head turns, nods, tilts and moves to the right and down, and how far the light's direction wanders.
_DRIFT = np.array((0.05, 0.03, 0.025, 0.025, 0.02, 0.08, 0.08, 0.04))


class Clip(NamedTuple):
    """A clip and all that is known of it; what is not said here is as in `generator.Face`.

    Attributes:
      image: uint8[T,H,W,C].
      action_units: float32[T,U] in 0..1, those of the face at rest and the distractors (blinks, habits) included.
      resting: float32[U], the action units of the person's face at rest; FACS codes the change from them.
      landmarks: float32[T,68,2].
      intensity: float32[T], of the expression.
      onset, apex, offset: frame numbers, or -1 (see `movement.Movement`).
      pose: float32[T,3].
    """

    image: np.ndarray
    label: int
    action_units: np.ndarray
    resting: np.ndarray
    landmarks: np.ndarray
    identity: int
    intensity: np.ndarray
    onset: int
    apex: int
    offset: int
    pose: np.ndarray
    style: str
    occluder: str


class ClipPlan(NamedTuple):
    """A clip before it is drawn: one shot per frame; pose is float[T,3]."""

    label: int
    identity: int
    resting: np.ndarray
    movement: Movement
    shots: list[Shot]
    pose: np.ndarray

    def landmarks(self, size: int) -> np.ndarray:
        """Return float32[T,68,2] in pixels of frames of this size."""
        return np.stack([shot.landmarks(size) for shot in self.shots])


def generate_clip(
    index: int,
    *,
    seed: int = 0,
    size: int = 48,
    channels: int = 1,
    style: str = "a",
    emotion: int | None = None,
    identity: int | None = None,
    frames: int = 16,
    intensity: tuple[float, float] = CLIP_INTENSITY,
) -> Clip:
    """Return the index-th clip of a seed, of T = `frames`; the other arguments are those of `generator.generate`.

    `intensity` is the range that the expression's peak is drawn from. A neutral clip has only the distractors.
    """
    check(seed, size, channels, style, emotion, intensity)
    check_frames(frames)
    plan = plan_clip(
        index, seed=seed, channels=channels, emotion=emotion, identity=identity, frames=frames, intensity=intensity
    )
    noise = stream(seed, NOISE, index)
    camera = lambda: stream(seed, CAMERA, index)  # from its beginning for each frame: the same camera and background
    images = [render(camera(), shot, STYLES[style], size, channels, noise) for shot in plan.shots]
    movement = plan.movement
    return Clip(
        image=np.stack(images),
        label=plan.label,
        action_units=movement.activation.max(axis=1),
        resting=plan.resting.max(axis=0),
        landmarks=plan.landmarks(size),
        identity=plan.identity,
        intensity=movement.intensity,
        onset=movement.onset,
        apex=movement.apex,
        offset=movement.offset,
        pose=plan.pose.astype(np.float32),
        style=style,
        occluder=plan.shots[0].occluder,
    )


def check_frames(frames: int) -> None:
    """Refuse clips that are too short or too long; 0 frames are a still image.

    Raises:
      UserError: it names the limits.
    """
    if frames and not 2 <= frames <= MOST_FRAMES:
        raise UserError(f"synthetic: frames is {frames}; a clip has 2 to {MOST_FRAMES} frames (0: still images)")


def plan_clip(
    index: int,
    *,
    seed: int,
    channels: int,
    emotion: int | None,
    identity: int | None,
    frames: int,
    intensity: tuple[float, float],
) -> ClipPlan:
    """Draw who does what and from where it is seen; arguments as of `generate_clip`."""
    rng = stream(seed, CLIP, index)
    identity, emotion = draw_who(rng, identity, emotion)
    resting = _resting_of(seed, identity)
    movement = draw_movement(rng, emotion, resting, frames, intensity)
    person = person_of(seed, identity, channels)
    scene, pose = draw_scene(rng, person, movement.activation[0])
    occluder = draw_occluder(rng)
    drift = _draw_drift(rng, frames)
    poses, places = pose + drift[:, :3], drift[:, 3] + 1j * drift[:, 4]
    faces = [express(person.resting, active) for active in movement.activation]
    planes = np.stack([project(face, yaw, pitch) for face, (yaw, pitch, _) in zip(faces, poses, strict=True)])
    tilts = np.exp(1j * drift[:, 2])
    turn, shift = draw_crop(rng, planes[:, LANDMARK_INDEX] * tilts[:, None] + places[:, None], pose[2])
    lights = scene.light + drift[:, 5:].astype(np.float32)
    lights /= np.linalg.norm(lights, axis=1, keepdims=True)
    scenes = [
        replace(scene, activation=active, plane=plane, light=light)
        for active, plane, light in zip(movement.activation, planes, lights, strict=True)
    ]
    cameras = zip(scenes, (turn * tilts).tolist(), (shift + places * turn).tolist(), strict=True)
    shots = [Shot(now, occluder, turned, shifted) for now, turned, shifted in cameras]
    return ClipPlan(emotion, identity, resting, movement, shots, poses)


@lru_cache(maxsize=4096)
def _resting_of(seed: int, identity: int) -> np.ndarray:
    return draw_resting(stream(seed, RESTING, identity)).astype(np.float32)


def _draw_drift(rng: np.random.Generator, frames: int) -> np.ndarray:
    """float[T,8]: slow waves, each 0 in the first frame and a fifth to four fifths of a period long."""
    periods, phases = rng.uniform(0.2, 0.8, len(_DRIFT)), rng.uniform(0, 2 * np.pi, len(_DRIFT))
    time = np.linspace(0, 2 * np.pi, frames)[:, None]
    return _DRIFT * rng.standard_normal(len(_DRIFT)) * (np.sin(time * periods + phases) - np.sin(phases))
