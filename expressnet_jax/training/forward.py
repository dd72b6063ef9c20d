"""One pass of a network as it trains, with the maps that losses compare.

Shapes: B batch, H height, W width, C channels.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax.core import FrozenDict
from jax import Array

from expressnet_jax.errors import UserError
from expressnet_jax.models.network import Network, Outputs, Shape, zero_inputs
from expressnet_jax.training.losses.base import MIRRORED, Batch, Loss

_WHOSE = {
    "activation_map": "networks whose features are means of their last map, such as resnet18 or ir50 with embedding=0",
    "head_attention": "ddamfn",
}
_Pass = Callable[[Any, Any, Batch, Array], tuple[Outputs, Any]]


def training_pass(model: Network, losses: Mapping[str, Loss]) -> _Pass:
    """Return (params, batch_stats, batch, dropout key) -> the outputs for the batch's inputs, and the batch statistics
    after it.

    `Outputs.maps` has what the losses ask for. Where one compares mirror images, these go through the network after the
    images, with the same dropout and their own batch statistics; of them, only the maps are kept.
    """
    names = sorted({name for loss in losses.values() for name in loss.maps})
    mutable = ["batch_stats", "intermediates"] if names else ["batch_stats"]

    def one_pass(params: Any, batch_stats: Any, inputs: Mapping[str, Array], key: Array) -> tuple[Outputs, Any]:
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, updated = model.apply(variables, inputs, True, mutable=mutable, rngs={"dropout": key})
        maps = {name: updated["intermediates"]["backbone"][name] for name in names}
        return outputs._replace(maps=FrozenDict(maps)), updated.get("batch_stats", {})

    def passes(params: Any, batch_stats: Any, batch: Batch, key: Array) -> tuple[Outputs, Any]:
        inputs = {name: batch[name] for name in model.encoders}
        outputs, batch_stats = one_pass(params, batch_stats, inputs, key)
        if not any(loss.mirrored for loss in losses.values()):
            return outputs, batch_stats
        mirrored = {name: x[..., ::-1, :] for name, x in inputs.items()}
        others, batch_stats = one_pass(params, batch_stats, mirrored, key)
        maps = {f"{MIRRORED}{name}": x for name, x in others.maps.items()}
        return outputs._replace(maps=FrozenDict({**outputs.maps, **maps})), batch_stats

    return passes


def check_maps(losses: Mapping[str, Loss], model: Network, shape: Shape) -> None:
    """Raise UserError for a loss that compares what the network doesn't have, or mirrors what is no image."""
    if not any(loss.maps for loss in losses.values()):
        return
    look = lambda: model.init_with_output(jax.random.key(0), zero_inputs(shape), mutable=True)
    seen = jax.eval_shape(look)[1].get("intermediates", {}).get("backbone", {})
    for key, loss in losses.items():
        if absent := [name for name in loss.maps if name not in seen]:
            raise UserError(f"losses.{key}: this network has no {absent[0]}; {_WHOSE[absent[0]]} can learn by it")
        if loss.mirrored and (others := set(model.encoders) - {"image", "clip"}):
            raise UserError(
                f"losses.{key}: compares mirror images, but the network takes {', '.join(sorted(others))}; leave it out"
            )
