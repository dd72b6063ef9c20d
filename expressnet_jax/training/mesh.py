"""The mesh of devices and where each array lies on it. Axes: `data` splits batches, `model` splits large parameters."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from expressnet_jax.errors import UserError

SHARD_FROM = 2**16  # elements; smaller arrays cost more to gather than to hold
SHARD_CLASSES = 2**13  # classes of a head; so many centres are spread over all devices


def make_mesh(data: int = -1, model: int = 1, among: Sequence[jax.Device] | None = None) -> Mesh:
    """Return a mesh over all devices, or over those `among` which it is made, `data` x `model`; -1 for data means all
    that `model` leaves.

    Raises:
      UserError: the axes do not multiply to the number of devices.
    """
    if among is None:
        devices, local = jax.device_count(), jax.local_device_count()
    else:
        devices, local = len(among), sum(device.process_index == among[0].process_index for device in among)
    if model < 1 or local % model:  # processes feed disjoint shares of a batch: none may share a place on `data`
        raise UserError(f"mesh.model: {model} does not divide the {local} devices of a process")
    data = devices // model if data == -1 else data
    if data * model != devices:
        raise UserError(f"mesh.data: {data} x mesh.model {model} is not the number of devices, {devices}")
    return jax.make_mesh((data, model), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto), devices=among)


def shard_batch(inputs: Any, mesh: Mesh) -> Any:
    """Turn this process's share [b,...] of a batch, an array or several by name, into the batch [B,...] spread over the
    data axis, which divides B."""
    place = partial(jax.make_array_from_process_local_data, NamedSharding(mesh, P("data")))
    return jax.tree.map(place, inputs)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that has all of it on every device, so that every process can read it."""
    return NamedSharding(mesh, P())


def check_batch(batch_size: int, accumulate: int, mesh: Mesh) -> None:
    """Raise UserError unless a batch can be cut into `accumulate` slices, each spread evenly over the data axis."""
    if accumulate < 1:
        raise UserError(f"train.accumulate: {accumulate}; 1 takes the batch as a whole")
    parts = mesh.shape["data"] * accumulate
    if batch_size < parts or batch_size % parts:
        raise UserError(
            f"train.batch_size: {batch_size} can't be split evenly over {mesh.shape['data']} devices"
            f" x {accumulate} accumulation slices; use a multiple of {parts}"
        )


def shards_classes(mesh: Mesh, num_classes: int) -> bool:
    """Return whether a head of so many classes is split by class over all devices: where it is large and they divide
    it."""
    return mesh.size > 1 and num_classes >= SHARD_CLASSES and num_classes % mesh.size == 0


def state_shardings(shapes, mesh: Mesh):
    """A NamedSharding for every leaf of a pytree of shapes.

    Each device has its own classes of a head that is `spread_over`.
    With a `model` axis larger than 1, every array of at least SHARD_FROM elements is split along its largest dimension
    that the axis divides (parameters, moments and averages alike: they have the same shapes); everything else is
    replicated.
    """
    width = mesh.shape["model"]

    def place(path, leaf):
        in_head = any(getattr(key, "key", None) == "head" for key in path)
        if in_head and shards_classes(mesh, leaf.shape[-1]):
            return NamedSharding(mesh, P(*[None] * (leaf.ndim - 1), ("data", "model")))
        divisible = [d for d, n in enumerate(leaf.shape) if n % width == 0]
        if width == 1 or np.prod(leaf.shape) < SHARD_FROM or not divisible:
            return NamedSharding(mesh, P())
        axis = max(divisible, key=lambda d: leaf.shape[d])
        return NamedSharding(mesh, P(*[None] * axis, "model"))  # as XLA writes it: else the next step compiles again

    return jax.tree_util.tree_map_with_path(place, shapes)
