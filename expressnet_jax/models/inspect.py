"""What is known of a model without training it: its order of layers, parameters and arithmetic."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from clu import parameter_overview

from expressnet_jax.models.network import Shape, zero_inputs
from expressnet_jax.models.registry import MODELS, create_model, input_kind


def layer_order(model: nn.Module, shape: Shape) -> list[str]:
    """Return the names of the first backbone's direct children with parameters, in the order of their first calls in a
    forward pass."""
    order: dict[str, None] = {}

    def note(call, args, kwargs, context):
        path = context.module.path
        if len(path) >= 2 and path[0] == "backbone":
            order.setdefault(path[1])
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        params = _shapes(model, shape)["params"]
    return [name for name in order if name in params.get("backbone", {})]


def parameter_count(params: Any) -> int:
    """Return the number of elements of all arrays of a pytree."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def forward_flops(model: nn.Module, shape: Shape) -> float:
    """Return the floating-point operations of one example's forward pass as the compiler counts them (a multiply-add is
    two)."""
    variables = _shapes(model, shape)
    cost: Any = jax.jit(model.apply).lower(variables, jax.eval_shape(partial(zero_inputs, shape))).cost_analysis()
    return float(cost["flops"])


def example_shape(name: str, image_shape: tuple[int, ...], frames: int = 8) -> tuple[int, ...]:
    """Return the shape of one example that a model takes: an image of `image_shape`, a clip of such frames, three
    seconds of sound, 48 pieces of text, 35 values, 28x28 places of flow and strain, or 68 points in space."""
    known = {"clip": (frames, *image_shape), "waveform": (48_000,), "tokens": (48,), "vector": (35,)}
    known |= {"flow": (28, 28, 3), "points": (68, 3)}
    return known.get(input_kind(name), image_shape)


def measure_models(
    image_shape: tuple[int, ...], num_classes: int = 7, file_size: Callable[[str], int] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield what is known of every model for images of that shape (`example_shape` says of what else): parameters,
    floating-point operations of one example, features. `file_size` gives the bytes of its ONNX file, seconds a model.
    """
    for name in MODELS:
        model, shape = create_model(name, num_classes), example_shape(name, image_shape)
        params = _shapes(model, shape)["params"]
        found = {"model": name, "input": input_kind(name), "shape": list(shape), "parameters": parameter_count(params)}
        found |= {"flops": forward_flops(model, shape), "features": params["head"]["kernel"].shape[0]}
        yield found | ({"onnx_bytes": file_size(name)} if file_size else {})


def overview(rows: Iterable[Mapping[str, Any]], with_size: bool = False) -> Iterator[str]:
    """Yield the lines of a table of `measure_models`, each as soon as it is known."""
    head = f"{'model':20s} {'parameters':>12s} {'MFLOP':>16s} {'features':>9s}"
    yield head + (f" {'ONNX MB':>9s}" if with_size else "")
    for row in rows:
        line = f"{row['model']:20s} {row['parameters']:12,} {row['flops'] / 1e6:16.1f} {row['features']:9d}"
        yield line + (f" {row['onnx_bytes'] / 1e6:9.1f}" if with_size else "")


def describe(name: str, image_shape: tuple[int, ...], num_classes: int = 7) -> str:
    """Return every parameter of one model with its shape."""
    params = _shapes(create_model(name, num_classes), example_shape(name, image_shape))["params"]
    return parameter_overview.get_parameter_overview(params, include_stats=False)


def _shapes(model: nn.Module, shape: Shape) -> Any:
    return jax.eval_shape(lambda: model.init(jax.random.key(0), zero_inputs(shape)))
