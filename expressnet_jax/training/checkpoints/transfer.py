"""What a new run takes over from a checkpoint: the backbone always, the head class by class.

Shapes: C channels, F filters, D features, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from expressnet_jax.data.labels import canonical
from expressnet_jax.errors import UserError
from expressnet_jax.models.network import Shape, zero_inputs
from expressnet_jax.training.checkpoints.reading import Checkpoint


def transfer_weights(
    checkpoint: Checkpoint,
    wanted: Mapping[str, Any],
    model: nn.Module,
    classes: Sequence[str],
    shape: Shape,
    seed: int = 0,
) -> dict[str, Any]:
    """Return params and batch_stats for `model`, a classifier of `classes`, from a checkpoint of the same network.

    `wanted` is the config's section `model`. Images may have another size where the network allows it, and gray
    may become RGB or the other way round. Columns of the head move by the class's name (`happy` is `happiness`);
    classes that the checkpoint does not know begin afresh from `seed`, as does a head of another kind.

    Raises:
      UserError: another network, other options, or a network that is bound to the size of its images.
    """
    _check_same_network(checkpoint, wanted)
    create = lambda key: model.init(key, zero_inputs(shape))["params"]
    key, old = jax.random.key(seed), jax.device_get(checkpoint.variables)
    shapes = jax.eval_shape(create, key)["backbone"]
    backbone = jax.tree_util.tree_map_with_path(_fit(checkpoint), shapes, old["params"]["backbone"])
    others = lambda key: {name: part for name, part in create(key).items() if name != "backbone"}
    drawn = jax.device_get(jax.jit(others)(key))  # of the backbone nothing is drawn
    kept = {name: old["params"][name] for name in drawn if _same_shapes(drawn[name], old["params"].get(name))}
    head = _move_columns(drawn["head"], old["params"]["head"], classes, checkpoint.classes)
    return {"params": {"backbone": backbone} | drawn | kept | {"head": head}, "batch_stats": old.get("batch_stats", {})}


def _same_shapes(first: Any, second: Any) -> bool:
    return jax.tree.map(np.shape, first) == jax.tree.map(np.shape, second)


def _check_same_network(checkpoint: Checkpoint, wanted: Mapping[str, Any]) -> None:
    found = checkpoint.metadata["model"]
    if found["name"] != wanted["name"]:
        raise UserError(
            f"init_from: {checkpoint.path} is a {found['name']}, not a {wanted['name']};"
            f" use --config.model.name={found['name']} or another checkpoint"
        )
    plain = lambda options: {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    if plain(found["options"]) != plain(wanted["options"]):
        raise UserError(
            f"init_from: {checkpoint.path} has model.options {found['options']}, the config {wanted['options']};"
            " give both the same"
        )


def _fit(checkpoint: Checkpoint):
    """An array of the checkpoint in the shape that the new network has for it."""

    def fit(path, new: jax.ShapeDtypeStruct, old: np.ndarray) -> np.ndarray:
        if new.shape == old.shape:
            return old
        channels = lambda kernel: kernel.shape[-2]
        if new.ndim == 4 and new.shape[:2] + new.shape[3:] == old.shape[:2] + old.shape[3:]:
            if (channels(old), channels(new)) == (1, 3):
                return np.repeat(old, 3, axis=2) / 3  # on a gray image, three times a third is the same sum
            if (channels(old), channels(new)) == (3, 1):
                return old.sum(2, keepdims=True)  # as on a gray image
        name = "/".join(key.key for key in path)
        shape = checkpoint.shape
        size = "x".join(map(str, shape)) if isinstance(shape, tuple) else shape
        raise UserError(
            f"init_from: {checkpoint.path} is for inputs of {size}, and its"
            f" {name} is {old.shape}, not {new.shape}; use the same data.size"
        )

    return fit


def _move_columns(
    new: Mapping[str, np.ndarray], old: Mapping[str, np.ndarray], classes: Sequence[str], old_classes: Sequence[str]
) -> dict[str, np.ndarray]:
    if new.keys() != old.keys():
        return dict(new)
    word = lambda name: canonical(name) or name
    place = {word(name): i for i, name in enumerate(old_classes)}
    known = [(i, place[word(name)]) for i, name in enumerate(classes) if word(name) in place]
    moved = {name: np.array(array) for name, array in new.items()}
    for to, origin in known:
        for name, array in moved.items():
            array[..., to] = old[name][..., origin]
    return moved
