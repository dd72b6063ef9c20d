"""Augmentation on the device, inside the jitted step: uint8 in, float32 pixel values in 0..255 out.

Every draw is made for one example from the batch's key, so a result depends neither on the other examples nor on
how many devices share the batch. An option at its neutral value, 0, costs nothing: it is left out of the trace.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.data.geometry import GEOMETRIES, WHOLE_PIXEL, compose, warp, warp_whole_pixels
from expressnet_jax.data.mixing import mix
from expressnet_jax.data.occlusion import OCCLUSIONS
from expressnet_jax.data.photometric import PHOTOMETRICS
from expressnet_jax.errors import UserError

__all__ = ["AUGMENTATIONS", "MIXES", "augment", "mix"]

MIXES = ("mixup", "cutmix")  # options of `mix`, which changes targets as well


def augment(key: Array, images: Array, options: Mapping[str, float]) -> Array:
    """Geometry, then light, then occlusion, each as strong as its option says; 0 or absent leaves it out.

    images uint8[B,H,W,C] -> float32[B,H,W,C] in 0..255. `options` are those of the config's section `augment`;
    `mixup` and `cutmix` belong to `mix`, `alternate` to `mirror_alternately`; they are passed over. `crop` > 0 cuts the
    middle out, float32[B,crop,crop,C]: after shifts of up to `pad` = (H - crop) / 2 this is a random crop, without
    invented borders. `resize` > 0 then scales that to so many pixels a side.

    Raises:
      UserError: an unknown option, or a crop larger than the images.
    """
    _check(options, images.shape)
    active = {name: options[name] for name in AUGMENTATIONS if options.get(name)}
    # A stream for each name, not for each place in the list: switching one on leaves the draws of the others alone.
    keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(AUGMENTATIONS) if name in active}
    images = _move(keys, images, {name: active[name] for name in GEOMETRIES if name in active})
    images = resize(centre_crop(images, options.get("crop", 0)), options.get("resize", 0))
    for name, change in (PHOTOMETRICS | OCCLUSIONS).items():
        if name in active:
            images = change(keys[name], images, active[name])
    return images


def centre_crop(images: Array, size: int) -> Array:
    """[B,H,W,C] -> [B,size,size,C], or the images as they are for size 0."""
    if not size:
        return images
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def resize(images: Array, size: int) -> Array:
    """float32[B,H,W,C] -> float32[B,size,size,C], smoothed first where it shrinks; as they are for size 0."""
    if not size or size == images.shape[1] == images.shape[2]:
        return images
    return jax.image.resize(images, (images.shape[0], size, size, images.shape[3]), "linear")


def mirror_alternately(images: Array, index: Array, epoch: Array) -> Array:
    """Mirrors every example in every second epoch, a fixed random half of them in the even ones (Jordan 2024, section
    3.6): two epochs show each picture both ways, where independent draws show half of the pictures twice the same.

    images [B,H,W,C], index int32[B] of the examples, epoch int32[B] -> images.
    """
    # A multiplicative hash (Knuth): the top bit of the product is as good as random, and the same on every device.
    half = (index.astype(jnp.uint32) * jnp.uint32(2654435769)) >> 31
    mirrored = (half + epoch.astype(jnp.uint32)) % 2 == 1
    return jnp.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def _move(keys: Mapping[str, Array], images: Array, strengths: Mapping[str, float]) -> Array:
    """All geometries of `strengths` in one reading of the pixels. -> float32[B,H,W,C]."""
    if not strengths:
        return images.astype(jnp.float32)
    matrices = compose([GEOMETRIES[name](keys[name], images.shape, strengths[name]) for name in strengths])
    return warp_whole_pixels(images, matrices) if WHOLE_PIXEL.issuperset(strengths) else warp(images, matrices)


def _moving(name: str) -> Callable[[Array, Array, float], Array]:
    """The geometry `name` as a function of images, like the other augmentations."""
    return lambda key, images, strength: _move({name: key}, images, {name: strength})


AUGMENTATIONS: dict[str, Callable[[Array, Array, float], Array]] = {
    **{name: _moving(name) for name in GEOMETRIES},
    **PHOTOMETRICS,
    **OCCLUSIONS,
}


def _check(options: Mapping[str, float], shape: tuple[int, ...]) -> None:
    known = (*AUGMENTATIONS, "crop", "resize", "alternate", *MIXES)
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f"augment: no option {', '.join(unknown)}; there are {', '.join(known)}")
    if options.get("crop", 0) > min(shape[1:3]):
        raise UserError(f"augment.crop: {options['crop']} pixels do not fit into pictures of {shape[1]} x {shape[2]}")
