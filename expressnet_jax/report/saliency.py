"""Maps of what an answer rests on: by covering parts of an image, and by gradients of a JAX model.

Each map function takes images uint8[N,H,W,C] and targets int[N], and gives float64[N,H,W], the higher the more the
place speaks for the target. Shapes: N images, H height, W width, C channels, K classes, P positions of a patch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from expressnet_jax.errors import UserError
from expressnet_jax.export.onnx_function import activation_maps
from expressnet_jax.models.network import Network
from expressnet_jax.report.context import progress
from expressnet_jax.report.subject import Subject

_MapOf = Callable[[np.ndarray, np.ndarray], np.ndarray]
PATCH, STRIDE = 1 / 6, 1 / 12  # of the image's side
_IG_STEPS = 16
CHUNK = 16


class Method(NamedTuple):
    """One kind of map, with its name in words."""

    title: str
    maps: _MapOf


def methods_of(subject: Subject) -> dict[str, Method]:
    """Return the maps that can be made of a subject: of a checkpoint all, of an ONNX file those without gradients."""
    found = {"occlusion": Method("occlusion sensitivity", partial(occlusion, subject.probabilities))}
    if subject.attention is not None:
        found["attention"] = Method("class activation map of the file", partial(_attention, subject.attention))
    if subject.checkpoint is None:
        return found
    model, variables = subject.checkpoint.model, subject.checkpoint.variables
    shape = subject.image_shape
    if has_activation_map(model, variables, shape):
        found["cam"] = Method("class activation map", partial(class_activation_maps, model, variables))
    found["grad_cam"] = Method("Grad-CAM", partial(grad_cam, model, variables))
    found["integrated_gradients"] = Method("integrated gradients", partial(_integrated_gradients, model, variables))
    return found


def occlusion(
    probabilities: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    targets: np.ndarray,
    patch: float = PATCH,
    stride: float = STRIDE,
    fill: float | None = None,
) -> np.ndarray:
    """Return by how much the target's probability falls on average when a patch covers a place.

    Zeiler & Fergus 2014, section 4.2. `patch` and `stride` are shares of the image's side; the patch has the gray value
    `fill`, or the image's mean colour.
    """
    height, width = images.shape[1:3]
    side, step = max(round(patch * height), 1), max(round(stride * height), 1)
    corners = [(y, x) for y in range(0, height - side + 1, step) for x in range(0, width - side + 1, step)]
    covers = np.zeros((len(corners), height, width), bool)
    for cover, (y, x) in zip(covers, corners, strict=True):
        cover[y : y + side, x : x + side] = True
    whole = probabilities(images)[np.arange(len(images)), targets]
    often = np.maximum(covers.sum(0), 1)
    found = np.empty((len(images), height, width))
    for row, image, target, before in zip(found, progress(images, "occluding"), targets, whole, strict=True):
        colour = image.mean((0, 1)).round().astype(np.uint8) if fill is None else np.uint8(fill)
        shown = np.where(covers[..., None], colour, image)
        fallen = before - probabilities(shown)[:, target].astype(np.float64)
        row[:] = np.tensordot(fallen, covers, axes=1) / often
    return found


def _integrated_gradients(
    model: Network, variables: Any, images: np.ndarray, targets: np.ndarray, steps: int = _IG_STEPS
) -> np.ndarray:
    """Return the size of each pixel's part in the target's logit, against a black image.

    Sundararajan et al. 2017, eq. 3, by the midpoint rule; absolute values of the sum over channels.
    """
    return np.abs(signed_gradients(model, variables, images, targets, steps).sum(-1))


def signed_gradients(
    model: Network, variables: Any, images: np.ndarray, targets: np.ndarray, steps: int = _IG_STEPS
) -> np.ndarray:
    """Return each value's part float64[N,H,W,C]; their sum is the logit less the black image's (completeness)."""

    def of(part: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        x = part.astype(np.float32)
        total = np.zeros(x.shape)
        for i in range(steps):
            total += np.asarray(_logit_gradient(model, variables, x * np.float32((i + 0.5) / steps), wanted))
        return x * total / steps

    return _in_chunks(of, images, targets, "integrated gradients")


def grad_cam(model: Network, variables: Any, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the last maps weighted by the mean gradient of the target's logit, where positive, enlarged.

    Selvaraju et al. 2017, eq. 1 and 2.
    """
    path, shape = last_map(model, variables, images.shape[1:])

    def of(part: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        gradient, maps = _map_gradient(model, path, shape, variables, part.astype(np.float32), wanted)
        weights = np.asarray(gradient, np.float64).mean((1, 2), keepdims=True)
        found = np.maximum((weights * np.asarray(maps, np.float64)).sum(-1), 0)
        return enlarged(found, part.shape[1:3])

    return _in_chunks(of, images, targets, "Grad-CAM")


def class_activation_maps(model: Network, variables: Any, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the terms of the target's logit at each place, enlarged (Zhou et al. 2016, eq. 2)."""

    def of(part: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        terms = _logit_terms(model, variables, part.astype(np.float32), wanted)
        return np.sum([enlarged(np.asarray(each, np.float64), part.shape[1:3]) for each in terms], axis=0)

    return _in_chunks(of, images, targets, "class activation")


def has_activation_map(model: Network, variables: Any, shape: tuple[int, ...]) -> bool:
    """Return whether the logits are sums over places: averaged maps and a linear head."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    _, seen = jax.eval_shape(lambda x: model.apply(variables, x, mutable=["intermediates"]), image)
    try:
        activation_maps(seen)
    except UserError:
        return False
    return model.heads[model.main].kind == "linear"


def last_map(model: Network, variables: Any, shape: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the path of the backbone's module whose output is the last map, and the map's (h, w, C).

    Raises:
      UserError: there is no map of more than one place.
    """
    outputs: dict[tuple[str, ...], tuple[int, ...]] = {}

    def note(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        out = call(*args, **kwargs)
        if context.method_name == "__call__" and getattr(out, "ndim", 0) == 4 and out.shape[1] > 1:
            outputs.pop(context.module.path, None)
            outputs[context.module.path] = out.shape[1:]
        return out

    with nn.intercept_methods(note):
        jax.eval_shape(partial(model.apply, variables), jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    if not outputs:
        raise UserError("Grad-CAM: the network has no map of more than one place")
    return list(outputs.items())[-1]


def enlarged(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return maps float[N,h,w] at a size (H, W), by linear interpolation: float64[N,H,W]."""
    grow = lambda each: cv2.resize(each, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.stack([grow(np.ascontiguousarray(each, np.float64)) for each in maps])


def _score(model: Network, variables: Any, x: Array, targets: Array) -> Array:
    """Return the targets' logits float32[N] of images float[N,H,W,C]."""
    outputs: Any = model.apply(variables, x)
    return outputs.heads[model.main][jnp.arange(len(x)), targets]


# The variables are arguments, so that a network and the same one with shuffled weights are one program.
@partial(jax.jit, static_argnums=0)
def _logit_gradient(model: Network, variables: Any, x: Array, targets: Array) -> Array:
    return jax.grad(lambda x: _score(model, variables, x, targets).sum())(x)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _map_gradient(
    model: Network, path: tuple[str, ...], shape: tuple[int, ...], variables: Any, x: Array, targets: Array
) -> tuple[Array, Array]:
    """Return the gradient of the targets' logits with respect to the map (h, w, C) at a module's path, and the map."""

    def score(shift: Array) -> tuple[Array, Array]:
        seen = {}

        def add(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
            out = call(*args, **kwargs)
            if context.module.path == path and context.method_name == "__call__":
                out = seen["map"] = out + shift
            return out

        with nn.intercept_methods(add):
            return _score(model, variables, x, targets).sum(), seen["map"]

    return jax.grad(score, has_aux=True)(jnp.zeros((len(x), *shape)))


@partial(jax.jit, static_argnums=0)
def _logit_terms(model: Network, variables: Any, x: Array, targets: Array) -> list[Array]:
    """Return what each place of each map adds to the targets' logits, float32[N,h,w] each."""
    _, seen = model.apply(variables, x, mutable=["intermediates"])
    maps = activation_maps(seen)
    ends = np.cumsum([each.shape[-1] for each in maps])[:-1]
    kernels = jnp.split(variables["params"]["head"]["kernel"], ends)
    weigh = lambda each, kernel: jnp.einsum("nhwc,cn->nhw", each, kernel[:, targets]) / each[0, ..., 0].size
    return [weigh(each, kernel) for each, kernel in zip(maps, kernels, strict=True)]


def _attention(attention: Callable[[np.ndarray], np.ndarray], images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the file's own map, which is of the likeliest class whatever the target."""
    return enlarged(np.asarray(attention(images), np.float64), images.shape[1:3])


def _in_chunks(of: _MapOf, images: np.ndarray, targets: np.ndarray, text: str) -> np.ndarray:
    """`of` on parts of one size, the last one filled up with black, so that it compiles once."""
    found = []
    for start in progress(range(0, len(images), CHUNK), text):
        part, wanted = images[start : start + CHUNK], np.asarray(targets[start : start + CHUNK], np.int32)
        short = CHUNK - len(part)
        full = np.concatenate([part, np.zeros((short, *part.shape[1:]), part.dtype)])
        found.append(of(full, np.pad(wanted, (0, short)))[: len(part)])
    return np.concatenate(found)
