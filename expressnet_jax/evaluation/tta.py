"""Test-time augmentation: the mean prediction over several views of an image [B,H,W,C] or a clip [B,T,H,W,C]."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import cv2
import numpy as np

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError

_CROP = 0.9  # of each side, in a view of ten_crop

# The views of images uint8[B,...,H,W,C], each of the same shape. Those of ten_crop are four corners and the centre,
# each also mirrored (Krizhevsky et al. 2012, section 4.1).
TTA: dict[str, Callable[[Any], list[Any]]] = {
    "none": lambda images: [images],
    "flip": lambda images: _with_mirrored([images]),
    "ten_crop": lambda images: _with_mirrored(five_crops(images, _CROP)),
}


def check_views(inputs: Collection[str], name: str, key: str) -> None:
    """Raise a UserError for test-time augmentation of a network that takes anything but an image or a clip."""
    if name == "none":
        return
    if not {"image", "clip"} & set(inputs):
        raise UserError(f"{key}: {name} is of images; the network takes {', '.join(inputs)}; use none")
    if len(inputs) > 1:
        raise UserError(f"{key}: {name} is of a network with one input; use none")


def outputs_with_tta(
    predict: Callable[[Any], Mapping[str, Any]], fields: Mapping[str, Field], name: str
) -> Callable[[Any], dict[str, Any]]:
    """Return `predict`, which gives the outputs of `fields` by name, under the augmentation called `name`, one of TTA.

    Classes are averaged over all views. With `flip` so are points and values that have a mirror: the prediction
    for the mirror image is put back to its own side first. Everything else is of the image as it is.

    Raises:
      UserError: no augmentation of this name.
    """
    if name not in TTA:
        raise UserError(f"no test-time augmentation is called {name!r}; there are: {', '.join(TTA)}")
    of_image = any(field.kind != "class" for field in fields.values())

    def combined(key: str, field: Field, plain: Mapping[str, Any], views: list[Mapping[str, Any]]) -> Any:
        if field.kind == "class":
            return _mean([view[key] for view in views])
        if field.mirror and name == "flip":
            return _mean([plain[key], _unmirrored(views[1][key], field)])
        return plain[key]

    def mean(images: Any) -> dict[str, Any]:
        # One call a view: the batch keeps the shape that predict was compiled for. Nothing is read back here, so that
        # a device computes while the caller continues.
        views = [predict(view) for view in TTA[name](images if isinstance(images, Mapping) else np.asarray(images))]
        plain = predict(images) if name == "ten_crop" and of_image else views[0]
        return {key: combined(key, field, plain, views) for key, field in fields.items()}

    return mean


def _unmirrored(values: Any, field: Field) -> Any:
    """Return predictions for mirror images as those for the images: points float[B,P,2] in -1..1, values float[B,D]."""
    if field.kind == "points":
        return values[..., np.array(field.mirror), :] * np.array([-1, 1], values.dtype)
    return values[..., np.array(field.mirror)]


def five_crops(images: np.ndarray, crop: float) -> list[np.ndarray]:
    """Cut images uint8[B,...,H,W,C] -> five of that shape: top left, top right, bottom left, bottom right, centre."""
    height, width = images.shape[-3:-1]
    rows, columns = max(round(crop * height), 1), max(round(crop * width), 1)
    bottom, right = height - rows, width - columns
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    return [_resized(images[..., top : top + rows, left : left + columns, :], height, width) for top, left in corners]


def _resized(images: np.ndarray, height: int, width: int) -> np.ndarray:
    if images.shape[-3:-1] == (height, width):
        return images
    views = np.empty((*images.shape[:-3], height, width, images.shape[-1]), images.dtype)
    for place in np.ndindex(images.shape[:-3]):
        # cv2 drops the channel axis of gray images.
        view = cv2.resize(images[place], (width, height), interpolation=cv2.INTER_LINEAR)
        views[place] = view.reshape(views.shape[-3:])
    return views


def _with_mirrored(views: list[np.ndarray]) -> list[np.ndarray]:
    return [*views, *(np.ascontiguousarray(view[..., ::-1, :]) for view in views)]


def _mean(arrays: list[Any]) -> Any:
    first, *rest = arrays
    return sum(rest, start=first) / len(arrays)
