"""Files of meshes and point clouds: read, placed in an image, sampled. Shapes: V vertices, F faces, P points."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.mesh import depth_values, paint
from expressnet_jax.errors import UserError, one_line

SUFFIXES = (".obj", ".ply", ".off", ".stl", ".wrl")
INSTALL = "pip install 'expressnet-jax[mesh]'"
_FILL = 0.9  # of the image's side that a mesh takes
_POINTS = re.compile(r"\bCoordinate\s*\{\s*point\s*\[([^\]]*)\]")  # not of a TextureCoordinate
_INDICES = re.compile(r"\bcoordIndex\s*\[([^\]]*)\]")


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices float64[V,3] of a file and its triangles int64[F,3]; a point cloud has no triangles.

    OBJ, PLY, OFF and STL are read by trimesh, the one indexed face set of VRML 2.0 here. Materials are not looked at.

    Raises:
      UserError: trimesh is missing, or the file is damaged or empty.
    """
    trimesh = import_trimesh()
    try:
        if path.suffix.lower() == ".wrl":
            return _read_vrml(path.read_text(encoding="utf-8", errors="replace"))
        options = {"skip_materials": True} if path.suffix.lower() == ".obj" else {}
        loaded = trimesh.load(str(path), process=False, **options)
        if parts := list(getattr(loaded, "geometry", {}).values()):
            loaded = trimesh.util.concatenate(parts)
        vertices = np.asarray(getattr(loaded, "vertices", np.zeros((0, 3))), np.float64)
        faces = np.asarray(getattr(loaded, "faces", np.zeros((0, 3))), np.int64)
    except Exception as error:  # trimesh raises many kinds
        raise UserError(f"no mesh that can be read ({one_line(error)})") from error
    return _checked(vertices, faces)


def import_trimesh() -> Any:
    """Return the module trimesh.

    Raises:
      UserError: the package of the extra `mesh` is missing.
    """
    try:
        import trimesh
    except ImportError as error:
        raise UserError(f"meshes need {error.name}; {INSTALL}") from error
    return trimesh


def _checked(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raise UserError for a mesh without extent, or whose faces name vertices that aren't there."""
    if len(vertices) < 3 or not np.isfinite(vertices).all() or not np.ptp(vertices[:, :2], axis=0).all():
        raise UserError("no mesh: it has no points, or no extent")
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise UserError("no mesh: a face names a point that isn't there")
    return vertices, faces


def _read_vrml(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first indexed face set of a VRML file; polygons become fans of triangles."""
    if not (points := _POINTS.search(text)) or not (indices := _INDICES.search(text)):
        raise UserError("no indexed face set")
    vertices = np.array(points[1].replace(",", " ").split(), np.float64).reshape(-1, 3)
    polygons = [list(map(int, part.split())) for part in indices[1].replace(",", " ").split("-1")]
    fans = [(each[0], *pair) for each in polygons for pair in pairwise(each[1:])]
    return _checked(vertices, np.array(fans, np.int64).reshape(-1, 3))


def to_image(vertices: np.ndarray, size: int) -> np.ndarray:
    """Return vertices float[V,3] (x right, y up, z towards the viewer) in the pixels of an image of `size`: centred by
    their bounding box and scaled to fit, x right and y down, z in pixels, a larger one nearer."""
    low, high = vertices.min(0), vertices.max(0)
    scale = _FILL * size / (high - low)[:2].max()
    middle = np.array([(size - 1) / 2, (size - 1) / 2, 0.0])
    return (vertices - (low + high) / 2) * scale * [1, -1, 1] + middle


def sample_points(vertices: np.ndarray, faces: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return P points float64[P,3], spread evenly over the surface; of a point cloud some of its points. The seed alone
    draws them."""
    if not len(faces):
        rng = np.random.default_rng(seed)
        return vertices[rng.choice(len(vertices), count, replace=len(vertices) < count)]
    trimesh = import_trimesh()
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    return np.asarray(trimesh.sample.sample_surface(mesh, count, seed=seed)[0])


def depth_image(vertices: np.ndarray, faces: np.ndarray, size: int) -> np.ndarray:
    """Return the depths of a mesh in an image's pixels as uint8[H,W,1]: 255 the nearest, 0 where there is none.

    Of a point cloud every point is one pixel.
    """
    if len(faces):
        return paint(vertices, faces, depth_values(vertices, faces), (size, size))
    image = np.zeros((size, size, 1), np.uint8)
    near_last = vertices[np.argsort(vertices[:, 2])]
    x, y = np.clip(np.rint(near_last[:, :2]), 0, size - 1).astype(int).T
    depth = near_last[:, 2]
    image[y, x, 0] = np.rint(1 + 254 * (depth - depth[0]) / max(float(depth[-1] - depth[0]), 1e-9))
    return image
