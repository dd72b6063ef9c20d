"""Muon (Jordan 2024) by optax, with its orthogonalisation in the form that the platform runs fastest.

Shapes: M rows of a matrix, N columns, K slots of a stack.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax.contrib import MuonDimensionNumbers, muon

from expressnet_jax.models.layer_forms import use_matmul_conv
from expressnet_jax.training.optimizers.stacking import stacks

# Jordan 2024: five steps of x -> a x + b x^3 + c x^5 bring every singular value near 1.
STEPS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)


def muon_direction() -> optax.GradientTransformation:
    """Minus Muon's update at rate 1, without decay.

    Kernels (height, width and input channels together are one axis) are orthogonalised and scaled to the size of Adam's
    updates (Liu et al. 2025, eq. 4); the head, embeddings, biases and scales get Adam's. The state is optax's in either
    form.
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


def orthogonalise_stack(stack: Array, owners: Array) -> Array:
    """Do what `orthogonalise` does to every matrix of a stack at once: float[K,M,N], M <= N, to the same shape.

    `owners` int32[K,M] says which matrix a row belongs to, as `Stack` has it. Every product is in single precision,
    which squaring wants and accelerators give up by default.
    """
    times = partial(_product, sides=(2, 1))
    gram = _product(stack, stack, sides=(2, 2))
    identity = jnp.eye(gram.shape[-1], dtype=gram.dtype)
    squares = (gram * identity).sum(-1)
    together = owners[:, :, None] == owners[:, None, :]
    norm = jnp.sqrt(jnp.where(together, squares[:, None], 0).sum(-1)) + 1e-8
    gram = gram / (norm[:, :, None] * norm[:, None])
    a, b, c = COEFFICIENTS
    whole = identity
    for number in range(STEPS):
        step = a * identity + b * gram + c * times(gram, gram)
        # Steps are symmetric. Turned, XLA doesn't join this product with those below, to cut them apart again.
        whole = _product(whole, step, sides=(2, 2)) if number else step / norm[:, None]
        if number < STEPS - 1:
            gram = times(times(step, gram), step)
    return times(whole, stack)


def _product(first: Array, second: Array, sides: tuple[int, int]) -> Array:
    """Return the products of two stacks over these axes, in single precision."""
    axes = (((sides[0],), (sides[1],)), ((0,), (0,)))
    return jax.lax.dot_general(first, second, axes, precision=jax.lax.Precision.HIGHEST)


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
    matrices = [_wide(leaves[place]) for place in kernels]
    for stack in stacks([(len(matrix), matrix.shape[1]) for matrix in matrices]):
        parts = stack.cut(orthogonalise_stack(stack.join(matrices), jnp.asarray(stack.owners())))
        for member, part in zip(stack.members, parts, strict=True):
            place = kernels[member]
            leaves[place] = _as_kernel(_size(part.shape) * part, leaves[place].shape)
    return jax.tree.unflatten(structure, leaves)


def _wide(kernel: Array) -> Array:
    """Return a kernel as a matrix float[M,N], M <= N. Mostly a row is what an output sees: cuDNN has them in order."""
    if _outputs_first(kernel.shape):
        return jnp.moveaxis(kernel, -1, 0).reshape(kernel.shape[-1], -1)
    return kernel.reshape(-1, kernel.shape[-1])


def _as_kernel(matrix: Array, shape: tuple[int, ...]) -> Array:
    """Undo `_wide`."""
    if _outputs_first(shape):
        return jnp.moveaxis(matrix.reshape(shape[-1], *shape[:-1]), 0, -1)
    return matrix.reshape(shape)


def _outputs_first(shape: tuple[int, ...]) -> bool:
    return shape[-1] <= math.prod(shape[:-1])


def _size(shape: tuple[int, ...]) -> float:
    """Return what brings an orthogonal matrix to the size of Adam's updates (Liu et al. 2025, eq. 4)."""
    return 0.2 * math.sqrt(max(shape))


def _is_kernel(path, leaf) -> bool:
    """Return whether a parameter multiplies what a layer sees. The main head does not count, nor do vectors that are
    looked up or added (embeddings, positions, class tokens): Jordan 2024 leaves both to Adam."""
    return leaf.ndim > 1 and path[-1].key.endswith("kernel") and path[0].key != "head"
