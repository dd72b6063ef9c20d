"""What a machine can do at most, measured in the same run: a matrix product and a copy."""

import time

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def flops_ceiling(dtype: DTypeLike, size: int = 0, repeats: int = 10) -> float:
    """Return the floating-point operations a second of a square matrix product on one device (a multiply-add is two).

    The best of `repeats`, for whatever disturbs only slows. `size` 0: 8192 on an accelerator, 2048 on a CPU.
    """
    size = size or (2048 if jax.default_backend() == "cpu" else 8192)
    left, right = (jax.random.normal(jax.random.key(i), (size, size), dtype) for i in range(2))
    return 2 * size**3 / _best(jax.jit(jnp.matmul), (left, right), repeats)


def bytes_ceiling(size: int = 0, repeats: int = 10) -> float:
    """Return the bytes a second that one device reads and writes in a pass over a large array. `size`: bytes of the
    array."""
    size = size or (2**28 if jax.default_backend() == "cpu" else 2**31)
    array = jnp.zeros(size // 4, jnp.float32)
    return 2 * size / _best(jax.jit(lambda x: x + 1), (array,), repeats)


def _best(function, arguments, repeats: int) -> float:
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return min(times)
