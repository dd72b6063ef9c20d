"""Compute dense convolutions as a CPU runs them fastest.

Shapes: B batch, H height, W width, C channels in, F filters out, r kernel, s stride.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from expressnet_jax.models.cpu.fusion_barrier import fusion_barrier
from expressnet_jax.models.cpu.winograd import winograd

# Below this many products a step the direct sum is as fast and compiles in a fraction of the time.
_WORTH_IT = 2**26


def direct_conv(images: Array, kernel: Array, strides: Sequence[int], padding, **options) -> Array:
    """Call lax.conv_general_dilated, float[B,H,W,C] by float[r,r,C,F], so that it stays fast on maps below the kernel.

    Those XLA hands to no library on a CPU but sums in a loop, a hundred times as slow (3x3 on 2x2, the last stage of a
    residual network at 64 pixels or less). Zeros that are put around the map beforehand make it as large as the kernel.
    """
    size, window = images.shape[1:-1], kernel.shape[:-2]
    if _dilated(options) or all(n >= r for n, r in zip(size, window, strict=True)):
        return lax.conv_general_dilated(images, kernel, strides, padding, **options)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(size, window, strides, padding)
    around = jnp.pad(images, ((0, 0), *map(tuple, padding), (0, 0)))
    # Without the barrier XLA takes the zeros for the convolution's own.
    return lax.conv_general_dilated(lax.optimization_barrier(around), kernel, strides, "VALID", **options)


def matmul_conv(images: Array, kernel: Array, strides: Sequence[int], padding, **options) -> Array:
    """Compute lax.conv_general_dilated, float[B,H,W,C] by float[r,r,C,F], in products that XLA runs well on a CPU.

    XLA's own kernel gradient transposes both operands, its gradient of a strided convolution multiplies mostly zeros:
    together half of a training step. 1x1 kernels become a matrix product, few channels a product over patches, 3x3
    kernels Winograd's algorithm; anything else, or too small to matter, stays as it is.
    """
    height, width = images.shape[1:3]
    r, stride = kernel.shape[0], strides[0]
    if not _can_be_rewritten(images, kernel, strides, options):
        return direct_conv(images, kernel, strides, padding, **options)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads((height, width), (r, r), strides, padding)
    padding = tuple(map(tuple, padding))
    if r == 1 and padding == ((0, 0), (0, 0)):
        return product(images[:, ::stride, ::stride], kernel[0, 0])
    if r * r * images.shape[-1] <= 32:
        return product(patches(images, r, stride, padding), kernel.reshape(-1, kernel.shape[-1]))
    if r == 3 and stride == 1:
        return winograd(images, kernel, padding)
    if r == 3 and stride == 2 and padding == ((0, 1), (0, 1)) and height % 2 == width % 2 == 0:
        # Over the four phases of the pixels it is a 2x2 kernel with stride 1, a quarter of it zeros.
        taps = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))[None]
        return winograd(fusion_barrier(space_to_depth)(images), space_to_depth(taps)[0], padding)
    if r == 3 and stride == 2 and padding == ((1, 1), (1, 1)) and height % 2 == width % 2 == 0:
        around = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))  # the same, a pixel earlier
        return matmul_conv(around, kernel, strides, ((0, 1), (0, 1)), **options)[:, :-1, :-1]
    return direct_conv(images, kernel, strides, padding, **options)


def _can_be_rewritten(images: Array, kernel: Array, strides: Sequence[int], options: dict) -> bool:
    """Return whether it is square, dense, undilated, in single precision, and large enough."""
    products = math.prod(images.shape[:3]) * kernel.size // strides[0] ** 2
    square = kernel.shape[0] == kernel.shape[1] and strides[0] == strides[1]
    dense = options.get("feature_group_count", 1) == 1
    return square and dense and not _dilated(options) and images.dtype == jnp.float32 and products >= _WORTH_IT


def _dilated(options: dict) -> bool:
    return any(set(options.get(side) or (1,)) != {1} for side in ("lhs_dilation", "rhs_dilation"))


@jax.custom_vjp
def product(x: Array, weights: Array) -> Array:
    """Multiply float[...,C] by float[C,F] -> float[...,F]; no gradient transposes anything larger than `weights`."""
    return x @ weights


def _product_backward(saved: tuple[Array, Array], change: Array) -> tuple[Array, Array]:
    x, weights = saved
    rows = lambda y: y.reshape(-1, y.shape[-1])
    by_weights = fusion_barrier(lambda x, change: rows(x).T @ rows(change))
    return change @ weights.T, by_weights(x, change)


product.defvjp(lambda x, weights: (x @ weights, (x, weights)), _product_backward)


def patches(images: Array, r: int, stride: int, padding: Sequence[tuple[int, int]]) -> Array:
    """Gather the r x r neighbourhood of every place: float[B,H,W,C] -> float[B,H',W',r*r*C]."""
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    rows, columns = ((size - r) // stride * stride + 1 for size in padded.shape[1:3])
    place = lambda i, j: padded[:, i : i + rows : stride, j : j + columns : stride]
    return jnp.concatenate([place(i, j) for i in range(r) for j in range(r)], axis=-1)


def space_to_depth(x: Array) -> Array:
    """Stack every 2x2 pixels as the channels of one, row by row: float[B,H,W,C,...] -> float[B,H/2,W/2,4C,...]."""
    return jnp.concatenate([x[:, i::2, j::2] for i in range(2) for j in range(2)], axis=3)
