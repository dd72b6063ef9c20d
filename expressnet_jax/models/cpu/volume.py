"""Compute convolutions over space and time as a CPU runs them fastest: as convolutions of images.

Shapes: B batch, T frames, H height, W width, C channels in, F filters out, q frames of a kernel, r its pixels a side.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array, lax

from expressnet_jax.models.cpu.convolution import direct_conv, matmul_conv

_IMAGES = ("NHWC", "HWIO", "NHWC")


def _volume_conv(
    convolve: Callable[..., Array], clips: Array, kernel: Array, strides: Sequence[int], padding, **options
) -> Array:
    """Compute lax.conv_general_dilated, float[B,T,H,W,C] by float[q,r,r,C,F], undilated, by `convolve` of images.

    The q frames that meet a kernel become the channels of one image, so it is a convolution of B * T images with q * C
    channels: the same products. XLA's own sum over three axes and its gradients are up to ten times as slow on a CPU.
    """
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(clips.shape[1:4], kernel.shape[:3], strides, padding)
    (before, after), *space = map(tuple, padding)
    padded = jnp.pad(clips, ((0, 0), (before, after), *[(0, 0)] * 3))
    frames, last = kernel.shape[0], padded.shape[1] - kernel.shape[0]
    taps = [padded[:, i : i + last + 1 : strides[0]] for i in range(frames)]
    images = jnp.concatenate(taps, axis=-1)
    flat = jnp.moveaxis(kernel, 0, 2).reshape(*kernel.shape[1:3], -1, kernel.shape[-1])
    found = convolve(images.reshape(-1, *images.shape[2:]), flat, strides[1:], tuple(space), dimension_numbers=_IMAGES)
    return found.reshape(*images.shape[:2], *found.shape[1:])


def matmul_volume_conv(*arguments, **options) -> Array:
    """Call `_volume_conv` through matrix products, as training does."""
    return _volume_conv(matmul_conv, *arguments, **options)


def direct_volume_conv(*arguments, **options) -> Array:
    """Call `_volume_conv` through XLA's sum over images."""
    return _volume_conv(direct_conv, *arguments, **options)
