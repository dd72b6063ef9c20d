"""Entropy of predictions, which several methods minimise or weigh with. Shapes: B batch, K classes."""

import jax
import jax.numpy as jnp
from jax import Array


def entropy(logits: Array) -> Array:
    """Return -sum_k p_k log p_k of p = softmax(logits): float[B,K] -> float32[B], in nats.

    Logits rather than probabilities: where a probability underflows to 0, its logarithm is still finite.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -(jnp.exp(log_p) * log_p).sum(-1)
