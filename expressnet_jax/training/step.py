"""The training step, what it learns from a batch, and the prediction: pure functions, compiled once, over whatever mesh
the arrays lie on.

Shapes: S steps of a dispatch, B batch, H height, W width, C channels, D features, K classes.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from expressnet_jax.data.augment import augment_batch
from expressnet_jax.data.fields import Field, input_name
from expressnet_jax.data.sound_augment import to_unit
from expressnet_jax.models.layer_forms import few_kernels
from expressnet_jax.models.network import Network
from expressnet_jax.training.forward import training_pass
from expressnet_jax.training.losses.base import Loss, total_loss
from expressnet_jax.training.optimizers import Schedule, current_rate
from expressnet_jax.training.optimizers.packing import pack
from expressnet_jax.training.state import TrainState

Batch = dict[str, Any]
Metrics = dict[str, Array]
TrainStep = Callable[[TrainState, Batch, Array | int], tuple[TrainState, Metrics]]


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
    network = training_pass(model, losses)

    def augmented(keys: tuple[Array, Array], batch: Batch, step: Array) -> Batch:
        return augment_batch(keys, batch, fields, augmentation, step, num_examples)

    def loss(params, model_state: ModelState, batch: Batch, key: Array, state: TrainState):
        outputs, batch_stats = network(params, model_state.batch_stats, batch, key)
        total = total_loss(losses, outputs, batch, params, model_state.loss_state)
        return total.value, (ModelState(batch_stats, total.state), total.metrics)

    return LossProgram(augmented, loss)


def make_train_step(
    program: LossProgram,
    optimizer: optax.GradientTransformationExtraArgs,
    schedule: Schedule,
    *,
    accumulate: int = 1,
    sam: float = 0.0,
    ema: float = 0.0,
    remat: bool = False,
    trainable: Callable[[Any], Any] | None = None,
) -> TrainStep:
    """Return a step (state, batch, seed) -> (state, metrics): the program's augmented batch, gradient, update, average.

    Randomness is fold_in(key(seed), step): nothing random is kept in a checkpoint, and all seeds are one program.
    Metrics are float32[]: the losses', loss, gradient_norm, learning_rate. `remat` saves memory as `rematerialized`
    says. `trainable` gives a bool for every parameter; what does not learn costs no gradient and stays as it is, while
    its running statistics follow the images.
    """
    gradient = _gradient(program, accumulate, remat, trainable)

    def step(state: TrainState, batch: Batch, seed: Array | int = 0) -> tuple[TrainState, Metrics]:
        *view_keys, key = jax.random.split(jax.random.fold_in(jax.random.key(seed), state.step), 3)
        with jax.named_scope("augmentation"):
            augmented = program.augmented(tuple(view_keys), batch, state.step)
        trained, model_state = {**state.params, **state.loss_params}, ModelState(state.batch_stats, state.loss_state)

        (loss, (after, metrics)), grads = gradient(trained, model_state, augmented, key, state)
        norm, grads = _measured(grads)
        if sam:
            climbed = jax.tree.map(lambda p, g: p + sam * g / (norm + 1e-12), trained, grads)
            _, grads = gradient(climbed, model_state, augmented, key, state)
        trained, opt_state = _update(optimizer, trainable, grads, state.opt_state, trained, loss)
        metrics = metrics | {
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": jnp.asarray(current_rate(schedule, state.step, opt_state), jnp.float32),
        }
        params, loss_params = ({name: trained[name] for name in part} for part in (state.params, state.loss_params))
        stats, loss_state = after
        average = _average(state.ema, {"params": params, "batch_stats": stats}, state.step, ema) if ema else state.ema
        return TrainState(state.step + 1, params, stats, opt_state, average, loss_params, loss_state), metrics

    return step


@jax.named_scope("optimizer")
def _update(optimizer, trainable, grads, opt_state, trained, loss):
    """Return what learns after the optimizer's update, and the optimizer's state."""
    updates, opt_state = optimizer.update(grads, opt_state, trained, value=loss)
    if trainable is not None:  # weight decay and momentum would move it all the same
        updates = jax.tree.map(lambda u, free: u if free else jnp.zeros_like(u), updates, trainable(trained))
    return optax.apply_updates(trained, updates), opt_state


@jax.named_scope("gradient_norm")
def _measured(grads: Any) -> tuple[Array, Any]:
    """Return the gradient's length and the gradient; on a GPU with small arrays cut from joined ones."""
    if not few_kernels():
        return optax.tree.norm(grads), grads
    vectors, unpack = pack(grads)
    vectors = [jax.lax.optimization_barrier(v) if v.ndim == 1 else v for v in vectors]
    # Columns first: their sums are then added in one kernel.
    columns = [jnp.square(v).sum(tuple(range(v.ndim - 1))).reshape(-1) for v in vectors]
    # Without the barrier, XLA would sum each part by itself.
    return jnp.sqrt(jax.lax.optimization_barrier(jnp.concatenate(columns)).sum()), unpack(vectors)


def _gradient(program: LossProgram, accumulate: int, remat: bool, trainable: Callable[[Any], Any] | None):
    """The loss, its auxiliary output, and the gradient with respect to what learns."""

    def loss_fn(params, model_state, augmented, key, state):
        if trainable is not None:
            params = jax.tree.map(lambda p, free: p if free else jax.lax.stop_gradient(p), params, trainable(params))
        return program.loss(params, model_state, augmented, key, state)

    gradient = jax.value_and_grad(rematerialized(loss_fn) if remat else loss_fn, has_aux=True)
    return partial(_sliced_gradient, gradient, accumulate) if accumulate > 1 else gradient


_REDUCTIONS = {"reduce", "reduce_sum", "reduce_max", "reduce_min", "argmax", "reduce_window_max"}
_KEPT = {"conv_general_dilated", "dot_general"} | _REDUCTIONS  # what is dear to compute, and what is small


def rematerialized(function: Callable) -> Callable:
    """Return the function with a backward pass that finds only convolutions, products and reductions in memory.

    Normalization and activations between them are computed a second time (Chen et al. 2016, "Training deep nets with
    sublinear memory cost").
    """
    return jax.checkpoint(function, policy=_is_kept)


def _is_kept(primitive: Any, *values: Any, **_: Any) -> bool:
    """Return whether what a primitive makes of values is kept; of the complex sums that BatchNorm has, their parts: JAX
    rounds what it keeps, and can't round complex numbers."""
    if primitive.name in ("real", "imag"):
        return True
    return primitive.name in _KEPT and not jnp.issubdtype(values[0].dtype, jnp.complexfloating)


def _sliced_gradient(gradient, count, params, model_state, augmented, key, state):
    """The mean gradient over `count` slices of the batch, one after the other; the statistics follow each slice.

    A slice is every count-th example, so that each device works on its own examples of every slice.
    """
    cut = lambda x: x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)

    def one(so_far, part):
        model_state, total = so_far
        slice_views, number = part
        (loss, (model_state, metrics)), grads = gradient(
            params, model_state, slice_views, jax.random.fold_in(key, number), state
        )
        return (model_state, jax.tree.map(jnp.add, total, grads)), (loss, metrics)

    start = (model_state, jax.tree.map(jnp.zeros_like, params))
    (model_state, total), scores = jax.lax.scan(one, start, (jax.tree.map(cut, augmented), jnp.arange(count)))
    loss, metrics = jax.tree.map(lambda x: x.mean(0), scores)
    return (loss, (model_state, metrics)), jax.tree.map(lambda g: g / count, total)


@jax.named_scope("average")
def _average(average, new, step, decay):
    """Return the exponential average whose decay grows from 0.1, so that the first weights are soon forgotten."""
    rate = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, b: a + rate * (b - a), average, new)


def num_steps(batches: Batch) -> int:
    """Return S of a dispatch's arrays [S,B,...]."""
    return jax.tree.leaves(batches)[0].shape[0]


def gather_inputs(table: Array | dict[str, Array | None] | None, batch: dict[str, Any]) -> dict[str, Any]:
    """Return the batch with its `image` uint8[B,H,W,C], from the table on the device if it lies there; joined ones by
    name."""
    if isinstance(table, dict):
        return {name: gather_inputs(table[name], part) for name, part in batch.items()}
    return batch if table is None else batch | {input_name(table): jnp.take(table, batch["index"], axis=0)}


def make_multi_step(step, shardings: Any = None) -> jax.stages.Wrapped:
    """Compile `step` over a call's arrays [S,B,...]; metrics come back as float32[S]. The state is donated.

    `table` is the data set on the device, or None where the batch carries its images. `shardings` say where the state
    lies, before and after; left to itself, XLA may spread it in another way, and the next call compiles again.
    """

    def multi_step(
        state: TrainState, table: Array | None, batches: Batch, seed: Array | int = 0
    ) -> tuple[TrainState, Metrics]:
        one = lambda state, batch: step(state, gather_inputs(table, batch), seed)
        if num_steps(batches) == 1:  # a loop of one round would cost a CPU its multi-threaded convolutions
            state, metrics = one(state, jax.tree.map(lambda x: x[0], batches))
            return state, jax.tree.map(lambda x: x[None], metrics)
        if not few_kernels():
            return jax.lax.scan(one, state, batches)
        vectors, unpack = pack(state)

        def packed_one(vectors, batch):
            state, metrics = one(unpack(vectors), batch)
            return pack(state)[0], metrics

        vectors, metrics = jax.lax.scan(packed_one, vectors, batches)
        return unpack(vectors), metrics

    return jax.jit(multi_step, donate_argnums=0, out_shardings=(shardings, None))


def make_predict_fn(
    model: Network, sharding: Any = None, apply: str = "main", classes: Collection[str] = ()
) -> Callable[[Any, Any], Any]:
    """Return (variables, inputs) -> what the network gives, compiled once a shape, lying as `sharding` says.

    inputs: uint8[B,H,W,C], or a dict of arrays by name. `apply` chooses the result: "main" the probabilities
    float32[B,K] of the main head; "all" a dict of all heads, where the main one and further `classes` give
    probabilities; "features" float32[B,D].
    """

    def main(variables, inputs):
        return jax.nn.softmax(model.apply(variables, as_float(inputs)).heads[model.main])

    def every(variables, inputs):
        heads = model.apply(variables, as_float(inputs)).heads
        return heads | {name: jax.nn.softmax(heads[name]) for name in (model.main, *classes)}

    def features(variables, inputs):
        return model.apply(variables, as_float(inputs), method="features")

    chosen = {"main": main, "all": every, "features": features}[apply]
    return jax.jit(chosen, out_shardings=sharding)


def as_float(inputs: Any) -> Any:
    """Return every array of the inputs as float32; sound, int16, in -1..1."""
    return jax.tree.map(lambda x: to_unit(x) if x.dtype == jnp.int16 else x.astype(jnp.float32), inputs)
