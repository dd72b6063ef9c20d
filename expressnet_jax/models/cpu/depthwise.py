"""Compute a depthwise convolution so that a CPU can train it.

Shapes: B batch, H height, W width, C channels, k kernel, s stride.
"""

from collections.abc import Iterator
from functools import partial, reduce
from itertools import product

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.cpu.fusion_barrier import fusion_barrier


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def shifted_conv(x: Array, kernel: Array, stride: int) -> Array:
    """Convolve each channel, padded as SAME: float[B,H,W,C] by float[k,k,1,C] -> float[B,H/s,W/s,C].

    It is a sum of k*k shifted copies of x, each times its weight in the kernel: XLA takes ten to a hundred times as
    long for the grouped convolution and its gradients on a CPU.
    """
    return fusion_barrier(partial(_sum_of_places, stride))(x, kernel)


def _sum_of_places(stride: int, x: Array, kernel: Array) -> Array:
    terms = (place * kernel[i, j, 0] for (i, j), place in _places(x, kernel.shape[0], stride))
    return reduce(jnp.add, terms)


def _places(x: Array, k: int, stride: int) -> Iterator[tuple[tuple[int, int], Array]]:
    """Yield ((i, j), what the kernel's place (i, j) sees: float[B,H/s,W/s,C]), padded as SAME."""
    pads = jax.lax.padtype_to_pads(x.shape[1:3], (k, k), (stride, stride), "SAME")
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows, columns = ((-(-size // stride) - 1) * stride + 1 for size in x.shape[1:3])
    for i, j in product(range(k), repeat=2):
        yield (i, j), padded[:, i : i + rows : stride, j : j + columns : stride]


def _gradient_by_x(stride: int, shape: tuple[int, ...], change: Array, kernel: Array) -> Array:
    """Return the gradient with respect to x, float[B,H,W,C] of `shape`, for that of the output.

    The pixels of each of the s*s phases see k*k/s/s places of the kernel, so each phase is a sum like the output's own.
    The transpose of the output's sum would add k*k images of the full size, mostly of zeros.
    """
    phases = [[_phase(change, kernel, stride, shape, (a, b)) for b in range(stride)] for a in range(stride)]
    if shape[1] % stride == 0 and shape[2] % stride == 0:
        return jnp.stack([jnp.stack(row, axis=3) for row in phases], axis=2).reshape(shape)
    x = jnp.zeros(shape, change.dtype)
    for a, b in product(range(stride), repeat=2):
        x = x.at[:, a::stride, b::stride].set(phases[a][b])
    return x


def _phase(change: Array, kernel: Array, stride: int, shape: tuple[int, ...], first: tuple[int, int]) -> Array:
    """Return the gradient of every s-th pixel from `first` on.

    Output u sees pixel p with the kernel's place i where p + before = s u + i, so pixel first + s q is seen by
    u = q + (first + before - i) / s, for every i that leaves no remainder.
    """
    k = kernel.shape[0]
    zeros = jax.lax.padtype_to_pads(shape[1:3], (k, k), (stride, stride), "SAME")
    seen, counts, pads = [], [], []  # by axis: (i, u - q) of each place, how many pixels, zeros around the outputs
    for size, outputs, start, (before, _) in zip(shape[1:3], change.shape[1:3], first, zeros, strict=True):
        offset = start + before
        seen.append([(i, (offset - i) // stride) for i in range(offset % stride, k, stride)])
        counts.append(-(-(size - start) // stride))
        moves = [move for _, move in seen[-1]] or [0]
        pads.append((max(0, -min(moves)), max(0, counts[-1] + max(moves) - outputs)))
    padded = jnp.pad(change, ((0, 0), *pads, (0, 0)))
    total = jnp.zeros((shape[0], *counts, shape[3]), change.dtype)
    for (i, down), (j, right) in product(*seen):
        top, left = down + pads[0][0], right + pads[1][0]
        total += padded[:, top : top + counts[0], left : left + counts[1]] * kernel[i, j, 0]
    return total


def _gradient_by_kernel(stride: int, x: Array, change: Array, k: int) -> Array:
    """Return the gradient with respect to the kernel, float32[k,k,1,C]."""
    x, change = x.astype(jnp.float32), change.astype(jnp.float32)
    sums = [_sum_of_products(place, change) for _, place in _places(x, k, stride)]
    return jnp.concatenate(sums).reshape(k, k, 1, -1)


def _sum_of_products(x: Array, y: Array) -> Array:
    """Return sum x y over batch, rows and columns: float32[B,H,W,C] both -> float32[1,C].

    Up to 12 rows are added term by term, which XLA makes one loop of, so that the products of all pixels are not
    written to memory; a product with ones, on all cores, sums the rest.
    """
    height, channels = x.shape[1], x.shape[3]
    rows = min(range(min(height, 6), min(height, 12) + 1), key=lambda n: (height % n, -n))
    whole = height - height % rows
    terms = [x[:, r:whole:rows] * y[:, r:whole:rows] for r in range(rows)]
    rest = [x[:, r : r + 1] * y[:, r : r + 1] for r in range(whole, height)]
    parts = [reduce(jnp.add, each).reshape(-1, channels) for each in (terms, rest) if each]
    return reduce(jnp.add, (jnp.ones((1, len(part))) @ part for part in parts))


def _backward(stride: int, saved: tuple[Array, Array], change: Array) -> tuple[Array, Array]:
    x, kernel = saved
    by_x = fusion_barrier(partial(_gradient_by_x, stride, x.shape))(change, kernel)
    by_kernel = fusion_barrier(partial(_gradient_by_kernel, stride, k=kernel.shape[0]))(x, change)
    return by_x, by_kernel.astype(kernel.dtype)


shifted_conv.defvjp(lambda x, kernel, stride: (shifted_conv(x, kernel, stride), (x, kernel)), _backward)
