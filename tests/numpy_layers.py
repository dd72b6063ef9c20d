"""Layers in NumPy, to write a block down as its paper does."""

import flax.linen as nn
import jax
import numpy as np


class Damp(nn.Module):
    """Stands in for an attention: x -> x / 4."""

    @nn.compact
    def __call__(self, x):
        return x / 4


class NumpyLayers:
    """The layers of one block, by the names of its parameters, with the batch statistics of evaluation."""

    def __init__(self, variables):
        self.params, self.stats = variables["params"], variables["batch_stats"]

    def inside(self, name):
        return NumpyLayers({"params": self.params[name], "batch_stats": self.stats[name]})

    def conv(self, x, name, stride=1):
        kernel = self.params[name]["kernel"]
        return np.einsum("bhwijc,ijcf->bhwf", windows(x, kernel.shape[0], stride, 0.0), kernel)

    def depthwise(self, x, name, stride=1):
        kernel = self.params[name]["kernel"]
        return np.einsum("bhwijc,ijc->bhwc", windows(x, kernel.shape[0], stride, 0.0), kernel[:, :, 0])

    def norm(self, x, name):
        params, stats = self.params[name], self.stats[name]
        return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


def relu(x):
    return np.maximum(x, 0)


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def drawn(block, *inputs):
    """Variables of a block: kernels of both signs, everything else random and positive."""
    rng = np.random.default_rng(1)
    draw = lambda shape: rng.normal(0, 0.5, shape) if len(shape) > 1 else rng.uniform(0.2, 1.0, shape)
    shapes = jax.eval_shape(block.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda leaf: draw(leaf.shape).astype(np.float32), shapes)


def windows(x, size, stride, fill):
    """SAME windows [B, H/s, W/s, size, size, C]; the odd one of the padding goes behind."""
    pads = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)), constant_values=fill)
    cut = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.moveaxis(cut[:, ::stride, ::stride], 3, -1)
