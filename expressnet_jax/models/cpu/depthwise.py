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
    sizes = [-(-n // stride) for n in x.shape[1:3]]
    missing = [max((out - 1) * stride + k - n, 0) for n, out in zip(x.shape[1:3], sizes, strict=True)]
    padded = jnp.pad(x, ((0, 0), *((total // 2, total - total // 2) for total in missing), (0, 0)))
    rows, columns = ((out - 1) * stride + 1 for out in sizes)
    for i, j in product(range(k), repeat=2):
        yield (i, j), padded[:, i : i + rows : stride, j : j + columns : stride]


def _shifted_backward(stride: int, saved: tuple[Array, Array], change: Array) -> tuple[Array, Array]:
    x, kernel = saved

    def by_kernel(x: Array, change: Array) -> Array:
        weights = [(place * change).sum((0, 1, 2)) for _, place in _places(x, kernel.shape[0], stride)]
        return jnp.stack(weights).reshape(kernel.shape)

    def by_x(change: Array, kernel: Array) -> Array:
        if stride == 1 and kernel.shape[0] % 2:  # SAME is symmetric then: the gradient is such a sum itself
            return _sum_of_places(1, change, kernel[::-1, ::-1])
        return jax.linear_transpose(lambda x: _sum_of_places(stride, x, kernel), x)(change)[0]

    return fusion_barrier(by_x)(change, kernel), fusion_barrier(by_kernel)(x, change)


shifted_conv.defvjp(lambda x, kernel, stride: (shifted_conv(x, kernel, stride), (x, kernel)), _shifted_backward)
