"""Stop the compiler from fusing across a function's inputs and outputs."""

from collections.abc import Callable

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def fusion_barrier(function: Callable) -> Callable:
    """Compile `function` as a separate call, whose inputs and outputs are each computed once and kept in memory.

    On a CPU, XLA fuses a cheap producer into every one of its consumers, so each would compute it once more, in its own
    order of memory. Accelerators fuse better left alone, and are.
    """
    if jax.default_backend() != "cpu":
        return function

    def call(*arrays):
        with set_xla_metadata(inlineable="false"):
            return jax.jit(function)(*arrays)

    return call
