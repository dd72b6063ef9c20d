"""Batch normalisation in the form that starts fewest kernels on a GPU.

Shapes: B batch, C channels.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


class BatchNorm(nn.Module):
    """Normalise float[B,...,C] by the statistics of the batch, as Flax's does in training, with its variables.

    Gradients are those of Ioffe and Szegedy 2015, section 3. XLA derives them from that one in two reductions and
    four sums that it can't join; here both sums of a direction come from one reading of the map. What differs
    is the order of additions.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: DTypeLike = jnp.float32
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        normalised, of_batch = _normalise(x, scale, bias, self.epsilon)
        if not self.is_initializing():
            mean.value = self.momentum * mean.value + (1 - self.momentum) * of_batch[0]
            var.value = self.momentum * var.value + (1 - self.momentum) * of_batch[1]
        return normalised.astype(self.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalise(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Array]:
    """Return the normalised map, in the precision of x, and float32[2,C], mean and variance; these have no gradient."""
    return _forward(x, scale, bias, epsilon)[0]


def _forward(x: Array, scale: Array, bias: Array, epsilon: float):
    values = x.astype(jnp.float32)
    mean, square = (each * (x.shape[-1] / x.size) for each in _sums(values, jnp.square(values)))
    var = jnp.maximum(square - jnp.square(mean), 0)
    rate = jax.lax.rsqrt(var + epsilon)
    normalised = (values - mean) * (rate * scale) + bias
    return (normalised.astype(x.dtype), jnp.stack([mean, var])), (x, mean, rate, scale)


def _backward(epsilon: float, kept, changes):
    x, mean, rate, scale = kept
    change, standard = changes[0].astype(jnp.float32), (x.astype(jnp.float32) - mean) * rate
    to_bias, to_scale = _sums(change, change * standard)
    count = x.size // x.shape[-1]
    to_x = (change - to_bias / count - standard * (to_scale / count)) * (rate * scale)
    return to_x.astype(x.dtype), to_scale, to_bias


_normalise.defvjp(_forward, _backward)


def _sums(first: Array, second: Array) -> tuple[Array, Array]:
    """Return the sums float32[C] of two float32[B,...,C] over all but C.

    Both are one reduction of complex numbers, which is read once, and which devices exchange at once: of two
    reductions, or of one with two results, XLA makes more kernels.
    """
    both = jax.lax.complex(first, second).sum(range(first.ndim - 1))
    return both.real, both.imag
