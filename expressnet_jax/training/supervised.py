"""What a step learns from a batch, as two pure functions, and the common case of it: labelled examples.

Shapes: B batch, H height, W width, C channels, K classes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax import Array

from expressnet_jax.data.augment import augment_batch
from expressnet_jax.data.fields import Field
from expressnet_jax.models.network import Network
from expressnet_jax.training.losses.base import Loss, total_loss
from expressnet_jax.training.state import TrainState

Batch = dict[str, Any]
Metrics = dict[str, Array]


class ModelState(NamedTuple):
    """What one pass through the network hands on to the next: running statistics and the states of the losses."""

    batch_stats: Any
    loss_state: Any


class LossProgram(NamedTuple):
    """What a step learns from a batch.

    Attributes:
      augmented: ((key, key), batch, step int32[]) -> a pytree of arrays [B,...]: the batch as the network sees it.
      loss: (params, model_state, augmented, key, state) -> (float32[], (model_state, metrics)). `params` are the
        network's and the losses' together; the state is that before the step, constant to the gradient.
    """

    augmented: Callable[[tuple[Array, Array], Batch, Array], Any]
    loss: Callable[[Any, ModelState, Any, Array, TrainState], tuple[Array, tuple[ModelState, Metrics]]]


def supervised(
    model: Network,
    losses: Mapping[str, Loss],
    augmentation: Mapping[str, Any],
    fields: Mapping[str, Field],
    num_examples: int = 1,
) -> LossProgram:
    """Return augmented inputs, and the weighted losses of what the network gives for them.

    `fields` are the targets in the batch; classes come as int32[B] and are compared as float32[B,K]. `num_examples` of
    an epoch tell alternating mirroring which one it is.
    """

    def augmented(keys: tuple[Array, Array], batch: Batch, step: Array) -> Batch:
        return augment_batch(keys, batch, fields, augmentation, step, num_examples)

    def loss(params, model_state: ModelState, batch: Batch, key: Array, state: TrainState):
        outputs, updated = model.apply(
            {"params": params, "batch_stats": model_state.batch_stats},
            {name: batch[name] for name in model.encoders},
            True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        total = total_loss(losses, outputs, batch, params, model_state.loss_state)
        return total.value, (ModelState(updated.get("batch_stats", {}), total.state), total.metrics)

    return LossProgram(augmented, loss)
