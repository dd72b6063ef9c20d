"""Losses of labels that don't exclude one another, such as action units. Shapes: B batch, U labels."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.network import Outputs
from expressnet_jax.training.losses.base import Batch, Loss, LossContext, LossOutput, masked_mean
from expressnet_jax.training.losses.regression import compared


def binary_cross_entropy(logits: Array, targets: Array, positive_weight: float = 1.0) -> Array:
    """Return -(w t log p + (1 - t) log(1 - p)) for each label: float[B,U], targets in 0..1 -> float32[B,U].

    An intensity between 0 and 1 is a soft target.
    """
    present, absent = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return -(positive_weight * targets * present + (1 - targets) * absent)


def binary_cross_entropy_loss(context: LossContext, *, positive_weight: float = 1.0) -> Loss:
    """Return the mean binary cross-entropy over the labels that examples have; `positive_weight` counts rare ones
    more."""

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        logits, targets, present = compared(context, outputs, batch)
        value = masked_mean(binary_cross_entropy(logits, targets, positive_weight), present)
        agreement = masked_mean(jnp.asarray((logits > 0) == (targets > 0.5), jnp.float32), present)
        return LossOutput(value, {"agreement": agreement}, state)

    return Loss(apply)
