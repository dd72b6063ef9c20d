"""Meshes of files: what is read of each format, points that lie evenly on the surface, and the data sets of them."""

import numpy as np
import pytest

from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.fields import target_column, target_fields
from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.mesh_files import depth_image, read_mesh, sample_points, to_image
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError

trimesh = pytest.importorskip("trimesh")
SIZES = (1.0, 2.0, 4.0)
VRML = """#VRML V2.0 utf8
Shape { geometry IndexedFaceSet { coord Coordinate { point [ 0 0 0, 2 0 0, 2 3 0, 0 3 1 ] }
  coordIndex [ 0, 1, 2, 3, -1 ] texCoord TextureCoordinate { point [ 0 0, 1 1 ] } texCoordIndex [ 0, 1, 0, -1 ] } }
"""


def box(path, sizes=SIZES):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(sizes).export(path)
    return path


def on_box(points, sizes=SIZES):
    """Which sides of a box in its middle the points lie on, bool[P,3]."""
    half = np.array(sizes) / 2
    assert (np.abs(points) <= half + 1e-6).all()
    return np.abs(np.abs(points) - half) < 1e-6


@pytest.mark.parametrize("suffix", ["obj", "ply", "off", "stl"])
def test_every_format_is_the_same_surface(suffix, tmp_path):
    vertices, faces = read_mesh(box(tmp_path / f"box.{suffix}"))
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(2 * (1 * 2 + 2 * 4 + 1 * 4)) and len(faces) == 12


def test_points_lie_on_the_surface_in_proportion_to_its_area_and_the_seed_draws_them(tmp_path):
    vertices, faces = read_mesh(box(tmp_path / "box.ply"))
    points = sample_points(vertices, faces, 20_000, seed=3)
    shares = on_box(points).mean(0)
    np.testing.assert_allclose(shares, np.array([16, 8, 4]) / 28, atol=0.015)  # 4 standard errors
    np.testing.assert_array_equal(points, sample_points(vertices, faces, 20_000, seed=3))
    assert (points != sample_points(vertices, faces, 20_000, seed=4)).any()


def test_parts_of_a_file_are_one_mesh_and_polygons_of_vrml_are_triangles(tmp_path):
    (tmp_path / "two.obj").write_text(
        "o a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\no b\nusemtl m\nv 0 0 5\nv 3 1 2\nf 3 4 5\n"
    )
    vertices, faces = read_mesh(tmp_path / "two.obj")
    assert len(faces) == 2 and vertices[faces].reshape(-1, 3).max(0).tolist() == [3, 1, 5]
    (tmp_path / "face.wrl").write_text(VRML)
    vertices, faces = read_mesh(tmp_path / "face.wrl")
    assert faces.tolist() == [[0, 1, 2], [0, 2, 3]] and vertices[3].tolist() == [0, 3, 1]


def test_a_point_cloud_has_some_of_its_points_and_is_drawn_as_pixels(tmp_path):
    cloud = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    trimesh.PointCloud(cloud).export(tmp_path / "cloud.ply")
    vertices, faces = read_mesh(tmp_path / "cloud.ply")
    assert len(faces) == 0
    points = sample_points(vertices, faces, 20, seed=0)
    assert len({tuple(each) for each in points.tolist()}) == 20 and {tuple(p) for p in points} <= {
        *map(tuple, vertices)
    }
    placed = to_image(vertices, 64)
    image = depth_image(placed, faces, 64)[..., 0]
    nearest = placed[placed[:, 2].argmax()]
    assert image[round(nearest[1]), round(nearest[0])] == 255 and 40 <= (image > 0).sum() <= 50
    assert np.ptp(placed[:, :2], axis=0).max() == pytest.approx(0.9 * 64)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.obj", "hello\n", "no points, or no extent"),
        (
            "a.obj",
            "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
            "a face names a point that isn't there|no mesh that can be read",
        ),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 3\n", "no mesh that can be read"),
        ("a.wrl", "#VRML V2.0 utf8\n", "no indexed face set"),
        ("a.wrl", VRML.replace("0, 1, 2, 3, -1", "0, 1, 7, -1"), "a face names a point that isn't there"),
    ],
)
def test_damaged_files_are_named(name, content, named, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=named):
        read_mesh(tmp_path / name)


def test_class_folders_of_meshes_have_points_and_depths(tmp_path):
    for word, names in (("Happy", ("a.obj", "b.ply")), ("sad", ("c.stl",))):
        for name in names:
            box(tmp_path / "faces" / word / name, (2.0, 3.0, 1.0))
    prepared = prepare("meshes", tmp_path / "faces", tmp_path / "data", name="mine", points=200, size=32)
    split = prepared.split("all")
    assert prepared.classes == BASIC and [split.classes[i] for i in split.labels] == ["happiness"] * 2 + ["sadness"]
    fields = target_fields(split.classes, split.columns, prepared.facts["notes"], split.targets)
    points = target_column("points", fields["points"], split.columns, (32, 32))
    assert points.shape == (3, 200, 3) and points.dtype == np.float32
    assert (points[0] != points[1]).any()  # drawn by the name
    np.testing.assert_allclose(np.abs(points[..., :2]).reshape(-1, 2).max(0), [0.6, 0.9], atol=0.02)
    images = decode_all(split, None, 1)[..., 0]
    assert images[0, 16, 16] > 0 and images[0, 16, 2] == 0  # higher than wide
    (tmp_path / "faces/sad/c.stl").write_text("nothing")
    with pytest.raises(UserError, match=r"sad/c.stl: no mesh"):
        prepare("meshes", tmp_path / "faces", tmp_path / "data", name="mine", points=200, size=32)
    with pytest.raises(UserError, match="points is 3; it must be from 16"):
        prepare("meshes", tmp_path / "faces", tmp_path / "data", name="mine", points=3)


def test_bu3dfe_has_expressions_of_people_by_strength(tmp_path):
    for person, code in (("F0001", "AN01WH"), ("F0001", "AN04WH"), ("F0001", "NE00WH"), ("M0044", "SU03BL")):
        path = tmp_path / f"BU_3DFE/{person}/{person}_{code}_F3D.wrl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(VRML)
        (path.parent / f"{person}_{code}_RAW.wrl").write_text("raw")
    split = prepare("bu3dfe", tmp_path, tmp_path / "data", points=16).split("all")
    assert [split.classes[i] for i in split.labels] == ["anger", "anger", "neutral", "surprise"]
    assert split.subjects.tolist() == ["F0001"] * 3 + ["M0044"] and split.keys[0] == "F0001_AN01WH_F3D"
    strong = prepare("bu3dfe", tmp_path, tmp_path / "strong", points=16, weakest=3).split("all")
    assert strong.keys.tolist() == [split.keys[i] for i in (1, 2, 3)]
    path.rename(path.with_name("M0044_XX03BL_F3D.wrl"))
    with pytest.raises(UserError, match="XX is not one of AN, DI"):
        prepare("bu3dfe", tmp_path, tmp_path / "data", points=16)
