"""What a run learns, as two pure functions, and the common case of it: labelled pictures.

Shapes: B batch, H height, W width, C channels, K classes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.data.augment import augment, mirror_alternately, mix
from expressnet_jax.training.feature_losses import JointLoss
from expressnet_jax.training.objectives import Objective
from expressnet_jax.training.state import TrainState

Batch = dict[str, Any]
Metrics = dict[str, Array]


class Carried(NamedTuple):
    """What one pass through the network hands on to the next: running statistics and the task's memory."""

    batch_stats: Any
    memory: Any


class Task(NamedTuple):
    """What a step learns from a batch.

    Attributes:
      views: ((key, key), batch, step int32[]) -> a pytree of arrays [B,...]: the batch as the network sees it.
      loss: (params, carried, views, key, state) -> (float32[], (carried, metrics)). `params` are the network's and the
        auxiliary ones together; the state is that before the step, constant to the gradient.
    """

    views: Callable[[tuple[Array, Array], Batch, Array], Any]
    loss: Callable[[Any, Carried, Any, Array, TrainState], tuple[Array, tuple[Carried, Metrics]]]


def supervised(
    model: nn.Module,
    objective: Objective,
    augmentation: Mapping[str, Any],
    num_examples: int = 1,
    joint: JointLoss | None = None,
) -> Task:
    """Augmented pictures and their targets: image uint8[B,H,W,C], and label int32[B] or votes float32[B,K].

    `num_examples` of an epoch tell alternating mirroring which one it is. With `joint` the objective is one
    term of several. Metrics: accuracy on what was augmented, and those of `joint`.
    """

    def views(keys: tuple[Array, Array], batch: Batch, step: Array) -> tuple[Array, Array]:
        images = batch["image"]
        if augmentation.get("alternate"):
            position = step * images.shape[0] + jnp.arange(images.shape[0])
            images = mirror_alternately(images, batch["index"], position // num_examples)
        images = augment(keys[0], images, augmentation)
        targets = batch.get("votes", jax.nn.one_hot(batch["label"], model.num_classes))
        return mix(keys[1], images, targets, augmentation["mixup"], augmentation["cutmix"])

    def loss(params, carried: Carried, views: tuple[Array, Array], key: Array, state: TrainState):
        images, targets = views
        seen, updated = model.apply(
            {"params": params, "batch_stats": carried.batch_stats},
            images,
            True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
            method="look" if joint else None,
        )
        features, logits = seen if joint else (None, seen)
        metrics = {"accuracy": (logits.argmax(-1) == targets.argmax(-1)).mean()}
        value, memory = objective(logits, targets), carried.memory
        if joint:
            value, memory, more = joint(value, features, targets, params, memory)
            metrics |= more
        return value, (Carried(updated.get("batch_stats", {}), memory), metrics)

    return Task(views, loss)
