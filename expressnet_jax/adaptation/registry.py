"""METHODS: name -> method. A new one is one file with a `method(**options)`, and one line here."""

import inspect
from collections.abc import Callable

from expressnet_jax.adaptation import adabn, cdan, coral, dann, mcc, mmd, safn, self_training, shot, swd, tent
from expressnet_jax.adaptation.method import Method
from expressnet_jax.errors import UserError

METHODS: dict[str, Callable[..., Method]] = {
    "source_only": lambda: Method(unlabelled=False),
    "supervised": lambda: Method(labelled="target", unlabelled=False),
    "adabn": adabn.method,
    "mmd": mmd.method,
    "coral": coral.method,
    "dann": dann.method,
    "cdan": cdan.method,
    "mcc": mcc.method,
    "mcd": swd.mcd_method,
    "swd": swd.method,
    "safn": safn.method,
    "self_training": self_training.method,
    "shot": shot.method,
    "tent": tent.method,
}


def make_method(name: str, **options) -> Method:
    """Return a method by name with its options.

    Raises:
      UserError: an unknown name or option; the message lists the valid ones.
    """
    if name not in METHODS:
        raise UserError(f"adapt.method: no method {name!r}; one of {', '.join(METHODS)}")
    valid = inspect.signature(METHODS[name]).parameters
    if wrong := sorted(set(options) - set(valid)):
        raise UserError(f"adapt.options: {name} has no {wrong[0]!r}; it has {', '.join(valid) or 'none'}")
    return METHODS[name](**options)
