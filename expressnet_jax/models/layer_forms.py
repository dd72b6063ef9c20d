"""Select what computes a layer: XLA's primitives, or the form that the platform trains fastest."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import jax

_ConvBackend = Literal["auto", "xla", "matmul"]
_backend: ContextVar[_ConvBackend] = ContextVar("conv_backend", default="auto")


@contextmanager
def conv_backend(backend: _ConvBackend) -> Iterator[None]:
    """Set the backend of the convolutions that are traced inside; an exported file wants XLA's primitive."""
    token = _backend.set(backend)
    try:
        yield
    finally:
        _backend.reset(token)


def use_matmul_conv() -> bool:
    """Return whether convolutions become matrix products. "auto" does so on a CPU, unless EXPRESSNET_TUNE=0."""
    if _backend.get() != "auto":
        return _backend.get() == "matmul"
    return jax.default_backend() == "cpu" and os.environ.get("EXPRESSNET_TUNE") != "0"


def few_kernels() -> bool:
    """Return whether layers and the step take the forms that start few kernels: on a GPU, but not in an export."""
    return _backend.get() == "auto" and jax.default_backend() == "gpu"
