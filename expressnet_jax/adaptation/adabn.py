"""Adaptive batch normalisation: a trained network with the batch statistics of the target (Li et al. 2018, AdaBN).

Shapes: B batch, H height, W width, C channels.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from expressnet_jax.adaptation.method import Method
from expressnet_jax.training.state import TrainState
from expressnet_jax.training.step import Batch, Metrics, TrainStep


def batch_statistics(model: nn.Module, variables: Mapping[str, Any], images: Array) -> Any:
    """Return the mean and variance that each normalisation sees in one batch, a tree like `batch_stats`.

    Linen only hands out m x old + (1 - m) x batch. That is linear in the old ones: from zero it gives (1 - m) x batch,
    and its derivative is each layer's momentum m, whatever the network has set.
    """

    def updated(running: Any) -> Any:
        state = {**variables, "batch_stats": running}
        # Features only: the head has no statistics, and its dropout would ask for a key.
        _, new = model.apply(state, images.astype(jnp.float32), True, mutable=["batch_stats"], method="features")
        return new["batch_stats"]

    zeros, ones = (jax.tree.map(fill, variables["batch_stats"]) for fill in (jnp.zeros_like, jnp.ones_like))
    part, momentum = jax.jvp(updated, (zeros,), (ones,))
    return jax.tree.map(lambda x, m: x / (1 - m), part, momentum)


def pool(first: Any, second: Any, share: ArrayLike) -> Any:
    """Return the statistics of two samples together, of which the second is `share` (eq. 2: the means' distance adds
    variance)."""
    return jax.tree.map(partial(_pool_layer, share), first, second, is_leaf=_is_layer)


def _pool_layer(share: ArrayLike, first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Array]:
    apart = second["mean"] - first["mean"]
    variance = (1 - share) * first["var"] + share * second["var"] + share * (1 - share) * apart**2
    return {"mean": first["mean"] + share * apart, "var": jnp.asarray(variance)}


def _is_layer(node: Any) -> bool:
    return isinstance(node, Mapping) and set(node) == {"mean", "var"}


def recalibrate_batch_norm(model: nn.Module, first: int) -> TrainStep:
    """Return a step (state, batch, seed) -> (state, metrics): no parameter moves; the running statistics of the network
    that is evaluated become those of the target images since step `first`, as evaluation sees them, each counted once.

    For what enters the first normalisation these are mean and variance of all images together. Deeper layers see what
    a batch's own statistics normalised, as in training.
    """

    def recalibration_steps(state: TrainState, batch: Batch, seed: Array | int = 0) -> tuple[TrainState, Metrics]:
        del seed  # nothing is drawn
        variables = state.variables
        found = batch_statistics(model, variables, batch["target"]["image"])
        stats = pool(variables["batch_stats"], found, 1 / (state.step - first + 1))
        after = {"ema": {**state.ema, "batch_stats": stats}} if state.ema else {"batch_stats": stats}
        return dataclasses.replace(state, step=state.step + 1, **after), {"recalibration": jnp.ones(())}

    return recalibration_steps


def method() -> Method:
    """Recalibrate once through the target, and take no other step."""
    return Method(labelled="", bn_recalibration_share=1.0, trains=False)
