"""Stepwise adaptive feature norm: features grow, in both domains alike. Shapes: B batch, D features."""

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput


def stepwise_feature_norm(features: Array, step: float = 1.0) -> Array:
    """Return mean (sg(|f|) + step - |f|)^2 of features float[B,D] -> float32[] (Xu et al. 2019, SAFN, section 3).

    sg is constant to the gradient and stands for the norm under the parameters of the step before. So the value is
    always step^2, and the gradient lengthens every feature by the same pull. Features of both domains come together;
    the paper weighs this 0.05.
    """
    norms = _norm(features.astype(jnp.float32))
    return jnp.square(jax.lax.stop_gradient(norms) + step - norms).mean()


def _norm(x: Array) -> Array:
    """Return the Euclidean norm of the rows. A zero vector has no direction to grow in, and gets no gradient."""
    square = (x * x).sum(-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def method(step: float = 1.0) -> Method:
    """Lengthen the features of both domains."""

    def transfer(inputs: MethodInputs) -> MethodOutput:
        both = jnp.concatenate([inputs.source.features, inputs.target.features])
        return MethodOutput(stepwise_feature_norm(both, step), inputs.loss_state)

    return Method(transfer, weight=0.05)
