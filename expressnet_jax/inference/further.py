"""What a network gives besides the answer, for one face: by names where there are any, points in the image's pixels.

Shapes: P points, D values, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expressnet_jax.data.fields import Field
from expressnet_jax.inference.crop import Place


def describe_outputs(row: Mapping[str, np.ndarray], fields: Mapping[str, Field], place: Place) -> dict[str, Any]:
    """Return the outputs of one face by name: {"anger": ...} where values have names, else float32[...].

    row: of each output, float32[K], float32[D] or float32[P,2]; points come from -1 to 1 over the face as it was cut
    out and leave in pixels of the image.
    """
    return {name: _described(values, fields[name], place) for name, values in row.items()}


def _described(values: np.ndarray, field: Field, place: Place) -> Any:
    if field.kind == "points":
        return place.to_image(values)
    return by_names(values, field.names)


def by_names(values: np.ndarray, names: Sequence[str]) -> Any:
    """Return {"anger": ...} of float32[K], or the values as they are where they have no names."""
    return dict(zip(names, values.tolist(), strict=True)) if names else values


def points_of(outputs: Mapping[str, Any], fields: Mapping[str, Field]) -> np.ndarray:
    """Return all points of a face, float[P,2] in pixels of the image; P is 0 without any."""
    found = [np.asarray(outputs[name]) for name, field in fields.items() if field.kind == "points" and name in outputs]
    return np.concatenate([each.reshape(-1, 2) for each in found]) if found else np.zeros((0, 2))


def output_columns(fields: Mapping[str, Field]) -> list[str]:
    """Return the columns of a table for further outputs: fer2013_anger, blendshapes_jawOpen, landmarks_0_x."""
    return [f"{name}_{part}" for name, field in fields.items() for part in _parts(field)]


def output_cells(outputs: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, float]:
    """Return a face's values by these columns."""
    cells = []
    for name, field in fields.items():
        values = outputs[name]
        flat = np.asarray(list(values.values()) if isinstance(values, Mapping) else values, float).ravel()
        cells += flat.round(2 if field.kind == "points" else 4).tolist()
    return dict(zip(output_columns(fields), cells, strict=True))


def _parts(field: Field) -> list[str]:
    if field.kind == "points":
        return [f"{number}_{axis}" for number in range(field.shape[0]) for axis in "xy"]
    return list(field.names) or [str(number) for number in range(int(np.prod(field.shape)))]
