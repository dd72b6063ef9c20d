"""Draw meshes: depths and normals as images, by the painter's algorithm. Shapes: V vertices, F faces, k corners."""

from collections.abc import Sequence

import cv2
import numpy as np

_SHIFT = 4  # binary places of a position in OpenCV's drawing


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the unit normals float64[F,3] of faces int[F,k] over vertices float[V,3], by their first three corners."""
    first, second, third = (vertices[faces[:, i]] for i in range(3))
    normals = np.cross(second - first, third - first)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def paint(vertices: np.ndarray, faces: np.ndarray, values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return an image uint8[H,W,C] of `size` (height, width) in which each face has its value, and the nearer ones hide
    the others.

    vertices float[V,3]: x (right) and y (down) in pixels, a larger z is nearer; faces int[F,k]; values float[F,C] in
    0..255. What no face covers is 0.
    """
    image = np.zeros((*size, values.shape[1]), np.uint8)
    corners = vertices[faces]
    places = np.rint(corners[..., :2] * 2**_SHIFT).astype(np.int32)
    colors = np.clip(np.rint(values), 0, 255)
    for i in np.argsort(corners[..., 2].mean(1)):
        cv2.fillConvexPoly(image, places[i], colors[i].tolist(), shift=_SHIFT)
    return image


def depth_values(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the depth of each face as a gray value float[F,1]: from 255 for the nearest to 1 for the farthest."""
    depth = vertices[faces][..., 2].mean(1, keepdims=True)
    return 1 + 254 * (depth - depth.min()) / max(float(np.ptp(depth)), 1e-9)


def normal_values(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the normal of each face as a color float[F,3], -1..1 as 0..255, turned towards the viewer."""
    normals = face_normals(vertices, faces)
    return 127.5 * (1 + normals * np.where(normals[:, 2:] < 0, -1, 1))
