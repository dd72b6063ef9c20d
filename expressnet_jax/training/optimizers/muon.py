"""Muon (Jordan 2024) by optax, with its orthogonalisation in the form that a CPU runs fastest."""

import math

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax.contrib import MuonDimensionNumbers, muon

from expressnet_jax.models.cpu.conv_backend import use_matmul_conv

# Jordan 2024: five steps of x -> a x + b x^3 + c x^5 bring every singular value near 1.
STEPS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)


def muon_direction() -> optax.GradientTransformation:
    """Minus Muon's update at rate 1, without decay.

    Kernels (height, width and input channels together are one axis) are orthogonalised and scaled to the size of Adam's
    updates (Liu et al. 2025, eq. 4); the head, biases and scales get Adam's. The state is optax's in either form.
    """
    # Decay has to come after both halves: inside `muon`, the half that Adam takes has no mask for it.
    options = {"muon_weight_dimension_numbers": _dimensions, "consistent_rms": 0.2, "adam_b2": 0.99}
    if not use_matmul_conv():
        return muon(1.0, ns_coeffs=COEFFICIENTS, ns_steps=STEPS, **options)
    momentum = muon(1.0, ns_coeffs=COEFFICIENTS, ns_steps=0, **options)  # kernels: the momentum over its norm, scaled

    def update(gradients, state, params=None, **extra):
        updates, state = momentum.update(gradients, state, params, **extra)
        return jax.tree_util.tree_map_with_path(_orthogonal_kernel, updates), state

    return optax.GradientTransformationExtraArgs(momentum.init, update)


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


def _orthogonal_kernel(path, update: Array) -> Array:
    if not _is_kernel(path, update):
        return update
    matrix = update.reshape(-1, update.shape[-1])
    return (0.2 * math.sqrt(max(matrix.shape)) * orthogonalise(matrix)).reshape(update.shape)


def _is_kernel(path, leaf) -> bool:
    return leaf.ndim > 1 and path[0].key != "head"
