"""Augmentation on the device, inside the jitted step: uint8 in, float32 pixel values in 0..255 out.

Every draw is made for one example from the batch's key, so a result depends neither on the other examples nor on
how many devices share the batch. An option at its neutral value, 0, costs nothing: it is left out of the trace.
One matrix an example moves its image, every frame of its clip and its points alike; light is drawn once a clip.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.data.degradation import DEGRADATIONS
from expressnet_jax.data.fields import Field
from expressnet_jax.data.flow_augment import mirror_flow
from expressnet_jax.data.geometry import (
    GEOMETRIES,
    WHOLE_PIXEL,
    affine,
    compose,
    exchange_sides,
    move_points,
    warp,
    warp_whole_pixels,
)
from expressnet_jax.data.mixing import mix, mix_alike
from expressnet_jax.data.occlusion import OCCLUSIONS
from expressnet_jax.data.photometric import PHOTOMETRICS
from expressnet_jax.data.sound_augment import SOUND_AUGMENTATIONS, augment_sound
from expressnet_jax.errors import UserError

__all__ = ["AUGMENTATIONS", "MIXES", "augment", "augment_batch", "mix"]

VISUAL = ("image", "clip")
POINT_GEOMETRIES = ("flip", "rotate", "zoom")  # of points alone: the others are in pixels, or about borders
_UNIT = (2, 2)  # sides of an image over which pixels are the unit of points
MIXES = ("mixup", "cutmix")  # options of `mix`, which changes targets as well


def augment_batch(
    keys: tuple[Array, Array],
    batch: Mapping[str, Any],
    fields: Mapping[str, Field],
    options: Mapping[str, Any],
    step: Array,
    num_examples: int = 1,
) -> dict[str, Any]:
    """Return the batch with its images, clips or sound augmented, its points and sides moved along, examples mixed.
    Points without an image or a clip are moved by the geometries of POINT_GEOMETRIES.

    batch: `image` uint8[B,H,W,C], `clip` uint8[B,T,H,W,C] or `waveform` int16[B,S], and the columns of `fields`: points
    float32[B,...,P,2] from -1 to 1 over the image, values whose field has a mirror, and classes int32[B], which leave
    as float32[B,K]: all zero where the class is missing. keys: of `augment` and of `mix`. With `alternating_flip`, step
    int32[] and the number of examples in an epoch say whose turn to be mirrored it is.
    """
    batch, columns = dict(batch), {name: batch[name] for name in fields if name in batch}
    visual = next((name for name in VISUAL if name in batch), None)
    if visual:
        images, columns = _mirror_and_move(
            keys[0], batch[visual], batch.get("index"), columns, fields, options, step, num_examples
        )
    elif any(fields[name].kind == "points" for name in columns):
        columns = _move_columns(_keys(keys[0], options), columns, fields, options)
    columns = {name: one_hot(value, fields[name]) for name, value in columns.items()}
    if "waveform" in batch:  # next to images its numbers would be theirs, by the place in the list
        sound_key = jax.random.fold_in(keys[0], len(AUGMENTATIONS) + 1) if visual else keys[0]
        columns["waveform"] = augment_sound(sound_key, batch["waveform"], options)
    if visual:
        batch[visual], columns = mix(keys[1], images, columns, options.get("mixup", 0), options.get("cutmix", 0))
    else:
        columns = mix_alike(keys[1], columns, options.get("mixup", 0))
    return batch | columns


def _mirror_and_move(
    key: Array,
    images: Array,
    index: Any,
    columns: dict[str, Array],
    fields: Mapping[str, Field],
    options: Mapping[str, Any],
    step: Array,
    num_examples: int,
) -> tuple[Array, dict[str, Array]]:
    """Return the augmented images or clips, and the columns with points and sides where they are in them now.

    index int32[B], which only `alternating_flip` needs.
    """
    shape, moved = images.shape, []
    if options.get("alternating_flip"):
        position = step * shape[0] + jnp.arange(shape[0])
        mirrored = mirrored_in(index, position // num_examples)
        images = jnp.where(mirrored.reshape(-1, *[1] * (images.ndim - 1)), images[..., ::-1, :], images)
        moved.append(affine(horizontal=jnp.where(mirrored, -1.0, 1.0)))
    if sided := _sided(columns, fields):
        matrices = _draw_matrices(_keys(key, options), (shape[0], *shape[-3:]), options)
        for each in moved if matrices is None else [*moved, matrices]:
            columns |= {name: _move_target(columns[name], each, fields[name], shape[-3:-1]) for name in sided}
    return augment(key, images, options), columns


def _sided(columns: Mapping[str, Array], fields: Mapping[str, Field]) -> list[str]:
    """Return the names of the columns that a change of place changes."""
    return [name for name in columns if fields[name].kind == "points" or fields[name].mirror]


def _move_columns(
    keys: Mapping[str, Array], columns: dict[str, Array], fields: Mapping[str, Field], options: Mapping[str, Any]
) -> dict[str, Array]:
    """Return the columns of a batch without images, its points and sides moved as over square images of one place."""
    strengths = {name: options[name] for name in POINT_GEOMETRIES if name in keys}
    batch = len(next(iter(columns.values())))
    matrices = _draw_matrices({name: keys[name] for name in strengths}, (batch, *_UNIT, 1), strengths)
    if matrices is None:
        return columns
    return columns | {
        name: _move_target(columns[name], matrices, fields[name], _UNIT) for name in _sided(columns, fields)
    }


def _move_target(values: Array, matrices: Array, field: Field, size: tuple[int, ...]) -> Array:
    """Move points, and exchange named values of left and right, as images are that are read through `matrices`."""
    if field.kind == "points":
        return move_points(values, matrices, field.mirror, size)
    return exchange_sides(values, matrices, field.mirror)


def one_hot(values: Array, field: Field) -> Array:
    """Return a class int32[B] as float32[B,K], all zero where it is missing; other targets as they are."""
    return jax.nn.one_hot(values, field.shape[0]) if field.kind == "class" and values.ndim == 1 else values


def augment(key: Array, images: Array, options: Mapping[str, Any]) -> Array:
    """Apply geometry, light, occlusion and degradation, each as strong as its option says; 0 or absent leaves it out.

    images uint8[B,H,W,C] -> float32[B,H,W,C] in 0..255; a clip uint8[B,T,H,W,C] has one draw for all its frames.
    `options` are those of the config's section `augment`; `mixup` and `cutmix` belong to `mix`, `alternating_flip` to
    `augment_batch`, those of sound to `augment_sound`; they are skipped. `crop` > 0 cuts the middle out,
    float32[B,crop,crop,C]: after shifts of up to `pad` = (H - crop) / 2 this is a random crop, without invented
    borders. `resize` > 0 then scales that to so many pixels a side.

    Raises:
      UserError: an unknown option, or a crop larger than the images.
    """
    if images.ndim == 5:
        return jax.vmap(lambda frames: augment(key, frames, options), in_axes=1, out_axes=1)(images)
    _check(options, images.shape)
    keys = _keys(key, options)
    if chance := options.get("mirror_flow"):
        images = mirror_flow(jax.random.fold_in(key, len(AUGMENTATIONS)), images, chance)
    images = _move(keys, images, {name: options[name] for name in GEOMETRIES if name in keys})
    images = resize(_centre_crop(images, options.get("crop", 0)), options.get("resize", 0))
    for name, change in (PHOTOMETRICS | OCCLUSIONS | DEGRADATIONS).items():
        if name in keys:
            images = change(keys[name], images, options[name])
    return images


def _keys(key: Array, options: Mapping[str, Any]) -> dict[str, Array]:
    """Return a stream for each name, not for each place in the list: switching one on leaves the draws of the others
    alone."""
    places = {name: place for place, name in enumerate(AUGMENTATIONS) if options.get(name)}
    if not places:
        return {}
    folded = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.array([*places.values()], jnp.uint32))  # in one kernel
    return dict(zip(places, folded, strict=True))


def _draw_matrices(keys: Mapping[str, Array], shape: tuple[int, ...], options: Mapping[str, Any]) -> Array | None:
    """Return float32[B,3,3], all geometries that have a key composed, for images of `shape` [B,H,W,C]; None if none
    has."""
    drawn = [GEOMETRIES[name](keys[name], shape, options[name]) for name in GEOMETRIES if name in keys]
    return compose(drawn) if drawn else None


def _centre_crop(images: Array, size: int) -> Array:
    """Crop [B,H,W,C] -> [B,size,size,C], or the images as they are for size 0."""
    if not size:
        return images
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def resize(images: Array, size: int) -> Array:
    """Resize float32[B,H,W,C] to float32[B,size,size,C], smoothed first where it shrinks; as they are for size 0."""
    if not size or size == images.shape[1] == images.shape[2]:
        return images
    return jax.image.resize(images, (images.shape[0], size, size, images.shape[3]), "linear")


def mirrored_in(index: Array, epoch: Array) -> Array:
    """Return which examples are mirrored in an epoch, bool[B]: every example in every second one, a fixed random half
    of them in the even ones (Jordan 2024, section 3.6). Two epochs show each image both ways, where independent draws
    show half of the images twice the same.

    index int32[B] of the examples, epoch int32[B].
    """
    # A multiplicative hash (Knuth): the top bit of the product is as good as random, and the same on every device.
    half = (index.astype(jnp.uint32) * jnp.uint32(2654435769)) >> 31
    return (half + epoch.astype(jnp.uint32)) % 2 == 1


def _move(keys: Mapping[str, Array], images: Array, strengths: Mapping[str, float]) -> Array:
    """Apply all geometries of `strengths` in one reading of the pixels. -> float32[B,H,W,C]."""
    matrices = _draw_matrices(keys, images.shape, strengths)
    if matrices is None:
        return images.astype(jnp.float32)
    return warp_whole_pixels(images, matrices) if WHOLE_PIXEL.issuperset(strengths) else warp(images, matrices)


def _moving(name: str) -> Callable[[Array, Array, float], Array]:
    """Return the geometry `name` as a function of images, like the other augmentations."""
    return lambda key, images, strength: _move({name: key}, images, {name: strength})


AUGMENTATIONS: dict[str, Callable[[Array, Array, float], Array]] = {
    **{name: _moving(name) for name in GEOMETRIES},
    **PHOTOMETRICS,
    **OCCLUSIONS,
    **DEGRADATIONS,
}


def _check(options: Mapping[str, float], shape: tuple[int, ...]) -> None:
    known = (*AUGMENTATIONS, "crop", "resize", "alternating_flip", "mirror_flow", *MIXES, *SOUND_AUGMENTATIONS)
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f"augment: no option {', '.join(unknown)}; there are {', '.join(known)}")
    if options.get("crop", 0) > min(shape[1:3]):
        raise UserError(f"augment.crop: {options['crop']} pixels do not fit into images of {shape[1]} x {shape[2]}")
