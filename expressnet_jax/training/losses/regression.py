"""Losses of values: valence and arousal, points, blendshape scores. Shapes: B batch, D values of an example."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.network import Outputs
from expressnet_jax.training.losses.base import Batch, Loss, LossContext, LossOutput, masked_mean, select_output

TINY = 1e-8


def concordance(predicted: Array, target: Array, present: Array) -> Array:
    """Return the concordance correlation coefficient of each value over the batch, float32[D] (Lin 1989, eq. 1).

    predicted float[B,D], target float[B,D], present bool[B,D]. 1 is perfect, 0 no better than a constant; 0 where
    both are constant.
    """
    count = jnp.maximum(present.sum(0), 1)
    mean = lambda x: jnp.where(present, x, 0.0).sum(0) / count
    mean_p, mean_t = mean(predicted), mean(target)
    covariance = mean((predicted - mean_p) * (target - mean_t))
    spread = mean((predicted - mean_p) ** 2) + mean((target - mean_t) ** 2) + (mean_p - mean_t) ** 2
    return 2 * covariance / (spread + TINY)


def concordance_loss(context: LossContext) -> Loss:
    """Return one minus the mean concordance correlation of the values."""

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        predicted, target, present = compared(context, outputs, batch)
        ccc = concordance(predicted, target, present).mean()
        return LossOutput(1 - ccc, {"ccc": ccc}, state)

    return Loss(apply)


def mean_squared_error_loss(context: LossContext) -> Loss:
    """Return the mean squared difference over all values that examples have."""

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        predicted, target, present = compared(context, outputs, batch)
        return LossOutput(masked_mean((predicted - target) ** 2, present), {}, state)

    return Loss(apply)


def smooth_l1_loss(context: LossContext, *, beta: float = 0.1) -> Loss:
    """Return the mean Huber difference: quadratic up to `beta`, linear beyond (Girshick 2015, eq. 3, with beta)."""

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        predicted, target, present = compared(context, outputs, batch)
        distance = jnp.abs(predicted - target)
        huber = jnp.where(distance < beta, distance**2 / (2 * beta), distance - beta / 2)
        return LossOutput(masked_mean(huber, present), {}, state)

    return Loss(apply)


def compared(context: LossContext, outputs: Outputs, batch: Batch) -> tuple[Array, Array, Array]:
    """Return output float32[B,D], target float32[B,D] with zeros where there is none, and where there is one."""
    predicted = select_output(outputs, context.output)
    flat = lambda x: x.reshape(len(x), -1).astype(jnp.float32)
    predicted, target = flat(predicted), flat(batch[context.target])
    present = jnp.isfinite(target)
    return predicted, jnp.where(present, target, 0.0), present
