"""Losses as pure functions of logits and targets, and what rebalances rare classes. Shapes: B batch, K classes."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from expressnet_jax.errors import UserError
from expressnet_jax.models.network import Outputs
from expressnet_jax.training.losses.base import Batch, Loss, LossContext, LossOutput, masked_mean, select_output

_LossFn = Callable[[Array, Array], Array]


def cross_entropy(logits: Array, targets: Array) -> Array:
    """Return -sum_k t_k log p_k: logits float[B,K], targets float[B,K] that sum to 1 -> float32[B]."""
    return -(targets * jax.nn.log_softmax(logits)).sum(-1)


def focal(logits: Array, targets: Array, gamma: float = 2.0) -> Array:
    """Return -sum_k t_k (1 - p_k)^gamma log p_k -> float32[B] (Lin et al. 2017, eq. 4, for soft targets)."""
    log_p = jax.nn.log_softmax(logits)
    rest = -jnp.expm1(log_p)
    rest = jnp.where(rest > 1e-12, rest, 1e-12)  # 1 - p; at 0 a power below 1 has no gradient
    return -(targets * rest**gamma * log_p).sum(-1)


def arcface(cosines: Array, targets: Array, margin: float = 0.5) -> Array:
    """Return cos(theta + m) in place of the own class's cosine: float[B,K] -> float32[B,K] (Deng et al. 2019, eq. 3).

    Beyond theta + m = pi, where that would rise again, cos(theta) - m sin(m), as the authors' code has it.
    """
    cosines = jnp.clip(cosines, -1 + 1e-7, 1 - 1e-7)  # the sine's gradient is infinite at the ends
    further = cosines * math.cos(margin) - jnp.sqrt(1 - cosines**2) * math.sin(margin)
    further = jnp.where(cosines > -math.cos(margin), further, cosines - margin * math.sin(margin))
    return cosines + targets * (further - cosines)


def cosface(cosines: Array, targets: Array, margin: float = 0.35) -> Array:
    """Return cos(theta) - m in place of the own class's cosine: float[B,K] -> float32[B,K] (Wang et al. 2018, eq.
    4)."""
    return cosines - targets * margin


MARGINS = {"arcface": arcface, "cosface": cosface}


def smooth_labels(targets: Array, amount: float, towards: Array | float) -> Array:
    """Return (1 - amount) t + amount u, u `towards`, float[K] that sums to 1: float[B,K] -> float[B,K] (Szegedy et al.
    2016, section 7, where u is 1 / K)."""
    return (1 - amount) * targets + amount * towards


def inverse_weights(counts: np.ndarray) -> np.ndarray:
    """Return the class weights float32[K] proportional to 1 / n_k, of mean 1 over the examples. Absent classes get
    0."""
    return _mean_one(np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0), counts)


def effective_number_weights(counts: np.ndarray, beta: float = 0.999) -> np.ndarray:
    """Return the class weights float32[K] proportional to (1 - beta) / (1 - beta^n_k), of mean 1 over the examples
    (Cui et al. 2019, eq. 4)."""
    effective = (1 - np.power(beta, counts)) / (1 - beta)
    return _mean_one(np.divide(1.0, effective, out=np.zeros(len(counts)), where=counts > 0), counts)


def _mean_one(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def log_prior(counts: np.ndarray) -> np.ndarray:
    """Return the log of the class frequencies, float32[K]; a class without examples counts as one example."""
    counts = np.maximum(counts, 1)
    return np.log(counts / counts.sum()).astype(np.float32)


class ClassWeighting(NamedTuple):
    """Class weights of the loss float32[K] and what is added to the logits in training float32[K]."""

    weights: np.ndarray
    logit_shift: np.ndarray


def weight_classes(name: str, counts: np.ndarray, *, beta: float = 0.999, tau: float = 1.0) -> ClassWeighting:
    """Return the weights `none`, `inverse`, `effective_number`, or `logit_adjustment` (Menon et al. 2021, eq. 10:
    logits + tau log prior).

    Raises:
      UserError: another name.
    """
    ones, zeros = np.ones(len(counts), np.float32), np.zeros(len(counts), np.float32)
    choices = {
        "none": lambda: ClassWeighting(ones, zeros),
        "inverse": lambda: ClassWeighting(inverse_weights(counts), zeros),
        "effective_number": lambda: ClassWeighting(effective_number_weights(counts, beta), zeros),
        "logit_adjustment": lambda: ClassWeighting(ones, tau * log_prior(counts)),
    }
    if name not in choices:
        raise UserError(f"class_weighting: no {name!r}; one of {', '.join(choices)}")
    return choices[name]()


def make_loss_fn(
    name: str = "cross_entropy",
    *,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    margin: float = 0.5,
    scale: float = 64.0,
    weighting: ClassWeighting,
    partial_labels: bool = False,
) -> _LossFn:
    """Return the mean loss of a batch: (logits float[B,K], targets float[B,K]) -> float32[].

    With `partial_labels`, examples whose targets are all zero have no label and are left out of the mean.

    A soft target's class weight is its expectation, so mixing and smoothing go together with rebalancing. Where logits
    are shifted by tau log prior, targets are smoothed towards prior^tau: with u the loss is least where
    exp f_k ~ ((1 - amount) p_k + amount u_k) / prior_k^tau, and only with this u does the largest f remain that of the
    largest p_k / prior_k^tau. Towards 1 / K the rarest class would win wherever the network is unsure. `arcface` and
    `cosface` take cosines for logits and are cross-entropy of `scale` times what the margin leaves of them.
    """
    losses: dict[str, Callable[..., Array]] = {
        "cross_entropy": cross_entropy,
        "focal": partial(focal, gamma=focal_gamma),
    }
    losses |= dict.fromkeys(MARGINS, cross_entropy)
    towards = np.exp(weighting.logit_shift - np.max(weighting.logit_shift))
    towards = towards / towards.sum()

    def loss_fn(logits: Array, targets: Array) -> Array:
        weights = targets @ weighting.weights
        if name in MARGINS:
            logits = scale * MARGINS[name](logits, targets, margin)
        smoothed = smooth_labels(targets, label_smoothing, towards)
        values = weights * losses[name](logits + weighting.logit_shift, smoothed)
        return masked_mean(values, targets.sum(-1) > 0) if partial_labels else values.mean()

    return loss_fn


def classification_loss(
    context: LossContext,
    *,
    loss: str = "cross_entropy",
    label_smoothing: float = 0.0,
    class_weighting: str = "none",
    effective_beta: float = 0.999,
    logit_adjustment: float = 1.0,
    focal_gamma: float = 2.0,
    margin: float = 0.5,
    scale: float = 64.0,
) -> Loss:
    """Compare the logits of a head with a class: `make_loss_fn`, weighted by the class counts of the training split."""
    loss_fn = make_loss_fn(
        loss,
        label_smoothing=label_smoothing,
        focal_gamma=focal_gamma,
        margin=margin,
        scale=scale,
        weighting=weight_classes(class_weighting, context.counts, beta=effective_beta, tau=logit_adjustment),
        partial_labels=context.partial,
    )

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        logits, targets = select_output(outputs, context.output), batch[context.target]
        right = logits.argmax(-1) == targets.argmax(-1)
        accuracy = masked_mean(right, targets.sum(-1) > 0) if context.partial else right.mean()
        value = loss_fn(context.constrain(logits), context.constrain(targets))
        return LossOutput(value, {"accuracy": accuracy}, state)

    return Loss(apply)
