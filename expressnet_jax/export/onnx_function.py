"""What an ONNX file computes, as a function of JAX.

Shapes: B batch, H height, W width, C channels, K classes, D features.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.calibration import Calibration
from expressnet_jax.models.network import Network
from expressnet_jax.training.step import as_float

TIE = 1e-5  # two classes whose probabilities are nearer than this may come out in either order


def run_network(
    model: Network,
    outputs: Mapping[str, Field],
    variables: dict[str, Any],
    images: Any,
    *,
    calibrations: Mapping[str, Calibration] | None = None,
    mirror: bool = False,
    attention: bool = False,
) -> tuple[Array, ...]:
    """Return what the file gives for images, or for inputs by name: probabilities, with `attention` the map of what
    they are about, and every further output of the network in the order of `outputs`.

    The logits of each class go through its calibration, where there is one. With `mirror` classes are the mean over the
    image and its mirror image, and so are points and values that have a mirror, with their sides put back; all else is
    of the image as it is."""
    images = as_float(images)
    found, seen = model.apply(variables, images, mutable=["intermediates"])
    heads, calibrations = dict(found.heads), calibrations or {}
    scores = calibrations.get(model.main, Calibration()).scores(heads[model.main])
    maps = [class_activation(activation_maps(seen), variables["params"]["head"], scores)] if attention else []
    if mirror:
        others: Any = model.apply(variables, mirrored(images))
        heads |= {name: _mirror_mean(heads[name], others.heads[name], field) for name, field in outputs.items()}
    main, *further = (
        activate(heads[name], outputs[name], calibrations.get(name, Calibration()))
        for name in (model.main, *(name for name in outputs if name != model.main))
    )
    return main, *maps, *further


def _mirror_mean(values: Array, of_mirror: Array, field: Field) -> Array:
    """Return the mean of the predictions for images and their mirror images, each [B,...]; of logits, those of the mean
    probability up to a constant."""
    if field.kind == "class":
        return _log_mean(values, of_mirror)
    if not field.mirror:
        return values
    other = np.array(field.mirror)
    if field.kind == "points":
        swapped = of_mirror.at[..., other, :].get(mode="promise_in_bounds") * np.array([-1, 1], np.float32)
    else:
        swapped = of_mirror.at[..., other].get(mode="promise_in_bounds")
    return (values + swapped) / 2


def activate(output: Array, field: Field, calibration: Calibration) -> Array:
    """Return probabilities of classes, calibrated, and of labels that exclude nothing; values as they are."""
    activations: dict[str, Callable[[Array], Array]] = {
        "class": lambda logits: jax.nn.softmax(calibration.scores(logits), axis=-1),
        "multilabel": jax.nn.sigmoid,
    }
    return activations[field.kind](output) if field.kind in activations else output


def activation_maps(seen: Mapping[str, Any]) -> Sequence[Array]:
    """Return the maps that the features are averages of.

    Raises:
      UserError: they are no averages of maps, or of a clip.
    """
    maps = seen.get("intermediates", {}).get("backbone", {}).get("activation_map")
    if not maps:
        raise UserError("attention: the features of this network are no averages of maps; export it without")
    return maps


def mirrored(images: Array) -> Array:
    """Return images [B,...,H,W,C] with left and right exchanged, by positions that are constants in the file."""
    return images.at[..., np.arange(images.shape[-2])[::-1], :].get(mode="promise_in_bounds")


def _log_mean(*logits: Array) -> Array:
    """Return the logits of the mean prediction, as in test-time augmentation, up to a constant."""
    return jnp.log(sum(jax.nn.softmax(each, axis=-1) for each in logits))


def class_activation(maps: Sequence[Array], head: Mapping[str, Array], logits: Array) -> Array:
    """Return how much each place speaks for the likeliest class: float32[B,h,w] (Zhou et al. 2016, eq. 2).

    The features are averages of `maps` float[B,h_i,w_i,C_i] over places, and the head's kernel float[D,K] is linear, so
    that a logit is a sum over places; this is that sum's terms for the likeliest class, less those for the mean of all
    classes. Coarser maps are spread evenly over the finest one's places.
    """
    classes = logits.shape[-1]
    # No argmax and one_hot: OpenCV reads no OneHot, and takes ArgMax's integers for floats. A tie is shared.
    likeliest = (logits > logits.max(-1, keepdims=True) - TIE).astype(jnp.float32)
    chosen = likeliest / likeliest.sum(-1, keepdims=True) - 1 / classes
    finest = max(x.shape[1] for x in maps)
    kernels = jnp.split(head["kernel"], np.cumsum([x.shape[-1] for x in maps])[:-1])
    evidence = jnp.zeros(())
    for x, kernel in zip(maps, kernels, strict=True):
        times = -(-finest // x.shape[1])
        weights = chosen @ kernel.T  # of each channel, [B,C_i]
        each = (x.astype(jnp.float32) * weights[:, None, None]).sum(-1) / (x.shape[1] * x.shape[2] * times**2)
        evidence = evidence + _enlarged(each, times)[:, :finest, :finest]
    return evidence


def _enlarged(x: Array, times: int) -> Array:
    """Return each place `times` by `times` times: float[B,h,w] -> float[B,h*times,w*times]."""
    if times == 1:
        return x
    height, width = x.shape[1:]
    rows = jnp.concatenate([x[:, :, None]] * times, axis=2).reshape(-1, height * times, width)
    return jnp.concatenate([rows[..., None]] * times, axis=3).reshape(-1, height * times, width * times)
