"""Mean and maximum over channels from one reading, in one kernel of a GPU."""

import jax
import jax.numpy as jnp
from jax import Array

_LAST = 2**31 - 1


@jax.custom_jvp
def mean_and_max(x: Array) -> tuple[Array, Array]:
    """Return the mean and the maximum over the last axis: float[...,C] -> twice float[...].

    The maximum's gradient goes to the first place that has it, as that of `max_first_argmax`.
    """
    return _mean_max_place(x)[:2]


@mean_and_max.defjvp
def _mean_and_max_jvp(primals, tangents):
    (x,), (change,) = primals, tangents
    mean, highest, place = _mean_max_place(x)
    here = jax.lax.broadcasted_iota(place.dtype, x.shape, x.ndim - 1) == place[..., None]
    return (mean, highest), (change.mean(-1), jnp.where(here, change, 0).sum(-1))


def _mean_max_place(x: Array) -> tuple[Array, Array, Array]:
    """Return mean and maximum in the dtype of x, and int32, which channel is the first that has the maximum."""

    def join(ours, others):
        (total, top, place), (more, other, there) = ours, others
        higher = (other > top) | ((other == top) & (there < place)) | jnp.isnan(other)
        return total + more, jnp.where(higher, other, top), jnp.where(higher, there, place)

    values = x.astype(jnp.float32)  # XLA wants floats of one precision
    channels = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    start = jnp.float32(0), jnp.float32(-jnp.inf), jnp.int32(_LAST)
    total, highest, place = jax.lax.reduce((values, values, channels), start, join, (x.ndim - 1,))
    return (total / x.shape[-1]).astype(x.dtype), highest.astype(x.dtype), place
