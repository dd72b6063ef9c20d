"""One step of adaptation: both domains through the network, the labelled loss and the method's own.

Shapes: B batch of a domain, H height, W width, C channels, D features, K classes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput, ModelOutputs, Size
from expressnet_jax.data.augment import augment, mix
from expressnet_jax.models.network import Network, Outputs
from expressnet_jax.training.losses.base import Loss, total_loss
from expressnet_jax.training.state import InitialVariables, TrainState, make_init_fn
from expressnet_jax.training.step import Batch, LossProgram, ModelState


def adaptation(
    model: Network,
    method: Method,
    losses: Mapping[str, Loss],
    augmentation: Mapping[str, Any],
    *,
    total: int,
    weight: float = 1.0,
    bn_domains: str = "separate",
    size: Size,
) -> LossProgram:
    """Return the loss program of a method. A batch holds "source" and "target" as the method needs them, each with
    image uint8[B,H,W,C], label int32[B] and index int32[B]; nothing reads the target's label.

    `total` are the steps of the run. Batch normalisation takes the statistics of both domains together, or, with
    `bn_domains` "separate", of each by itself, of which the target's are kept for evaluation.
    """
    networks = method.loss_params(size)

    def loss(params, model_state: ModelState, augmented: dict[str, Any], key: Array, state: TrainState):
        own = {name: params[name] for name in state.params}
        head_key, method_key = jax.random.split(key)
        forward = partial(_forward, model, own, key=head_key)
        (source, target), stats = _forward_domains(forward, augmented, model_state.batch_stats, bn_domains)
        # What a method does not ask for is None: the types are what one that does ask for it gets.
        given: Any = {"source": source, "target": target}
        given |= {name: augmented.get(name) for name in ("index", "targets")}
        given["teacher"] = _teacher(model, state, augmented["plain"], method_key) if method.teacher else None
        inputs = MethodInputs(
            **given,
            head_logits=partial(_apply, model, own, method="head_logits"),
            apply_aux=lambda name, x: _apply(networks[name][0], params[name], x),
            loss_state=model_state.loss_state,
            progress=state.step.astype(jnp.float32) / total,
            key=method_key,
        )
        output = method.transfer(inputs) if method.transfer else MethodOutput(jnp.zeros(()), model_state.loss_state)
        whole, metrics = weight * method.weight * output.loss, {"transfer": jnp.asarray(output.loss, jnp.float32)}
        if source is not None:
            outputs = Outputs(source.features, {model.main: source.logits})
            labelled = total_loss(losses, outputs, {model.main: augmented["targets"]}, own, {})
            whole, metrics = whole + labelled.value, metrics | labelled.metrics
        return whole, (ModelState(stats, output.loss_state), metrics)

    return LossProgram(_make_augment_fn(method, augmentation, model.num_classes), loss)


def _make_augment_fn(
    method: Method, augmentation: Mapping[str, Any], num_classes: int
) -> Callable[..., dict[str, Any]]:
    """Return (keys, batch, step) -> what the network is shown of a batch: augmented images, and the source's labels."""

    def augmented(keys: tuple[Array, Array], batch: Batch, step: Array) -> dict[str, Any]:
        del step
        source_key, target_key = jax.random.split(keys[0])
        seen: dict[str, Any] = {}
        if "source" in batch:
            images = augment(source_key, batch["source"]["image"], augmentation)
            targets = jax.nn.one_hot(batch["source"]["expression"], num_classes)
            seen["source"], seen["targets"] = mix(
                keys[1], images, targets, augmentation["mixup"], augmentation["cutmix"]
            )
        if "target" in batch:
            changes = {} if method.no_augmentation else {**augmentation, **(method.strong_augmentation or {})}
            seen["target"] = augment(target_key, batch["target"]["image"], changes)
            seen["index"] = batch["target"]["index"]
        if method.teacher:
            seen["plain"] = batch["target"]["image"].astype(jnp.float32)
        return seen

    return augmented


def make_adaptation_init_fn(model: Network, image_shape: tuple[int, ...], method: Method, size: Size):
    """Return key -> the network's parameters, the method's auxiliary ones, and its empty memory."""

    def create(key: Array) -> InitialVariables:
        networks = method.loss_params(size)
        keys = jax.random.split(jax.random.fold_in(key, 1), max(len(networks), 1))
        drawn = {
            name: network.init(each, jnp.zeros((1, width)))["params"]
            for each, (name, (network, width)) in zip(keys, networks.items(), strict=False)
        }
        return make_init_fn(model, image_shape)(key)._replace(loss_params=drawn, loss_state=method.loss_state(size))

    return create


def _apply(module: nn.Module, params: Any, *inputs: Array, method: str | None = None) -> Array:
    """Return the output of a module that keeps no state."""
    output: Any = module.apply({"params": params}, *inputs, method=method)
    return output


def _forward(model: Network, params: Any, images: Array, stats: Any, *, key: Array) -> tuple[ModelOutputs, Any]:
    seen, updated = model.apply(
        {"params": params, "batch_stats": stats},
        images,
        True,
        mutable=["batch_stats"],
        rngs={"dropout": key},
    )
    return ModelOutputs(seen.features, seen.heads[model.main]), updated.get("batch_stats", {})


def _forward_domains(
    forward, augmented: Mapping[str, Any], stats: Any, bn_domains: str
) -> tuple[tuple[ModelOutputs | None, ModelOutputs | None], Any]:
    """Return what the network makes of the domains that there are, and the running statistics afterwards."""
    source, target = augmented.get("source"), augmented.get("target")
    if source is None or target is None:
        seen, stats = forward(target if source is None else source, stats)
        return ((None, seen) if source is None else (seen, None)), stats
    if bn_domains == "separate":
        seen_source, _ = forward(source, stats)
        seen_target, stats = forward(target, stats)
        return (seen_source, seen_target), stats
    # Interleaved, not concatenated: each device keeps its own images of both.
    pairs = jnp.stack([source, target], axis=1)
    seen, stats = forward(pairs.reshape(-1, *source.shape[1:]), stats)
    part = lambda i: jax.tree.map(lambda x: x.reshape(len(source), 2, -1)[:, i], seen)
    return (part(0), part(1)), stats


def _teacher(model: Network, state: TrainState, images: Array, key: Array) -> Array:
    """Return the logits of the averaged network, normalised by the batch itself: running statistics are of changed
    images."""
    seen: dict[str, Any] = {"mutable": ["batch_stats"], "rngs": {"dropout": key}, "method": "features"}
    features, _ = model.apply(state.ema, images, True, **seen)
    logits: Any = model.apply(state.ema, features, method="head_logits")
    return jax.lax.stop_gradient(logits)
