"""Depthwise convolution that a CPU can train. Shapes: B batch, H height, W width, C channels, k kernel, s stride."""

from collections.abc import Iterator
from functools import partial
from itertools import product

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.apart import apart
from expressnet_jax.models.form import in_products


class DepthwiseConv(nn.Module):
    """Convolves each channel with its own k x k kernel, padded as SAME: float[B,H,W,C] -> float[B,H/s,W/s,C].

    The parameter is `kernel` float32[k,k,1,C], as nn.Conv(feature_group_count=C) would have it. By itself it is one
    grouped convolution on accelerators, and on a CPU a sum of k*k shifted products, where XLA takes ten to a hundred
    times as long for the grouped form and its gradients.
    """

    kernel: int = 3
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.kernel, self.kernel, 1, x.shape[-1])
        kernel = self.param("kernel", nn.initializers.he_normal(in_axis=(0, 1), out_axis=(), batch_axis=(2, 3)), shape)
        form = shifted if in_products() else grouped
        return form(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)


def grouped(x: Array, kernel: Array, stride: int) -> Array:
    """The convolution as XLA's primitive with C groups."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=layout, feature_group_count=x.shape[-1]
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def shifted(x: Array, kernel: Array, stride: int) -> Array:
    """The same as the sum over the kernel's k*k places of the picture moved there, times the place's weights."""
    return apart(partial(_sum_of_places, stride))(x, kernel)


def _sum_of_places(stride: int, x: Array, kernel: Array) -> Array:
    return sum(place * kernel[i, j, 0] for (i, j), place in _places(x, kernel.shape[0], stride))


def _places(x: Array, k: int, stride: int) -> Iterator[tuple[tuple[int, int], Array]]:
    """((i, j), what the kernel's place (i, j) sees: float[B,H/s,W/s,C]), padded as SAME."""
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

    return apart(by_x)(change, kernel), apart(by_kernel)(x, change)


shifted.defvjp(lambda x, kernel, stride: (shifted(x, kernel, stride), (x, kernel)), _shifted_backward)
