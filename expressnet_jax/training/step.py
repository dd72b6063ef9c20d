"""The training step and the prediction: pure functions, compiled once, over whatever mesh the arrays lie on.

Shapes: S steps of a dispatch, B batch, H height, W width, C channels, K classes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array

from expressnet_jax.data.augment import augment, mirror_alternately, mix
from expressnet_jax.data.pipeline import fetch
from expressnet_jax.training.objectives import Objective
from expressnet_jax.training.optimizers import Schedule, current_rate
from expressnet_jax.training.state import TrainState

Batch = dict[str, Array]
Metrics = dict[str, Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformationExtraArgs,
    objective: Objective,
    schedule: Schedule,
    *,
    augmentation: Mapping[str, Any],
    num_examples: int = 1,
    seed: int = 0,
    accumulate: int = 1,
    sam: float = 0.0,
    ema: float = 0.0,
) -> TrainStep:
    """(state, batch) -> (state, metrics): augmentation, gradient, update, average.

    The batch holds image uint8[B,H,W,C], label int32[B] and perhaps votes float32[B,K], which then are the targets.
    Randomness is fold_in(key(seed), step): nothing random is kept in a checkpoint. Metrics are float32[]: loss,
    accuracy on the batch as augmented, gradient_norm, learning_rate. `num_examples` of an epoch tell alternating
    mirroring which one it is.
    """

    def loss_fn(params, batch_stats, images, targets, key):
        logits, updated = model.apply(
            {"params": params, "batch_stats": batch_stats}, images, True, mutable=["batch_stats"], rngs={"dropout": key}
        )
        return objective(logits, targets), (updated.get("batch_stats", {}), logits)

    gradient = jax.value_and_grad(loss_fn, has_aux=True)
    slices = partial(_sliced_gradient, gradient, accumulate) if accumulate > 1 else gradient

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        augment_key, mix_key, dropout_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), state.step), 3)
        images = batch["image"]
        if augmentation.get("alternate"):
            position = state.step * images.shape[0] + jnp.arange(images.shape[0])
            images = mirror_alternately(images, batch["index"], position // num_examples)
        images = augment(augment_key, images, augmentation)
        targets = batch.get("votes", jax.nn.one_hot(batch["label"], model.num_classes))
        images, targets = mix(mix_key, images, targets, augmentation["mixup"], augmentation["cutmix"])

        (loss, (stats, logits)), grads = slices(state.params, state.batch_stats, images, targets, dropout_key)
        norm = optax.tree.norm(grads)
        if sam:
            climbed = jax.tree.map(lambda p, g: p + sam * g / (norm + 1e-12), state.params, grads)
            _, grads = slices(climbed, state.batch_stats, images, targets, dropout_key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params, value=loss)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": loss,
            "accuracy": (logits.argmax(-1) == targets.argmax(-1)).mean(),
            "gradient_norm": norm,
            "learning_rate": jnp.asarray(current_rate(schedule, state.step, opt_state), jnp.float32),
        }
        average = _average(state.ema, {"params": params, "batch_stats": stats}, state.step, ema) if ema else state.ema
        return TrainState(state.step + 1, params, stats, opt_state, average), metrics

    return step


def _sliced_gradient(gradient, count, params, batch_stats, images, targets, key):
    """The mean gradient over `count` slices of the batch, one after the other; the statistics follow each slice.

    A slice is every count-th example, so that each device works on its own examples of every slice.
    """
    cut = lambda x: x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)
    join = lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    def one(carry, part):
        stats, total = carry
        slice_images, slice_targets, number = part
        out, grads = gradient(params, stats, slice_images, slice_targets, jax.random.fold_in(key, number))
        loss, (stats, logits) = out
        return (stats, jax.tree.map(jnp.add, total, grads)), (loss, logits)

    start = (batch_stats, jax.tree.map(jnp.zeros_like, params))
    (stats, total), (loss, logits) = jax.lax.scan(one, start, (cut(images), cut(targets), jnp.arange(count)))
    grads = jax.tree.map(lambda g: g / count, total)
    return (loss.mean(), (stats, join(logits))), grads


def _average(average, new, step, decay):
    """Exponential average whose decay grows from 0.1, so that the first weights are soon forgotten."""
    rate = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, b: a + rate * (b - a), average, new)


def make_dispatch(
    step, shardings: Any = None
) -> Callable[[TrainState, Array | None, Batch], tuple[TrainState, Metrics]]:
    """Compiles `step` over a dispatch of arrays [S,B,...]; metrics come back as float32[S]. The state is donated.

    `table` is the data set on the device, or None where the batch carries its pictures. `shardings` say where the state
    lies, before and after; left to itself, XLA may spread it in another way, and the next call compiles again.
    """

    def one(table, state, batch):
        return step(state, fetch(table, batch))

    def dispatch(state: TrainState, table: Array | None, batches: Batch) -> tuple[TrainState, Metrics]:
        if batches["label"].shape[0] == 1:  # a loop of one round would cost a CPU its multi-threaded convolutions
            state, metrics = one(table, state, jax.tree.map(lambda x: x[0], batches))
            return state, jax.tree.map(lambda x: x[None], metrics)
        return jax.lax.scan(partial(one, table), state, batches)

    return jax.jit(dispatch, donate_argnums=0, out_shardings=(shardings, None))


def make_classify(model: nn.Module) -> Callable[[Any, Array], Array]:
    """(variables, uint8[B,H,W,C]) -> probabilities float32[B,K], compiled once a shape."""

    @jax.jit
    def classify(variables, images):
        return jax.nn.softmax(model.apply(variables, images.astype(jnp.float32)))

    return classify


def make_predict(model: nn.Module, variables: Any) -> Callable[[Array], Array]:
    """The same with its variables: uint8[B,H,W,C] -> probabilities float32[B,K]."""
    return partial(make_classify(model), variables)
