"""Losses on features: class centers that examples gather round and that keep apart, added to the classification loss.

The centers are no parameters: they follow the features by their own rule and lie in a state's memory. A soft target
(votes, mixup, cutmix) counts by its expectation: a loss is the mean over its classes, and an example moves each center
by its share. Shapes: B batch, D features, K classes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.attention import max_first_argmax
from expressnet_jax.models.network import Outputs, unit
from expressnet_jax.training.losses.base import Batch, Loss, LossContext, LossOutput, masked_mean, select_output

product = partial(jnp.matmul, precision="highest")  # accelerators would take shorter numbers


def center(features: Array, targets: Array, centers: Array) -> Array:
    """Return half the squared distance to the center of the own class: features float32[B,D], targets float[B,K],
    centers float32[K,D] -> float32[] (Wen et al. 2016, eq. 2; the mean over the labelled batch where the paper has the
    sum)."""
    squared = jnp.square(features[:, None] - centers).sum(-1)
    return _labelled_mean(targets * squared, targets) / 2


def island(features: Array, targets: Array, centers: Array, weight: float = 10.0) -> Array:
    """Return the center loss, and `weight` times the sum over ordered pairs of centers of 1 + cosine -> float32[] (Cai
    et al. 2018, eq. 7).

    The pairs hold no feature: they act through the centers, which `_repel_centers` turns away from each other.
    """
    directions = unit(centers)
    cosines = product(directions, directions.T)
    others = 1 - jnp.eye(len(centers))
    return center(features, targets, centers) + weight * (others * (cosines + 1)).sum()


def triplet_center(features: Array, targets: Array, centers: Array, margin: float = 0.5) -> Array:
    """Return max(0, margin + d(x, own center) - d(x, nearest other center)) for d = 1 - cosine -> float32[] (X. He et
    al. 2018, triplet-center loss).

    Mean over the labelled batch, never negative, and zero where every example is by the margin nearer to its own class.
    The paper's d is half the squared distance; angles need no margin for each network's length of features, and a
    center that has not been seen yet, which is zero, is at a right angle to everything.
    """
    cosines = product(unit(features), unit(centers).T)
    own = jnp.eye(len(centers), dtype=bool)
    others = max_first_argmax(jnp.where(own, -jnp.inf, cosines[:, None]), (2,))  # [B,K]: but the class of the column
    return _labelled_mean(targets * jnp.maximum(margin - cosines + others, 0), targets)


def _labelled_mean(terms: Array, targets: Array) -> Array:
    """Return the mean of the sums of terms float[B,K] over the examples that have a target float[B,K] at all."""
    return masked_mean(terms.sum(-1), targets.sum(-1) > 0)


def _update_centers(features: Array, targets: Array, centers: Array, rate: float = 0.5) -> Array:
    """Return the centers after a batch, float32[K,D]: c <- c - rate * sum(c - x) / (1 + n) over the n examples of its
    class (Wen et al. 2016, eq. 4 and algorithm 1). A class without examples keeps its center."""
    count = targets.sum(0)[:, None]
    return centers - rate * (count * centers - product(targets.T, features)) / (1 + count)


def _repel_centers(features: Array, targets: Array, centers: Array, rate: float = 0.5, weight: float = 10.0) -> Array:
    """Return the centers after `_update_centers`, moved away from each other by rate * weight / (K - 1) times the
    gradient of the sum of their cosines, float32[K,D] (Cai et al. 2018).

    A class without examples keeps its center here, too: nothing would hold it while the others push.
    """
    directions = unit(centers)
    others = directions.sum(0) - directions
    across = others - (others * directions).sum(-1, keepdims=True) * directions
    length = jnp.linalg.norm(centers, axis=-1, keepdims=True)
    gradient = jnp.where(length > 0, across / jnp.where(length > 0, length, 1), 0)
    present = targets.sum(0)[:, None] > 0
    push = rate * weight / max(len(centers) - 1, 1) * gradient
    return _update_centers(features, targets, centers, rate) - jnp.where(present, push, 0)


_Distance = Callable[[Array, Array, Array], Array]


def center_loss(context: LossContext, *, rate: float = 0.5) -> Loss:
    """Draw features to the center of their class; `rate` is how fast the centers follow them."""
    return _centered(context, center, partial(_update_centers, rate=rate))


def island_loss(context: LossContext, *, rate: float = 0.5, island_weight: float = 10.0) -> Loss:
    """Draw features to the center of their class and turn the centers away from each other."""
    repel = partial(_repel_centers, rate=rate, weight=island_weight)
    return _centered(context, partial(island, weight=island_weight), repel)


def triplet_center_loss(context: LossContext, *, rate: float = 0.5, margin: float = 0.5) -> Loss:
    """Keep features nearer, in cosine, to their own center than to any other by `margin`."""
    return _centered(context, partial(triplet_center, margin=margin), partial(_update_centers, rate=rate))


def _centered(context: LossContext, distance: _Distance, update: _Distance) -> Loss:
    """Return a loss over centers float32[K,D], all zero until their classes are seen. It sees them as they were before
    the batch."""

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        features = select_output(outputs, context.output).astype(jnp.float32)
        targets = batch[context.target]
        value = distance(features, targets, state["centers"])
        centers = update(jax.lax.stop_gradient(features), targets, state["centers"])
        return LossOutput(value, {"distance": value}, {"centers": centers})

    shape = (len(context.counts), context.features)
    return Loss(apply, lambda: {"centers": jnp.zeros(shape)})


def kernel_l2(params: Any) -> Array:
    """Return half the squared norm of all kernels, those of the heads among them, float32[]; biases, scales and other
    parameters of one dimension are free, as they are of weight decay."""
    kernels = (leaf.astype(jnp.float32) for leaf in jax.tree.leaves(params) if leaf.ndim > 1)
    return sum((jnp.square(kernel).sum() for kernel in kernels), start=jnp.zeros(())) / 2


def kernel_l2_loss(context: LossContext) -> Loss:
    """Keep kernels small: L_reg of He et al., eq. 1, of which the paper says only what it is for."""

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        return LossOutput(kernel_l2(params), {}, state)

    return Loss(apply)
