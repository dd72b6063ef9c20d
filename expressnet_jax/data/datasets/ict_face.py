"""Faces in space, generated from the ICT Face Model Light (Li et al. 2020, Learning formation of physically-based face
attributes): neutral + identity shapes times N(0, 1) + expression shapes times 0..1.

Layout: ict_face_narrow.npz with `neutral` [V,3], `identity` [I,V,3], `expression` [E,V,3] with `expression_names`,
`quads` [F,4] and `idx_to_landmark_verts` [68]; x to the right, y up, z towards the viewer.
"""

import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.spatial.transform import Rotation

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.locate import ARRAYS, locate
from expressnet_jax.data.fields import MIRROR_68
from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.mesh import depth_values, face_normals, normal_values, paint
from expressnet_jax.errors import UserError, one_line

NAME = "ict_face_narrow.npz"
NEEDED = ("neutral", "identity", "expression", "expression_names", "quads", "idx_to_landmark_verts")
# How far each shape goes at full intensity; of both sides where a name has two (after Ekman & Friesen 1978's units).
RECIPES: dict[str, dict[str, float]] = {
    "anger": {"browDown": 1.0, "eyeSquint": 0.4, "mouthPress": 0.6, "noseSneer": 0.4},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.4, "mouthShrugLower": 0.3},
    "fear": {"browInnerUp": 0.9, "browOuterUp": 0.4, "eyeWide": 0.8, "mouthStretch": 0.7, "jawOpen": 0.2},
    "happiness": {"mouthSmile": 1.0, "cheekSquint": 0.7, "jawOpen": 0.1},
    "sadness": {"browInnerUp": 0.7, "mouthFrown": 0.8, "mouthShrugLower": 0.4, "eyeSquint": 0.2},
    "surprise": {"browInnerUp": 0.7, "browOuterUp": 0.9, "eyeWide": 0.7, "jawOpen": 0.5},
    "neutral": {},
}
INTENSITY = (0.25, 1.0)
SIDES = ("_L", "_R")
_FILL = 0.9  # of the image's height that the neutral face takes


class IctFace(FaceBuilder, skip_registration=True):
    """Seven expressions of generated people: an image of depths or normals, `points` of the surface in no order,
    `landmarks` (68, in space) and `pose` (pitch, yaw, roll in degrees).

    How strongly a person moves which shape, and how unevenly, is the person's; every example has an intensity of
    its own, and further shapes that say nothing. Options: `people`, `each` (examples a person and class), `size` of the
    image in pixels, `image` (depth or normal), `points` (how many), `turn` (the largest pitch and yaw in degrees; the
    roll is a third), `noise` (standard deviation of the points, in the model's centimeters), `seed`.
    """

    name = "ict_face"
    CLASSES = BASIC
    LICENSE = "MIT, USC Institute for Creative Technologies; the faces are generated."
    HOW_TO_GET = (
        f"Give {NAME}, or the folder that holds it, with --source; github.com/ICT-VGL/ICT-FaceKit has the model"
    )
    FILES: ClassVar = (ARRAYS,)
    OPTIONS: ClassVar = {
        "people": 100,
        "each": 4,
        "size": 48,
        "image": "depth",
        "points": 256,
        "turn": 15.0,
        "noise": 0.1,
        "seed": 0,
    }

    @property
    def CHANNELS(self) -> int:
        if self.options["image"] not in ("depth", "normal"):
            raise UserError(f"{self.name}: image is {self.options['image']!r}, not depth or normal")
        return 1 if self.options["image"] == "depth" else 3

    @property
    def SIZE(self) -> tuple[int, int]:
        return self.options["size"], self.options["size"]

    @property
    def COLUMNS(self) -> dict:
        shapes = {"points": (self.options["points"], 3), "landmarks": (len(MIRROR_68), 3), "pose": (3,)}
        return {"subject": ((), str)} | {name: (shape, np.float16) for name, shape in shapes.items()}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the model is there."""
        return (folder / NAME).is_file()

    @cached_property
    def _model(self) -> dict[str, np.ndarray]:
        path = self.source if self.source.is_file() else locate(self, self.source, f"no {NAME}") / NAME
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in NEEDED}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path.name}: not the arrays {', '.join(NEEDED)} ({one_line(error)})") from error

    def read(self, source: Path) -> dict[str, list[Record]]:
        """Return all examples, person by person, in the one split "all"."""
        shapes = _shapes_of_names(self._model["expression_names"].tolist())
        if lacking := sorted({unit for recipe in RECIPES.values() for unit in recipe} - shapes.keys()):
            raise UserError(f"{NAME}: has no shape {lacking[0]}; get the model again")
        return {"all": [record for i in range(self.options["people"]) for record in self._person(i, shapes)]}

    def _person(self, number: int, shapes: dict[str, list[int]]) -> Iterator[Record]:
        rng, model = np.random.default_rng((self.options["seed"], number)), self._model
        resting = model["neutral"] + np.tensordot(rng.normal(size=len(model["identity"])), model["identity"], 1)
        habit = rng.lognormal(0, 0.35, len(model["expression"]))
        for label, name in enumerate(BASIC):
            for take in range(self.options["each"]):
                strengths = _draw_strengths(rng, RECIPES[name], shapes, habit)
                moved = resting + np.tensordot(strengths, model["expression"], 1)
                yield self._record(rng, moved, f"p{number:03d} {name} {take}", label, f"p{number:03d}")

    def _record(self, rng: np.random.Generator, vertices: np.ndarray, key: str, label: int, subject: str) -> Record:
        turn, size, faces = self.options["turn"], self.options["size"], self._model["quads"]
        pose = rng.uniform(-1, 1, 3) * [turn, turn, turn / 3]
        placed = to_pixels(vertices, self._model["neutral"], pose, size)
        values = depth_values(placed, faces) if self.CHANNELS == 1 else normal_values(placed, faces)
        per_cm = _FILL * size / np.ptp(self._model["neutral"][:, 1])
        seen = np.unique(faces[face_normals(placed, faces)[:, 2] < 0])  # y points down, so fronts turn the other way
        seen = seen if len(seen) else np.arange(len(placed))
        cloud = placed[rng.choice(seen, self.options["points"], replace=len(seen) < self.options["points"])]
        marks = placed[self._model["idx_to_landmark_verts"]]
        noisy = lambda points: points + rng.normal(0, self.options["noise"] * per_cm, points.shape)
        extras = {"points": noisy(cloud), "landmarks": noisy(marks), "pose": pose}
        return Record(key, paint(placed, faces, values, (size, size)), label, subject=subject, extras=extras)


def _shapes_of_names(names: list[str]) -> dict[str, list[int]]:
    """Return which shapes a name without its side stands for: browDown -> those of browDown_L and browDown_R."""
    found: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        found.setdefault(name.removesuffix(SIDES[0]).removesuffix(SIDES[1]), []).append(position)
    return found


def _draw_strengths(
    rng: np.random.Generator, recipe: dict[str, float], shapes: dict[str, list[int]], habit: np.ndarray
) -> np.ndarray:
    """Return how far each of E shapes goes in one example, float64[E] in 0..1; `habit` [E] are the person's factors."""
    strengths = np.zeros(len(habit))
    intensity = rng.uniform(*INTENSITY)
    for unit, full in recipe.items():
        strengths[shapes[unit]] = full * intensity * rng.lognormal(0, 0.2) * habit[shapes[unit]]
    others = rng.choice(len(habit), min(6, len(habit)), replace=False)
    strengths[others] += rng.uniform(0, 0.25, len(others))
    return np.clip(strengths, 0, 1)


def to_pixels(vertices: np.ndarray, neutral: np.ndarray, pose: np.ndarray, size: int) -> np.ndarray:
    """Return vertices float[V,3] as they are seen: turned about the middle of the neutral face by `pose` (pitch, yaw,
    roll in degrees), x right and y down in pixels of an image of `size`, z towards the viewer in pixels."""
    middle = (neutral.min(0) + neutral.max(0)) / 2
    turned = Rotation.from_euler("xyz", pose, degrees=True).apply(vertices - middle)
    scale = _FILL * size / np.ptp(neutral[:, 1])
    return turned * scale * [1, -1, 1] + [(size - 1) / 2, (size - 1) / 2, 0]
