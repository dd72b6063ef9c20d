"""Generated faces in space: what a small morphable model gives, and the images that are drawn of it."""

import numpy as np
import pytest

from expressnet_jax.data.datasets.ict_face import RECIPES, to_pixels
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.fields import MIRROR_68, target_fields
from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.mesh import depth_values, face_normals, normal_values, paint
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError

SIDE = 9
UNITS = sorted({unit for recipe in RECIPES.values() for unit in recipe})
NAMES = [f"{unit}{side}" for unit in UNITS for side in ("_L", "_R")]


def write_model(folder, **changes):
    """A curved sheet of 9x9 vertices; each shape moves one vertex of it forward."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    neutral = np.stack([8 * x, 10 * y, 3 - 3 * x**2], -1).reshape(-1, 3)
    shapes = np.zeros((len(NAMES), len(neutral), 3))
    shapes[np.arange(len(NAMES)), np.arange(len(NAMES)), 2] = 1
    corner = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)[:-1, :-1].ravel()
    arrays = {
        "neutral": neutral,
        "identity": np.random.default_rng(0).normal(0, 0.1, (3, *neutral.shape)),
        "expression": shapes,
        "expression_names": np.array(NAMES),
        "quads": np.stack([corner, corner + 1, corner + SIDE + 1, corner + SIDE], -1),
        "idx_to_landmark_verts": np.arange(68),
    }
    np.savez(folder / "ict_face_narrow.npz", **(arrays | changes))
    return arrays | changes


def test_people_have_seven_expressions_with_points_landmarks_and_depths(tmp_path):
    model = write_model(tmp_path)
    options = {"people": 3, "each": 2, "size": 32, "points": 50, "noise": 0.0}
    split = prepare("ict_face", tmp_path, tmp_path / "data", **options).split("all")
    assert len(split) == 3 * 7 * 2 and len(set(split.subjects)) == 3
    assert np.bincount(split.labels).tolist() == [6] * 7 and split.classes == BASIC
    fields = target_fields(split.classes, split.columns, None, split.targets)
    assert fields["landmarks"].shape == (68, 3) and fields["landmarks"].mirror == MIRROR_68
    marks, points, pose = (split.columns[name].astype(float) for name in ("landmarks", "points", "pose"))
    assert np.abs(pose).max() <= 15 and np.ptp(pose[:, 0]) > 10
    # Without noise the landmarks and points are vertices: those of one example are the same set.
    nearest = np.linalg.norm(points[0][:, None] - marks[0][None], axis=-1).min(1)
    assert (nearest < 0.02).mean() > 0.6
    # The way back: a turn by the pose's inverse brings the first person's neutral faces together.
    images = decode_all(split, None, 1, 1)
    assert images.shape == (42, 32, 32, 1) and 0.4 < (images > 0).mean() < 0.95
    neutral = np.flatnonzero((split.labels == BASIC.index("neutral")) & (split.subjects == "p000"))
    for i in neutral:
        back = np.linalg.lstsq(np.c_[model["neutral"][:68], np.ones(68)], marks[i], rcond=None)[0]
        scale = np.linalg.svd(back[:3])[1]
        np.testing.assert_allclose(scale, 0.9 * 32 / 20, rtol=0.15)  # a turn times the scale, but for the identity


def test_the_same_seed_gives_the_same_people(tmp_path):
    write_model(tmp_path)
    options = {"people": 1, "each": 1, "size": 32, "points": 20, "image": "normal"}
    first, second = (prepare("ict_face", tmp_path, tmp_path / str(i), **options).split("all") for i in range(2))
    np.testing.assert_array_equal(first.columns["points"], second.columns["points"])
    assert decode_all(first, None, 3, 1).shape == (7, 32, 32, 3)


def test_what_is_no_model_is_refused(tmp_path):
    write_model(tmp_path, expression_names=np.array([f"x{i}" for i in range(len(NAMES))]))
    with pytest.raises(UserError, match="has no shape browDown"):
        prepare("ict_face", tmp_path, tmp_path / "data")
    with pytest.raises(UserError, match="image is 'mesh', not depth or normal"):
        prepare("ict_face", tmp_path, tmp_path / "data", image="mesh")
    (tmp_path / "ict_face_narrow.npz").write_bytes(b"torn")
    with pytest.raises(UserError, match="not the arrays neutral, identity"):
        prepare("ict_face", tmp_path, tmp_path / "data")


def test_a_tilted_plane_has_its_depths_and_its_normal():
    steps = np.arange(21.0)
    x, y = (each.ravel() for each in np.meshgrid(steps, steps))
    vertices = np.stack([x, y, 0.5 * x], -1)
    corner = np.arange(21 * 21).reshape(21, 21)[:-1, :-1].ravel()
    faces = np.stack([corner, corner + 1, corner + 22, corner + 21], -1)
    normals = face_normals(vertices, faces)
    np.testing.assert_allclose(normals, np.tile(np.array([-0.5, 0, 1]) / np.sqrt(1.25), (400, 1)), atol=1e-9)
    np.testing.assert_allclose(normal_values(vertices, faces)[0], 127.5 * (1 + normals[0]))
    image = paint(vertices, faces, depth_values(vertices, faces), (21, 21))[5, 2:18, 0].astype(float)
    np.testing.assert_allclose(np.diff(image), 254 / 19, atol=1)  # 20 faces from the farthest to the nearest
    assert image[0] < image[-1]


def test_the_nearer_face_hides_the_other():
    square = np.array([[2, 2], [8, 2], [8, 8], [2, 8]], float)
    vertices = np.concatenate([np.c_[square, np.full(4, z)] for z in (3.0, 1.0)])
    faces = np.arange(8).reshape(2, 4)
    for order in (faces, faces[::-1]):
        values = np.where(order[:, :1] == 0, 200.0, 100.0)
        image = paint(vertices, order, values, (11, 11))
        assert image[5, 5, 0] == 200 and image[0, 0, 0] == 0


def test_a_turn_is_seen_from_the_front():
    neutral = np.array([[-5.0, -10, 0], [5, 10, 0], [0, 10, 0]])
    found = to_pixels(neutral, neutral, np.array([0.0, 90, 0]), 41)
    # The right end turns away by 90 degrees of yaw: all have the same x, and the tops are above the bottom.
    np.testing.assert_allclose(found[:, 0], 20, atol=1e-9)
    assert found[0, 1] > found[1, 1] and found[1, 2] < found[0, 2]
