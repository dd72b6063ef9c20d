"""Facial-expression recognition in JAX and Flax: from the images on disk to a model exported as ONNX.

The names below are the public interface; all other modules may change. Each is imported when it is asked for: training
needs no ONNX Runtime, prediction no JAX. Their types are in __init__.pyi.

Shapes in every docstring use one letter a dimension: B batch, H height, W width, C channels, K classes, D features,
N examples of a data set, S steps of one dispatch.
"""

import os
from importlib import import_module

# Nothing is sent or stored about the use of this package. Here, since every module and every child process passes here
# before ONNX Runtime is imported: from 1.29 on it otherwise keeps a device id and sends events, on Linux outside CI.
os.environ.update(ORT_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_TELEMETRY="1")

__version__ = "0.1.0"

_MODULES = {
    "Predictor": "expressnet_jax.inference.predictor",
    "UserError": "expressnet_jax.errors",
    "create_model": "expressnet_jax.models.registry",
    "evaluate": "expressnet_jax.api",
    "export_onnx": "expressnet_jax.api",
    "load_checkpoint": "expressnet_jax.training.checkpoints.reading",
    "load_config": "expressnet_jax.api",
    "load_data": "expressnet_jax.api",
    "make_report": "expressnet_jax.api",
    "prepare": "expressnet_jax.api",
    "sweep": "expressnet_jax.api",
    "train": "expressnet_jax.api",
}
__all__ = [*_MODULES]


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_MODULES)}")


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
