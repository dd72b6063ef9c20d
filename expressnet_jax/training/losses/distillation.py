"""Learning from the probabilities of other networks. Shapes: B batch, K classes."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.network import Outputs
from expressnet_jax.training.losses.base import Batch, Loss, LossContext, LossOutput, masked_mean, select_output

TINY = 1e-8


def distillation(logits: Array, teacher: Array, temperature: float) -> Array:
    """Return T^2 KL(q || p) float32[B] of q, the teacher's probabilities, and p = softmax(logits / T), both at
    temperature T (Hinton et al. 2015, section 2; T^2 keeps the gradient's size).

    logits float[B,K], teacher float[B,K] that sums to 1. Logits of the teacher aren't needed: softmax(z / T) is
    softmax(z)^(1 / T), made to sum to 1 again. Several teachers are averaged before (section 5: the ensemble's mean).
    """
    log_q = jax.nn.log_softmax(jnp.log(jnp.maximum(teacher, TINY)) / temperature)
    log_p = jax.nn.log_softmax(logits / temperature)
    return temperature**2 * (jnp.exp(log_q) * (log_q - log_p)).sum(-1)


def distillation_loss(context: LossContext, *, temperature: float = 2.0) -> Loss:
    """Compare the logits of a head with the probabilities of its teachers; examples without any count nothing."""

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        logits, teacher = select_output(outputs, context.output), batch[context.target]
        present = teacher.sum(-1) > 0
        agreement = masked_mean(jnp.float32(logits.argmax(-1) == teacher.argmax(-1)), present)
        value = masked_mean(distillation(logits, teacher, temperature), present)
        return LossOutput(value, {"agreement": agreement}, state)

    return Loss(apply)
