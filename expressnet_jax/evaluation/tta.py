"""Test-time augmentation: the mean prediction over several views of an image. B batch, H height, W width, C channels.

Each function takes a predict function and gives another of the same kind, so nothing downstream needs to know.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import Predict

_CROP = 0.9  # of each side, in a view of ten_crop


def flip(predict: Predict) -> Predict:
    """Return the mean over the image and its mirror image."""
    return lambda images: _mean_over(predict, _VIEWS["flip"](np.asarray(images)))


def ten_crop(predict: Predict, crop: float = _CROP) -> Predict:
    """Return the mean over four corners and the centre, each also mirrored (Krizhevsky et al. 2012, section 4.1).

    A view keeps `crop` of each side, between 0 (excluded) and 1, and is resized to the size the image had.
    """
    if not 0 < crop <= 1:
        raise UserError(f"ten_crop: crop is {crop}, but must be above 0 and at most 1")
    return lambda images: _mean_over(predict, _with_mirrored(five_crops(np.asarray(images), crop)))


TTA: dict[str, Callable[[Predict], Predict]] = {
    "none": lambda predict: predict,
    "flip": flip,
    "ten_crop": ten_crop,
}


_VIEWS: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "none": lambda images: [images],
    "flip": lambda images: _with_mirrored([images]),
    "ten_crop": lambda images: _with_mirrored(five_crops(images, _CROP)),
}


def with_tta(predict: Predict, name: str) -> Predict:
    """Return `predict` under the augmentation called `name`, one of TTA."""
    if name not in TTA:
        raise UserError(f"no test-time augmentation is called {name!r}; there are: {', '.join(TTA)}")
    return TTA[name](predict)


def outputs_with_tta(
    predict: Callable[[np.ndarray], Mapping[str, np.ndarray]], fields: Mapping[str, Field], name: str
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return `predict`, which gives the outputs of `fields` by name, under the augmentation called `name`.

    Classes are averaged over all views. With `flip` so are points and values that have a mirror: the prediction
    for the mirror image is put back to its own side first. Everything else is of the image as it is.
    """

    def combined(key: str, field: Field, plain: Mapping[str, np.ndarray], views: list) -> np.ndarray:
        if field.kind == "class":
            return _mean([np.asarray(view[key]) for view in views])
        if field.mirror and name == "flip":
            return (np.asarray(plain[key]) + _unmirrored(np.asarray(views[1][key]), field)) / 2
        return np.asarray(plain[key])

    def mean(images: np.ndarray) -> dict[str, np.ndarray]:
        views = [predict(view) for view in _VIEWS[name](images if isinstance(images, Mapping) else np.asarray(images))]
        plain = predict(images) if name == "ten_crop" else views[0]
        return {key: combined(key, field, plain, views) for key, field in fields.items()}

    return mean


def _unmirrored(values: np.ndarray, field: Field) -> np.ndarray:
    """Return predictions for mirror images as those for the images: points float[B,P,2] in -1..1, values float[B,D]."""
    if field.kind == "points":
        return values[..., np.array(field.mirror), :] * np.array([-1, 1], values.dtype)
    return values[..., np.array(field.mirror)]


def five_crops(images: np.ndarray, crop: float) -> list[np.ndarray]:
    """Cut images uint8[B,H,W,C] -> five of uint8[B,H,W,C]: top left, top right, bottom left, bottom right, centre."""
    height, width = images.shape[1:3]
    rows, columns = max(round(crop * height), 1), max(round(crop * width), 1)
    bottom, right = height - rows, width - columns
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    return [_resized(images[:, top : top + rows, left : left + columns], height, width) for top, left in corners]


def _resized(images: np.ndarray, height: int, width: int) -> np.ndarray:
    if images.shape[1:3] == (height, width):
        return images
    views = np.empty((len(images), height, width, images.shape[3]), images.dtype)
    for view, image in zip(views, images, strict=True):
        # cv2 drops the channel axis of gray images.
        view[...] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).reshape(view.shape)
    return views


def _with_mirrored(views: list[np.ndarray]) -> list[np.ndarray]:
    return [*views, *(np.ascontiguousarray(view[..., ::-1, :]) for view in views)]


def _mean_over(predict: Predict, views: list[np.ndarray]) -> np.ndarray:
    # One call a view: the batch keeps the shape that predict was compiled for.
    return _mean([np.asarray(predict(view)) for view in views])


def _mean(arrays: list[np.ndarray]) -> np.ndarray:
    first, *rest = arrays
    return sum(rest, start=first) / len(arrays)
