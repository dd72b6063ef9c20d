"""Tensors of PyTorch as variables of a backbone, and back. Only names, shapes and orders of axes change.

Shapes: k kernel, C channels in, F filters out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from expressnet_jax.errors import UserError
from expressnet_jax.models.published.naming import BATCH_NORM_EPSILON, Naming

_Tensors = dict[str, np.ndarray]
_LEAVES = {"kernel": "weight", "scale": "weight", "slope": "weight", "mean": "running_mean", "var": "running_var"}
_COUNTER = "num_batches_tracked"  # of batch normalisation: nothing here needs it


class Imported(NamedTuple):
    """What a file had for a backbone.

    Attributes:
      params, batch_stats: of the backbone, float32, nested.
      head: {"kernel", "bias"} of the layer that classifies, or empty.
      used: names of the tensors that the backbone took.
      unused: the names of all others but those of the head and the counters of batch normalisation.
      naming: the table of their names.
    """

    params: dict[str, Any]
    batch_stats: dict[str, Any]
    head: dict[str, np.ndarray]
    used: list[str]
    unused: list[str]
    naming: Naming


class _Entry(NamedTuple):
    """One variable: its collection, path and shape here, its name there, and the bias there that its mean takes in.

    `pointwise`: whether it has two further axes of one pixel there.
    """

    collection: str
    path: tuple[str, ...]
    shape: tuple[int, ...]
    name: str
    bias: str
    pointwise: bool


def choose_naming(tensors: Mapping[str, np.ndarray], backbone: Any, namings: Sequence[Naming]) -> Naming:
    """Return the table that has most of a file's names."""
    modules = {name.rpartition(".")[0] for name in tensors} | set(tensors)
    known = lambda naming: len(modules & set(naming.modules(backbone).values()))
    return max(namings, key=lambda naming: (known(naming), naming.head in modules))


def from_tensors(tensors: Mapping[str, np.ndarray], backbone: Any, shapes: Any, naming: Naming) -> Imported:
    """Return the variables of `backbone`, whose `shapes` are {"params": ..., "batch_stats": ...} of arrays' shapes.

    Raises:
      UserError: a tensor is missing or has another shape, or the file has more layers; the line says which.
    """
    entries = list(_entries(naming, backbone, shapes))
    if missing := [entry.name for entry in entries if entry.name not in tensors]:
        some = ", ".join(list(tensors)[:3]) or "nothing"
        raise UserError(f"{len(missing)} of {len(entries)} tensors are missing, {missing[0]} among them; it has {some}")
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for entry in entries:
        _put(variables[entry.collection], entry.path, _convert(entry, tensors, naming))
    used = {entry.name for entry in entries} | {entry.bias for entry in entries if entry.bias in tensors}
    head = [f"{naming.head}.weight", f"{naming.head}.bias"]
    unused = [name for name in tensors if name not in used and name not in head and not name.endswith(_COUNTER)]
    roots = {name.split(".")[0] for name in used}
    if more := [name for name in unused if name.split(".")[0] in roots and not re.match(naming.beyond, name)]:
        raise UserError(f"has further layers, {more[0]} among them")
    found = {"kernel": tensors[head[0]].T, "bias": tensors[head[1]]} if set(head) <= set(tensors) else {}
    return Imported(**variables, head=_single(found), used=sorted(used), unused=unused, naming=naming)


def to_tensors(variables: Mapping[str, Any], backbone: Any, naming: Naming) -> _Tensors:
    """Return a network's variables under the names of `naming`, as `from_tensors` reads them."""
    tensors: _Tensors = {}
    own = {name: variables.get(name, {}).get("backbone", {}) for name in ("params", "batch_stats")}
    for entry in _entries(naming, backbone, own):
        value = np.asarray(_get(own[entry.collection], entry.path), np.float32)
        if entry.path[-1] == "var":
            value = value + np.float32(BATCH_NORM_EPSILON - naming.epsilon)
        if entry.bias:
            tensors[entry.bias] = np.zeros_like(value)
        tensors[entry.name] = np.ascontiguousarray(_to_torch(value, entry))
    head = variables["params"]["head"]
    names = {"kernel": f"{naming.head}.weight", "bias": f"{naming.head}.bias"}
    return tensors | {names[leaf]: np.ascontiguousarray(np.asarray(value).T) for leaf, value in head.items()}


def _entries(naming: Naming, backbone: Any, shapes: Any) -> Iterator[_Entry]:
    modules, biases = naming.modules(backbone), naming.biases(backbone)
    pointwise = re.compile(naming.pointwise(backbone))
    for collection, part in shapes.items():
        for path, shape in _leaves(part):
            *module, leaf = path
            here, own = "/".join(module), modules.get("/".join(path))
            name = own or f"{modules.get(here, here)}.{_LEAVES.get(leaf, leaf)}"
            bias = f"{biases[here]}.bias" if leaf == "mean" and here in biases else ""
            yield _Entry(collection, path, shape, name, bias, bool(pointwise.search("/".join(path))))


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), tuple(value.shape)


def _convert(entry: _Entry, tensors: Mapping[str, np.ndarray], naming: Naming) -> np.ndarray:
    """Return one tensor as it is here, float32.

    Raises:
      UserError: it has another shape, or values that are not finite.
    """
    tensor, leaf = tensors[entry.name].astype(np.float32), entry.path[-1]
    value = _from_torch(tensor, leaf, len(entry.shape))
    if value.shape != entry.shape:
        raise UserError(f"{entry.name} is {tensor.shape}; {'/'.join(entry.path)} is {entry.shape}")
    if not np.isfinite(value).all():
        raise UserError(f"{entry.name} holds values that are not finite")
    if leaf == "var":
        value = value + np.float32(naming.epsilon - BATCH_NORM_EPSILON)
    return value - tensors[entry.bias].astype(np.float32) if entry.bias in tensors else value


def _from_torch(tensor: np.ndarray, leaf: str, rank: int) -> np.ndarray:
    """Turn [F,C,k,k] into [k,k,C,F] and [F,C] or [F,C,1,1] into [C,F]; of anything else only axes of one go."""
    if leaf != "kernel":
        while tensor.ndim > rank and 1 in (tensor.shape[0], tensor.shape[-1]):
            tensor = tensor[0] if tensor.shape[0] == 1 else tensor[..., 0]
        return tensor
    if rank == 4 and tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    return tensor.reshape(tensor.shape[:2]).T if tensor[:1, :1].size == 1 else tensor


def _to_torch(value: np.ndarray, entry: _Entry) -> np.ndarray:
    if entry.path[-1] == "kernel":
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
    return value[..., None, None] if entry.pointwise else value


def _single(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


def _put(tree: dict[str, Any], path: tuple[str, ...], value: np.ndarray) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = np.ascontiguousarray(value)


def _get(tree: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for name in path:
        tree = tree[name]
    return tree
