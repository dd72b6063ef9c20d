"""Muon (Jordan 2024) by optax, with its orthogonalisation in the form that the platform runs fastest.

Shapes: M rows of a matrix, N columns, K matrices of a stack.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax.contrib import MuonDimensionNumbers, muon

from expressnet_jax.models.layer_forms import use_matmul_conv

# Jordan 2024: five steps of x -> a x + b x^3 + c x^5 bring every singular value near 1.
STEPS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
_STARTS = 250e6  # bytes that an H200 moves while it starts the 30 kernels of a stack, at 2 us and 4.3 TB/s


def muon_direction() -> optax.GradientTransformation:
    """Minus Muon's update at rate 1, without decay.

    Kernels (height, width and input channels together are one axis) are orthogonalised and scaled to the size of Adam's
    updates (Liu et al. 2025, eq. 4); the head, biases and scales get Adam's. The state is optax's in either form.
    """
    # Decay has to come after both halves: inside `muon`, the half that Adam takes has no mask for it.
    options = {"muon_weight_dimension_numbers": _dimensions, "consistent_rms": 0.2, "adam_b2": 0.99}
    if use_matmul_conv():
        finish = _orthogonal_one_by_one  # of kernels: the momentum over its norm, scaled
    else:
        finish = _orthogonal_together
        options["preconditioning"] = "aol"  # without steps it leaves the momentum as it is; the stack finds the norms
    momentum = muon(1.0, ns_coeffs=COEFFICIENTS, ns_steps=0, **options)

    def update(gradients, state, params=None, **extra):
        updates, state = momentum.update(gradients, state, params, **extra)
        return finish(updates), state

    return optax.GradientTransformationExtraArgs(momentum.init, update)


def orthogonalise_stack(stack: Array) -> Array:
    """Do what `orthogonalise` does to K matrices at once: float[K,M,N], M >= N, to the same shape.

    Rows and columns of zeros stay zeros and change nothing else, so that matrices of different shapes can be padded to
    one. Every product is in single precision, which squaring wants and accelerators give up by default.
    """
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    gram = product(stack.mT, stack)
    norm = jnp.sqrt(jnp.trace(gram, axis1=-2, axis2=-1))[:, None, None] + 1e-8
    gram = gram / norm**2
    a, b, c = COEFFICIENTS
    identity = jnp.eye(gram.shape[-1], dtype=gram.dtype)
    whole = identity
    for number in range(STEPS):
        step = a * identity + b * gram + c * product(gram, gram)
        whole = product(step, whole) if number else step
        if number < STEPS - 1:
            gram = product(product(step, gram), step)
    return product(stack, whole / norm)


def stacks(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Return which of the matrices (M, N), M >= N, to pad to one shape and orthogonalise together: lists of places.

    A stack more costs the starts of its kernels; a small matrix among large ones costs the bytes of its padding. Of all
    ways to cut the matrices, sorted by N, into stacks, this is the cheapest (dynamic programming over the last cut).
    """
    order = sorted(range(len(shapes)), key=lambda i: shapes[i][::-1], reverse=True)
    cost = lambda places: _STARTS + len(places) * _moved(*map(max, zip(*(shapes[i] for i in places), strict=True)))
    best: list[tuple[float, list[list[int]]]] = [(0.0, [])]
    for end in range(1, len(order) + 1):
        ways = [(best[start][0] + cost(order[start:end]), [*best[start][1], order[start:end]]) for start in range(end)]
        best.append(min(ways))
    return best[-1][1]


def _moved(rows: int, columns: int) -> float:
    """Bytes that orthogonalising one matrix of a stack reads and writes."""
    return 4 * (64 * columns**2 + 6 * rows * columns)


def orthogonalise(matrix: Array) -> Array:
    """Newton and Schulz's five steps on float[M,N]: U S V' -> U V', singular values in about [0.7, 1.2].

    Every step is X -> p(X X') X, so all of them are one polynomial of X X' times X. With M < N that polynomial is
    worked out in M x M, where five steps on X itself take ten products with N columns: of 512 x 4608 a fifth of the
    time. Squaring costs digits, so this wants single precision; an accelerator multiplies in less by default.
    """
    rows, columns = matrix.shape
    if rows > columns:
        return orthogonalise(matrix.T).T
    matrix = matrix / (jnp.linalg.norm(matrix) + 1e-8)
    a, b, c = COEFFICIENTS
    identity = jnp.eye(rows, dtype=matrix.dtype)
    gram, product = matrix @ matrix.T, identity
    for _ in range(STEPS):
        step = a * identity + b * gram + c * gram @ gram
        gram, product = step @ gram @ step, step @ product
    return product @ matrix


def _dimensions(params):
    def of(path, leaf):
        return MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1) if _is_kernel(path, leaf) else None

    return jax.tree_util.tree_map_with_path(of, params)


def _orthogonal_one_by_one(updates: Any) -> Any:
    def one(path, update: Array) -> Array:
        if not _is_kernel(path, update):
            return update
        matrix = update.reshape(-1, update.shape[-1])
        return (_size(matrix.shape) * orthogonalise(matrix)).reshape(update.shape)

    return jax.tree_util.tree_map_with_path(one, updates)


def _orthogonal_together(updates: Any) -> Any:
    flat, structure = jax.tree_util.tree_flatten_with_path(updates)
    leaves = [leaf for _, leaf in flat]
    kernels = [place for place, (path, leaf) in enumerate(flat) if _is_kernel(path, leaf)]
    matrices = [_tall(leaves[place].reshape(-1, leaves[place].shape[-1])) for place in kernels]
    for group in stacks([matrix.shape for matrix in matrices]):
        rows, columns = (max(matrices[i].shape[axis] for i in group) for axis in (0, 1))
        pad = lambda x: jnp.pad(x, [(0, rows - x.shape[0]), (0, columns - x.shape[1])])  # noqa: B023
        stack = orthogonalise_stack(jnp.stack([pad(matrices[i]) for i in group]))
        for i, padded in zip(group, stack, strict=True):
            leaf, shape = leaves[kernels[i]], matrices[i].shape
            matrix = _size(shape) * padded[: shape[0], : shape[1]]
            wide = math.prod(leaf.shape[:-1]) < leaf.shape[-1]
            leaves[kernels[i]] = (matrix.T if wide else matrix).reshape(leaf.shape)
    return jax.tree.unflatten(structure, leaves)


def _tall(matrix: Array) -> Array:
    return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T


def _size(shape: tuple[int, ...]) -> float:
    """Return what brings an orthogonal matrix to the size of Adam's updates (Liu et al. 2025, eq. 4)."""
    return 0.2 * math.sqrt(max(shape))


def _is_kernel(path, leaf) -> bool:
    return leaf.ndim > 1 and path[0].key != "head"
