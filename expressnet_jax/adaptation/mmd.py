"""Maximum mean discrepancy: how far apart two samples lie under a kernel.

Shapes: B examples of one domain, D features, N examples of both.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput


def mmd(source: Array, target: Array, octaves: Sequence[int] = (-2, -1, 0, 1, 2)) -> Array:
    """Return the squared multi-kernel MMD: features float[B,D] of either domain -> float32[] (Long et al. 2015, DAN,
    section 3).

    The kernel is the mean of exp(-|x - y|^2 / (2^o w)) over `octaves` o; w is the mean squared distance of all pairs, a
    constant to the gradient, as in the code of the paper's authors (the paper itself takes the median). The statistic
    is the unbiased one over all pairs (Gretton et al. 2012, eq. 3), so samples of one distribution give 0 on average
    and often less; the paper draws pairs of pairs from it, to be linear in B. Each domain needs two examples or more.
    """
    m, n = len(source), len(target)
    features = jnp.concatenate([source, target]).astype(jnp.float32)
    distances = _squared_distances(features)
    width = _bandwidth(distances, features)
    kernel = sum(jnp.exp(-distances / (2.0**octave * width)) for octave in octaves) / len(octaves)
    kernel *= 1 - jnp.eye(m + n)
    within = kernel[:m, :m].sum() / max(m * (m - 1), 1) + kernel[m:, m:].sum() / max(n * (n - 1), 1)
    return within - 2 * kernel[:m, m:].mean()


def _squared_distances(features: Array) -> Array:
    """Map float32[N,D] -> float32[N,N], as a product of matrices: the differences themselves would be N x N x D."""
    x = features - features.mean(0)  # |x|^2 + |y|^2 - 2xy loses its digits far from the origin
    squares = (x * x).sum(-1)
    products = jnp.matmul(x, x.T, precision="highest")
    return jnp.maximum(squares[:, None] + squares - 2 * products, 0)


def _bandwidth(distances: Array, features: Array) -> Array:
    """Return the mean over pairs of different examples. Features that are equal up to rounding have no scale: 1."""
    count = len(distances)
    mean = distances.sum() / (count * (count - 1))
    rounding = 1e-12 * (features * features).sum(-1).mean()
    return jax.lax.stop_gradient(jnp.where(mean > rounding, mean, 1))


def method(octaves: Sequence[int] = (-2, -1, 0, 1, 2)) -> Method:
    """Align features of the two domains under one kernel."""

    def transfer(inputs: MethodInputs) -> MethodOutput:
        return MethodOutput(mmd(inputs.source.features, inputs.target.features, octaves), inputs.loss_state)

    return Method(transfer)
