"""Where arrays lie on four devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from expressnet_jax.errors import UserError
from expressnet_jax.models.network import image_classifier
from expressnet_jax.models.plain_cnn import PlainCNN
from expressnet_jax.training.mesh import SHARD_FROM, check_batch, make_mesh, state_shardings
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.state import init_state, make_init_fn

DEVICES = jax.device_count()


@pytest.mark.parametrize(
    ("axes", "shape"), [((-1, 1), (4, 1)), ((4, 1), (4, 1)), ((-1, 2), (2, 2)), ((2, 2), (2, 2)), ((-1, 4), (1, 4))]
)
def test_a_mesh_covers_all_devices(axes, shape):
    mesh = make_mesh(*axes)
    assert mesh.axis_names == ("data", "model") and mesh.devices.shape == shape
    assert len(set(mesh.devices.flat)) == DEVICES == 4


@pytest.mark.parametrize(
    ("axes", "key"),
    [((3, 1), "data"), ((8, 1), "data"), ((0, 1), "data"), ((-2, 2), "data"), ((-1, 3), "model"), ((-1, 0), "model")],
)
def test_axes_that_do_not_fit_are_refused(axes, key):
    with pytest.raises(UserError, match=rf"mesh\.{key}"):
        make_mesh(*axes)


def test_a_model_axis_across_processes_is_refused(monkeypatch):
    """Processes feed disjoint shares of the batch, so no two may hold the same place on the data axis."""
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    assert make_mesh(-1, 2).shape["model"] == 2
    with pytest.raises(UserError, match=r"mesh.model: 4 does not divide the 2 devices of a process"):
        make_mesh(-1, 4)


@pytest.mark.parametrize(("batch", "accumulate", "fits"), [(8, 1, True), (8, 2, True), (8, 4, False), (6, 1, False)])
def test_a_batch_must_divide_into_slices_and_devices(batch, accumulate, fits):
    if fits:
        check_batch(batch, accumulate, make_mesh())
    else:
        with pytest.raises(UserError, match=f"train.batch_size: {batch} .*multiple of {4 * accumulate}"):
            check_batch(batch, accumulate, make_mesh())


@pytest.mark.parametrize("batch", [0, -4, 2])
def test_a_batch_smaller_than_the_devices_is_refused(batch):
    with pytest.raises(UserError, match=f"train.batch_size: {batch} "):
        check_batch(batch, 1, make_mesh())


@pytest.mark.parametrize("accumulate", [0, -1])
def test_a_batch_is_cut_into_one_slice_at_least(accumulate):
    with pytest.raises(UserError, match=f"train.accumulate: {accumulate}"):
        check_batch(8, accumulate, make_mesh())


def shardings(mesh, **leaves):
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in leaves.items()}
    return {name: place.spec for name, place in state_shardings(shapes, mesh).items()}


def test_large_arrays_are_split_along_their_largest_divisible_side():
    side = SHARD_FROM // 4
    shapes = {"scalar": (), "small": (4, side - 1), "wide": (4, side), "tall": (side, 4), "odd": (3, 2, side + 1)}
    assert shardings(make_mesh(2, 2), **shapes) == {
        "scalar": P(),
        "small": P(),
        "wide": P(None, "model"),
        "tall": P("model"),
        "odd": P(None, "model"),
    }
    assert shardings(make_mesh(2, 2), prime=(SHARD_FROM + 1,)) == {"prime": P()}


def test_without_a_model_axis_everything_is_replicated():
    assert shardings(make_mesh(), wide=(4, SHARD_FROM)) == {"wide": P()}


def test_a_state_is_born_the_same_on_every_mesh_and_in_its_place(mesh_of):
    model = image_classifier(PlainCNN(), 7)
    optimizer = make_optimizer("adamw", make_schedule("constant", 0.1, 1), weight_decay=0.1)
    build = lambda mesh: init_state(make_init_fn(model, (16, 16, 1)), optimizer, mesh, seed=3, ema=True)
    one, split = build(mesh_of(1)), build(mesh_of(4, 2))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(split))
    for tree in (split.params, split.ema["params"], split.opt_state[0][0].mu):
        kernel = tree["backbone"]["dense_1"]["kernel"]
        assert kernel.sharding == NamedSharding(mesh_of(4, 2), P("model"))
        assert {shard.data.shape for shard in kernel.addressable_shards} == {(256, 128)}
    assert split.params["head"]["kernel"].is_fully_replicated
