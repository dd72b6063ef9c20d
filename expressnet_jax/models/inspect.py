"""What can be asked of a model without training it: its order of layers, parameters, arithmetic and attention maps."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def layer_order(model: nn.Module, image_shape: tuple[int, int, int]) -> list[str]:
    """Names of the backbone's direct children in the order in which the forward pass first calls them."""
    order: dict[str, None] = {}

    def note(call, args, kwargs, context):
        path = context.module.path
        if len(path) >= 2 and path[0] == "backbone":
            order.setdefault(path[1])
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))
    return list(order)


def parameter_count(params: Any) -> int:
    """Number of elements of all arrays of a pytree."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def forward_flops(model: nn.Module, image_shape: tuple[int, int, int]) -> float:
    """Floating-point operations of one picture's forward pass as the compiler counts them (a multiply-add is two)."""
    variables = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    cost = jax.jit(model.apply).lower(variables, image).cost_analysis()
    return float(cost["flops"])


def attention_maps(model: nn.Module, variables: Any, images: Array) -> dict[str, Array]:
    """Every map that the model sows, by its path: spatial masks float[B,h,w], channel weights float[B,C].

    images uint8 or float[B,H,W,C] in 0..255.
    """
    _, sown = model.apply(variables, images.astype(jnp.float32), mutable=["intermediates"])
    leaves = jax.tree_util.tree_leaves_with_path(sown.get("intermediates", {}))
    return {"/".join(str(key.key) for key in path if hasattr(key, "key")): leaf for path, leaf in leaves}
