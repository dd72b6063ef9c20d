"""Minimum class confusion. Shapes: B batch, K classes."""

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.adaptation.entropy import entropy
from expressnet_jax.adaptation.method import Method, MethodOutput


def mcc(logits: Array, temperature: float = 2.5) -> Array:
    """Return how much target predictions float[B,K] confuse classes -> float32[] in 0..1 (Jin et al. 2020, section 3).

    C = Y^T W Y of the softened predictions Y; W weighs an example by 1 + exp(-entropy), of mean 1; every row of C is
    divided by its sum; the loss is the mean over rows of the off-diagonal entries. W is constant to the
    gradient, as in the code of the paper's authors. A class that no example of the batch takes for possible adds 0.
    """
    logits = logits.astype(jnp.float32) / temperature
    p = jax.nn.softmax(logits)
    certain = jax.lax.stop_gradient(1 + jnp.exp(-entropy(logits)))
    weighted = p * (certain / certain.mean())[:, None]
    confusion = jnp.matmul(weighted.T, p, precision="highest")
    rows = jnp.maximum(confusion.sum(-1, keepdims=True), 1e-12)  # the gradient divides by its square
    between = confusion / rows * (1 - jnp.eye(len(confusion)))
    return between.sum() / len(confusion)


def method(temperature: float = 2.5) -> Method:
    """Make target predictions that do not confuse classes."""
    return Method(lambda inputs: MethodOutput(mcc(inputs.target.logits, temperature), inputs.loss_state))
