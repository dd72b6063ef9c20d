"""In which form convolutions are computed: as XLA's primitive, or in the products that a CPU trains fastest."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import jax

Form = Literal["auto", "primitive", "products"]
_form: ContextVar[Form] = ContextVar("form", default="auto")


@contextmanager
def convolution_form(form: Form) -> Iterator[None]:
    """The form of the convolutions that are traced inside; an exported file wants primitives."""
    token = _form.set(form)
    try:
        yield
    finally:
        _form.reset(token)


def in_products() -> bool:
    """What "auto" comes to: products on a CPU, unless EXPRESSNET_TUNE=0; primitives on an accelerator."""
    if _form.get() != "auto":
        return _form.get() == "products"
    return jax.default_backend() == "cpu" and os.environ.get("EXPRESSNET_TUNE") != "0"
