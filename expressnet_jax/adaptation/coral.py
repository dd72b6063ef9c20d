"""Correlation alignment: the same second moments in both domains. Shapes: B examples of one domain, D features."""

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput


def coral(source: Array, target: Array) -> Array:
    """Return |C_S - C_T|_F^2 / (4 D^2) of the covariances: features float[B,D] of either domain -> float32[].

    Sun & Saenko 2016, Deep CORAL, eq. 1. Means are not compared, so a shift between the domains costs nothing.
    """
    difference = covariance(source) - covariance(target)
    return (difference * difference).sum() / (4 * source.shape[-1] ** 2)


def covariance(features: Array) -> Array:
    """Map float[B,D] to float32[D,D], divided by B - 1 (eq. 2 and 3); zero for a single example.

    Centred before the product, where the equation subtracts afterwards: in float32 that is another number.
    """
    x = features.astype(jnp.float32)
    x = x - x.mean(0)
    return jnp.matmul(x.T, x, precision="highest") / max(len(x) - 1, 1)


def method() -> Method:
    """Align the covariances of features that are scaled to mean square 1.

    Unscaled features would shrink to make the covariances agree, and a loss of the fourth order in them diverges at any
    learning rate.
    """

    def transfer(inputs: MethodInputs) -> MethodOutput:
        source, target = inputs.source.features, inputs.target.features
        scale = jax.lax.rsqrt(jnp.square(jnp.concatenate([source, target])).mean() + 1e-12)
        return MethodOutput(coral(scale * source, scale * target), inputs.loss_state)

    return Method(transfer, weight=10.0)
