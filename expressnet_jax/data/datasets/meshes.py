"""`meshes`: your own meshes or point clouds in class-named folders.

ROOT/CLASS/*.obj|ply|off|stl|wrl                     no official split: the split is "all"
ROOT/train|validation|test/CLASS/*.obj|...
"""

import abc
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from expressnet_jax.data.datasets.bad_images import BadImage
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.class_folders import split_folders
from expressnet_jax.data.datasets.folder import class_names
from expressnet_jax.data.datasets.locate import contents
from expressnet_jax.data.labels import canonical
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.data.mesh_files import SUFFIXES, depth_image, import_trimesh, read_mesh, sample_points, to_image
from expressnet_jax.errors import UserError, printable
from expressnet_jax.parallel import InOrder

MESH_OPTIONS: dict[str, Any] = {"points": 1024, "size": 48, "seed": 0}
_LIMITS = {"points": (16, 16_384), "size": (28, 512), "seed": (0, 2**31 - 1)}


@dataclass(frozen=True)
class MeshFile:
    """A labelled mesh."""

    key: str
    path: Path
    label: int
    subject: str = ""


class MeshBuilder(FaceBuilder, skip_registration=True):
    """Meshes as `points` float16[P,3], spread over the surface, in pixels of a small image of their depths.

    Options: `points` (P), `size` of the image in pixels, `seed`. A mesh is centred and scaled to the image; x is to the
    right, y up and z towards the viewer. A subclass implements `meshes`.
    """

    CHANNELS = 1
    OPTIONS: ClassVar = MESH_OPTIONS

    @property
    def SIZE(self) -> tuple[int, int]:
        return self.options["size"], self.options["size"]

    @property
    def COLUMNS(self) -> dict:
        return {"subject": ((), str), "points": ((self.options["points"], 3), np.float16)}

    @abc.abstractmethod
    def meshes(self, source: Path) -> Mapping[str, Sequence[MeshFile]]:
        """Return the meshes of each official split, or of "all"."""

    def read(self, source: Path) -> Mapping[str, Sequence[Record]]:
        """Return the records, each made when it is asked for."""
        for option, (low, high) in _LIMITS.items():
            if not low <= self.options[option] <= high:
                raise UserError(f"{self.name}: {option} is {self.options[option]}; it must be from {low} to {high}")
        import_trimesh()
        make = partial(_record, self.name, *(self.options[name] for name in MESH_OPTIONS))
        return {split: InOrder(make, files) for split, files in self.meshes(source).items()}


def _record(name: str, points: int, size: int, seed: int, mesh: MeshFile) -> Record:
    try:
        vertices, faces = read_mesh(mesh.path)
    except (UserError, OSError) as error:
        raise BadImage(f"{name}: {mesh.key}", mesh.key, str(error)) from error
    placed = to_image(vertices, size)
    own = int.from_bytes(hashlib.sha256(f"{seed} {mesh.key}".encode()).digest()[:4])
    extras = {"points": sample_points(placed, faces, points, own)}
    return Record(mesh.key, depth_image(placed, faces, size), mesh.label, subject=mesh.subject, extras=extras)


class Meshes(MeshBuilder, skip_registration=True):
    """Meshes with labels of the user's own; class names are those of `folder`."""

    name = "meshes"
    LICENSE = "The user's own meshes; whoever prepares them knows their terms."
    HOW_TO_GET = f"Give a folder with one folder of {', '.join(SUFFIXES)} files for each class with --source"
    OPTIONS: ClassVar = {"name": "meshes", "labels": "auto", **MESH_OPTIONS}

    def __init__(self, *, options: dict | None = None, **kwargs) -> None:
        self.name = (options or {}).get("name", "meshes")
        super().__init__(options=options, **kwargs)

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether folders with meshes are there."""
        return folder.is_dir() and len({path.parent for path in _mesh_files(folder, "*/*")}) > 1

    @cached_property
    def CLASSES(self) -> tuple[str, ...]:
        return class_names(
            {path.parent.name for files in self._files.values() for path in files}, self.options["labels"]
        )

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        if not self.source.is_dir():
            raise self.missing(f"{self.source} is no folder")
        splits = split_folders(self.source) or {"all": self.source}
        found = {split: _mesh_files(folder, "*/*") for split, folder in splits.items()}
        if empty := [folder for split, folder in splits.items() if not found[split]]:
            raise self.missing(f"no class folders with meshes in {empty[0]}{contents(empty[0])}")
        return found

    def meshes(self, source: Path) -> Mapping[str, Sequence[MeshFile]]:
        """Return the files of each split by class and name."""
        return {split: [self._labelled(path) for path in files] for split, files in self._files.items()}

    def _labelled(self, path: Path) -> MeshFile:
        word = path.parent.name
        label = self.CLASSES.index(word if word in self.CLASSES else canonical(word) or word)
        return MeshFile(printable(path.relative_to(self.source).as_posix()), path, label)


def _mesh_files(folder: Path, pattern: str) -> list[Path]:
    return sorted(
        path for path in no_litter(folder.glob(pattern)) if path.suffix.lower() in SUFFIXES and path.is_file()
    )
