"""Join the small arrays of a state into a few long vectors, which a GPU updates in one kernel each.

A network has hundreds of arrays of a few numbers (biases, scales, running statistics), and starting a kernel for one
takes longer than computing it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.training.mesh import SHARD_CLASSES

Vectors = list[Array]
# cuDNN wants the axes of a convolution's kernel in another order, so joining copies it once more, which only the
# smallest are worth.
_MOST_AXES, _FEW = 2, 2**10


def pack(tree: Any) -> tuple[Vectors, Callable[[Vectors], Any]]:
    """Return the arrays of a tree, small ones joined by dtype and by the part of the tree, and what undoes it.

    Parts are what stands above "backbone" and "head", so that parameters, their momentum and their averages are vectors
    of one shape. Arrays that a mesh may split are never joined.
    """
    flat, structure = jax.tree_util.tree_flatten_with_path(tree)
    leaves = [leaf for _, leaf in flat]
    groups: dict[Any, list[int]] = {}
    for place, (path, leaf) in enumerate(flat):
        key = (str(leaf.dtype), _part(path)) if _is_small(leaf) else place
        groups.setdefault(key, []).append(place)
    shapes = [leaf.shape for leaf in leaves]

    def unpack(vectors: Vectors) -> Any:
        found: dict[int, Array] = {}
        for vector, places in zip(vectors, groups.values(), strict=True):
            found |= zip(places, _cut(vector, [shapes[place] for place in places]), strict=True)
        return jax.tree.unflatten(structure, [found[place] for place in range(len(leaves))])

    return [_join([leaves[place] for place in places]) for places in groups.values()], unpack


def _is_small(leaf: Array) -> bool:
    return leaf.size < (SHARD_CLASSES if leaf.ndim <= _MOST_AXES else _FEW)


def _part(path: Sequence[Any]) -> str:
    names = [jax.tree_util.keystr((key,)) for key in path]
    end = next((i for i, name in enumerate(names) if "backbone" in name or "head" in name), len(names) - 1)
    return "".join(names[:end])


def _join(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else jnp.concatenate([array.reshape(-1) for array in arrays])


def _cut(vector: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return arrays of these shapes, one after the other in a vector; one alone was never joined."""
    if len(shapes) == 1:
        return [vector]
    sizes = [math.prod(shape) for shape in shapes]
    return [part.reshape(shape) for part, shape in zip(jax.lax.split(vector, sizes), shapes, strict=True)]
