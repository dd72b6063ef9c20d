"""Facial-expression recognition in JAX and Flax: from the images people have on disk to a model that leaves as ONNX.

Shapes in every docstring use one letter a dimension: B batch, H height, W width, C channels, K classes, D features,
N examples of a data set, S steps of one dispatch.
"""

import os

# Nothing is sent or stored about the use of this package. Here, since every module and every child process passes here
# before ONNX Runtime is imported: from 1.29 on it otherwise keeps a device id and sends events, on Linux outside CI.
os.environ.update(ORT_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_TELEMETRY="1")

__version__ = "0.1.0"


def __getattr__(name: str):
    """`expressnet_jax.Predictor`, imported when it is asked for: training needs no ONNX Runtime, prediction no JAX."""
    if name == "Predictor":
        from expressnet_jax.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
