"""The examples on which an exported file is compared with JAX.

Shapes: N examples, T frames, H height, W width, C channels, S samples.
"""

import math
from typing import Any

import cv2
import jax
import numpy as np

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.step import as_float

COUNT = 32
_ANY_PIECES = 256  # numbers of word pieces below this, of a field that names none


def takes_images(checkpoint: Checkpoint) -> bool:
    """Return whether a network's only input is an image or a clip: its file takes that as `images`."""
    return isinstance(checkpoint.shape, tuple) and len(checkpoint.shape) > 2


def example_inputs(checkpoint: Checkpoint, given: Any = None) -> Any:
    """Return the given examples, or generated ones, as the exported file takes them.

    Images and clips are uint8[N,...]; of other networks every input is float32[N,...] by its name, sound in -1..1.

    Raises:
      UserError: the given examples are no such ones.
    """
    if takes_images(checkpoint):
        shape = checkpoint.image_shape
        return generated_images(shape) if given is None else _checked(given, shape)
    if given is None:
        return {name: _generated_values(field) for name, field in checkpoint.inputs.items()}
    named = given if isinstance(given, dict) else {next(iter(checkpoint.inputs)): given}
    wanted = {name: field.shape for name, field in checkpoint.inputs.items()}
    if {name: values.shape[1:] for name, values in named.items()} != wanted:
        raise UserError(f"the examples to compare on are not of the shapes {wanted}; give a data set that has them")
    return {name: np.asarray(values) for name, values in as_float({name: named[name] for name in wanted}).items()}


def rows(inputs: Any, part: Any) -> Any:
    """Return some rows of an array, or of every array by name."""
    return jax.tree.map(lambda array: array[part], inputs)


def count(inputs: Any) -> int:
    """Return N of an array, or of arrays by name."""
    return len(jax.tree.leaves(inputs)[0])


def padded(inputs: Any, size: int) -> Any:
    """Return the inputs with zeros behind them, so that `size` divides N."""
    more = -count(inputs) % size
    return jax.tree.map(lambda array: np.pad(array, [(0, more), *[(0, 0)] * (array.ndim - 1)]), inputs)


def generated_images(shape: tuple[int, ...], count: int = COUNT) -> np.ndarray:
    """Return images uint8[N,H,W,C] or clips uint8[N,T,H,W,C], half of them noise and half smooth, for networks answer
    differently to the two."""
    *frames, height, width, channels = shape
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (count // 2, *shape), np.uint8)
    smooth_images = (count - count // 2) * math.prod(frames)
    coarse = rng.uniform(0, 256, (smooth_images, 4, 4, channels)).astype(np.float32)
    smooth = [cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in coarse]
    return np.concatenate([noise, np.stack(smooth).reshape(-1, *shape).astype(np.uint8)])


def _generated_values(field: Field, count: int = COUNT) -> np.ndarray:
    """Return float32[N,...]: of a waveform one half noise and one half tones, each of another loudness; of tokens texts
    of all lengths; else noise."""
    rng = np.random.default_rng(0)
    if field.kind == "tokens":
        (length,), lengths = field.shape, np.linspace(0, field.shape[0], count)[:, None]
        drawn = rng.integers(1, len(field.names) or _ANY_PIECES, (count, length))
        return np.where(np.arange(length) < lengths, drawn, 0).astype(np.float32)
    if field.kind in ("image", "clip"):
        return generated_images(field.shape, count).astype(np.float32)
    noise = rng.normal(size=(count, *field.shape)).astype(np.float32)
    if field.kind != "waveform":
        return noise
    time, loudness = np.arange(field.shape[0]) / field.rate, np.geomspace(0.001, 0.3, count)[:, None]
    tones = np.sin(2 * np.pi * rng.uniform(80, 4000, (count // 2, 1)) * time)
    return (loudness * np.concatenate([noise[count // 2 :] / 3, tones])).astype(np.float32)


def _checked(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
        wanted = ",".join(map(str, shape))
        raise UserError(f"the images to compare on are {images.dtype}{list(images.shape)}; give uint8[N,{wanted}]")
    return images
