"""Points as an input: their networks, and how they are moved and mirrored, compared with NumPy and SciPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.spatial import cKDTree

from expressnet_jax.config import default
from expressnet_jax.data.augment import augment_batch
from expressnet_jax.data.fields import Field, target_column
from expressnet_jax.data.geometry import affine, move_points
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from expressnet_jax.models import layers as layers_module
from expressnet_jax.models.landmark import LandmarkGCN, LandmarkMLP, nearest_neighbours
from expressnet_jax.models.pointnet import PointNet
from expressnet_jax.models.points import TurnToMean, normalise_points
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import make_multi_step, make_train_step, supervised
from expressnet_jax.training.targets import class_fields, class_losses
from expressnet_jax.training.validate import check_kinds
from test_heads import INDICES, write_landmarks
from weights import drawn_weights

MIRROR = (0, 2, 1, 4, 3, 5)


def cloud(*shape, seed=0):
    return np.random.default_rng(seed).normal(2, 3, shape).astype(np.float32)


# The networks.


def test_points_are_centered_and_have_a_mean_square_of_one():
    points = cloud(3, 4, 6, 2)
    points[1, :, 2, 0] = np.nan
    points[2] = np.nan
    found = np.asarray(normalise_points(points))
    known = points[1].reshape(-1, 2)[~np.isnan(points[1]).any(-1).ravel()]
    centered = known - known.mean(0)
    expected = centered / np.sqrt((centered**2).sum(1).mean())
    np.testing.assert_allclose(np.delete(found[1], 2, axis=1).reshape(-1, 2), expected.reshape(-1, 2), atol=1e-5)
    assert not found[2].any() and not found[1, :, 2].any()
    # Neither place nor size counts, but the motion between the frames does.
    np.testing.assert_allclose(normalise_points(7 * points[:1] - 3), found[:1], atol=1e-5)
    assert np.abs(np.diff(found[0].mean(1), axis=0)).max() > 0.01


def test_the_graph_joins_each_point_to_its_nearest():
    places = cloud(2, 9, 3)
    _, expected = cKDTree(places[1]).query(places[1], k=4)
    graph = np.asarray(nearest_neighbours(places, 3))[1]
    np.testing.assert_allclose(graph.sum(1), 1, rtol=1e-6)
    assert [set(np.flatnonzero(row)) for row in graph] == [set(row.tolist()) for row in expected]


def turned_to(x, shape):
    """By the singular value decomposition (Kabsch 1976), in the plane."""
    turned = []
    for each in x:
        u, _, v = np.linalg.svd(each.T @ shape)
        flip = np.diag([1, np.sign(np.linalg.det(u @ v))])
        turned.append(each @ u @ flip @ v)
    return np.stack(turned)


def test_faces_are_turned_to_the_mean_shape_which_training_follows():
    x, shape = np.asarray(normalise_points(cloud(3, 5, 2))), cloud(5, 2, seed=1)
    variables = {"batch_stats": {"shape": shape}}
    found, updated = TurnToMean().apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(found, turned_to(x, shape), atol=1e-5)
    expected = 0.9 * shape + 0.1 * np.asarray(found).mean(0)
    np.testing.assert_allclose(updated["batch_stats"]["shape"], expected, rtol=1e-5)
    # All frames of a track turn alike, what is deep stays, and an example without points as well.
    track = np.stack([x, x], axis=1)
    np.testing.assert_allclose(TurnToMean().apply(variables, track)[:, 1], found, atol=1e-5)
    assert not np.asarray(TurnToMean().apply(variables, np.zeros_like(x))).any()
    untouched = {"batch_stats": {"shape": np.zeros_like(shape)}}
    np.testing.assert_array_equal(TurnToMean().apply(untouched, x), x)


def test_a_graph_convolution_is_its_formula():
    points = cloud(2, 6, 2)
    module = LandmarkGCN(widths=(4,), neighbours=2, readout=3, features=5)
    variables = drawn_weights(module, points.shape)
    params, stats = variables["params"], variables["batch_stats"]

    def norm(x, name):
        mean, var = stats[name]["mean"], stats[name]["var"]
        return (x - mean) / np.sqrt(var + 1e-5) * params[name]["scale"] + params[name]["bias"]

    places = turned_to(np.asarray(normalise_points(points)), stats["turn"]["shape"])
    which = np.broadcast_to(params["which"]["embedding"], (2, 6, 8))
    x = np.concatenate([norm(places.reshape(2, -1), "norm_points").reshape(2, 6, 2), places, which], -1)
    _, near = zip(*(cKDTree(each).query(each, k=3) for each in places), strict=True)
    mean = np.stack([each[indices].mean(1) for each, indices in zip(x, near, strict=True)])
    x = np.maximum(norm(x @ params["own_1"]["kernel"] + mean @ params["near_1"]["kernel"], "norm_1"), 0)
    x = (x @ params["readout"]["kernel"] + params["readout"]["bias"]).reshape(2, -1)
    dense = params["features_dense_1"]
    expected = np.maximum(norm(x @ dense["kernel"] + dense["bias"], "features_norm_1"), 0)
    np.testing.assert_allclose(jax.jit(module.apply)(variables, points), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("transform", [False, True])
def test_pointnet_does_not_see_the_order_of_the_points(transform):
    points = cloud(2, 20, 3)
    module = PointNet(widths=(4, 6), hidden=(5,), transform=transform)
    variables = drawn_weights(module, points.shape)
    apply = jax.jit(partial(module.apply, variables))
    found, order = apply(points), np.random.default_rng(0).permutation(20)
    np.testing.assert_allclose(apply(points[:, order]), found, rtol=1e-4, atol=1e-5)
    assert np.abs(found - apply(points * [1, 1, 2])).max() > 1e-3


def test_the_transform_of_pointnet_begins_as_the_identity():
    points = cloud(2, 20, 3)
    module, plain = (PointNet(widths=(4,), hidden=(5,), transform=each) for each in (True, False))
    variables = jax.jit(module.init)(jax.random.key(0), points)
    params = {name: each for name, each in variables["params"].items() if name != "t_net"}
    stats = {name: each for name, each in variables["batch_stats"].items() if name != "t_net"}
    expected = jax.jit(plain.apply)({"params": params, "batch_stats": stats}, points)
    np.testing.assert_allclose(jax.jit(module.apply)(variables, points), expected, rtol=1e-5, atol=1e-6)


def test_faces_that_are_missing_have_no_part_in_the_statistics_and_lie_at_the_mean():
    points = cloud(6, 5, 2)
    points[4:] = np.nan
    module = LandmarkMLP(widths=())
    variables = jax.jit(module.init)(jax.random.key(0), points)
    run = jax.jit(lambda x: module.apply(variables, x, True, mutable=["batch_stats"]))
    (found, updated), (alone, expected) = run(points), run(points[:4])
    np.testing.assert_allclose(found[:4], alone, rtol=1e-4, atol=1e-5)
    assert not np.asarray(found[4:]).any()
    norm = lambda each: each["batch_stats"]["norm_points"]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), norm(updated), norm(expected))


def test_a_point_that_a_whole_batch_lacks_keeps_its_statistics():
    points = cloud(6, 5, 2)
    points[:, 3] = np.nan
    module = LandmarkMLP(widths=())
    variables = jax.jit(module.init)(jax.random.key(0), points)
    found, updated = jax.jit(lambda x: module.apply(variables, x, True, mutable=["batch_stats"]))(points)
    assert np.isfinite(found).all() and not np.asarray(found).reshape(6, 5, 2)[:, 3].any()
    for name, value in updated["batch_stats"]["norm_points"].items():
        before = variables["batch_stats"]["norm_points"][name]
        same = np.isclose(value, before).reshape(5, 2).all(1)
        assert same.tolist() == [False, False, False, True, False]


def test_landmarks_are_learned_on_a_gpu_too(monkeypatch):
    monkeypatch.setattr(layers_module, "few_kernels", lambda: True)
    points = cloud(6, 5, 2)
    points[4:] = np.nan
    module = LandmarkMLP(widths=(3,))
    variables = jax.jit(module.init)(jax.random.key(0), points)
    found, _ = jax.jit(lambda x: module.apply(variables, x, True, mutable=["batch_stats"]))(points)
    monkeypatch.undo()
    expected, _ = jax.jit(lambda x: module.apply(variables, x, True, mutable=["batch_stats"]))(points)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_dropped_points_are_the_mean_face_and_only_in_training():
    points = cloud(4, 6, 2)
    module = LandmarkMLP(widths=(), point_dropout=0.5)
    variables = {"params": {"norm_points": {"scale": jnp.ones(12), "bias": jnp.zeros(12)}}}
    stats = {"norm_points": {"mean": jnp.zeros(12), "var": jnp.ones(12)}, "turn": {"shape": jnp.zeros((6, 2))}}
    variables |= {"batch_stats": stats}
    run = lambda rate: module.clone(point_dropout=rate).apply(
        variables, points, True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(1)}
    )[0]
    whole, dropped = (np.asarray(run(rate)).reshape(4, 6, 2) for rate in (0.0, 0.5))
    gone = (dropped == 0).all(-1)
    assert 0 < gone.sum() < gone.size
    np.testing.assert_allclose(dropped[~gone], whole[~gone], rtol=1e-6)
    seen = module.apply(variables, points)
    np.testing.assert_allclose(seen, normalise_points(points).reshape(4, -1) / np.sqrt(1 + 1e-5), rtol=1e-5)


# Their augmentation.


def test_points_in_space_turn_in_the_image_and_keep_their_form():
    points, angle = cloud(2, 6, 3), np.deg2rad(30)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = affine(horizontal=cosine / 2, vertical=cosine / 2, shear_x=-sine / 2, shear_y=sine / 2)
    moved = np.asarray(move_points(points, jnp.tile(turn, (2, 1, 1)), (), (2, 2)))
    # An output position is read at half its distance, turned by 30 degrees: so all grows to twice its size.
    expected = 2 * points @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-4)


def test_points_without_an_image_are_mirrored_with_left_and_right_exchanged():
    batch = {"landmarks": cloud(64, 6, 3), "expression": np.arange(64) % 3}
    fields = class_fields(3) | {"landmarks": Field("points", (6, 3), mirror=MIRROR)}
    keys = (jax.random.key(0), jax.random.key(1))
    found = np.asarray(augment_batch(keys, batch, fields, {"flip": 0.5}, jnp.int32(0))["landmarks"])
    expected = batch["landmarks"][:, list(MIRROR)] * [-1, 1, 1]
    same = np.isclose(found, batch["landmarks"], atol=1e-5).all((1, 2))
    mirrored = np.isclose(found, expected, atol=1e-5).all((1, 2))
    assert (same | mirrored).all() and 16 < mirrored.sum() < 48


def test_a_step_of_points_is_the_same_on_four_devices(mesh_of):
    model = create_model("landmark_mlp", 3, input="landmarks", widths=(4,))
    fields = class_fields(3) | {"landmarks": Field("points", (6, 2), mirror=MIRROR)}
    program = supervised(model, class_losses(3), {"flip": 0.5, "rotate": 10.0}, fields)
    optimizer = optax.sgd(0.1)
    step = make_multi_step(make_train_step(program, optimizer, lambda count: 0.1))
    batch = {"landmarks": cloud(8, 6, 2), "expression": np.arange(8, dtype=np.int32) % 3}
    after = []
    for devices in (1, 4):
        mesh = mesh_of(devices)
        place = lambda x, mesh=mesh: jax.device_put(x[None], jax.NamedSharding(mesh, jax.P(None, "data")))
        state = init_state(make_init_fn(model, {"landmarks": (6, 2)}), optimizer, mesh)
        state, _ = step(state, None, jax.tree.map(place, batch), 0)
        after.append(jax.device_get(state.params))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), *after)


@pytest.mark.parametrize("key", ["pad", "brightness"])
def test_what_points_do_not_have_is_refused(key):
    config = default()
    config.model.name, config.data.inputs = "landmark_mlp", ("landmarks",)
    config.augment.update(flip=0.5, rotate=5.0, zoom=0.1)
    check_kinds(config)
    config.augment[key] = 1
    with pytest.raises(UserError, match=f"augment.{key}: changes images, but the network takes landmarks"):
        check_kinds(config)


# FER2013's.


def test_fer2013_with_landmarks_in_space(tmp_path):
    labels, usages = [3, 0, 1, 6], ["Training", "Training", "PublicTest", "PublicTest"]
    rows = [f"{label},{' '.join(['7'] * 2304)},{usage}" for label, usage in zip(labels, usages, strict=True)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    with pytest.raises(UserError, match=r"there is no fer2013_landmarks.npz next to one in "):
        prepare("fer2013", tmp_path, tmp_path / "data", landmarks=True)
    arrays = write_landmarks(tmp_path, usages, labels)
    prepared = prepare("fer2013", tmp_path, tmp_path / "data", landmarks=True)
    field = prepared.targets["landmarks"]
    assert field.shape == (len(INDICES), 3) and list(prepared.targets) == ["landmarks", "blendshapes"]
    split = prepared.split("validation")
    found = target_column("landmarks", field, split.columns, (48, 48))
    # 60 pixels are 256 there, and half of the image's 48 is 1.
    expected = (arrays["points146"][2].astype(float) - [128, 128, 0]) * 60 / 256 / 24
    np.testing.assert_allclose(found[0], expected, atol=0.003)
    assert np.isnan(found[1]).all() and prepared.facts["notes"]["landmarks of validation"].startswith("none of 1 ")
