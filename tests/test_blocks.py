"""The residual block against NumPy, with batch statistics and every scale drawn at random."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.models.blocks import ResidualBlock, max_pool

conv = partial(nn.Conv, use_bias=False)
norm = partial(nn.BatchNorm, use_running_average=True)


class Damp(nn.Module):
    """Stands in for an attention: x -> x / 4."""

    @nn.compact
    def __call__(self, x):
        return x / 4


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def drawn(block, x):
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(block.init, jax.random.key(0), x)
    return jax.tree.map(lambda leaf: rng.uniform(0.2, 1.0, leaf.shape).astype(np.float32), shapes)


def windows(x, size, stride, fill):
    """SAME windows [B, H/s, W/s, size, size, C]; the odd one of the padding goes behind."""
    pads = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)), constant_values=fill)
    cut = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.moveaxis(cut[:, ::stride, ::stride], 3, -1)


def numpy_conv(x, kernel, stride=1):
    return np.einsum("bhwijc,ijcf->bhwf", windows(x, kernel.shape[0], stride, 0.0), kernel)


def numpy_norm(x, params, stats):
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


def numpy_block(x, variables, stride, damp):
    params, stats = variables["params"], variables["batch_stats"]
    scaled = lambda y, name: numpy_norm(y, params[name], stats[name])
    y = np.maximum(scaled(numpy_conv(x, params["conv_1"]["kernel"], stride), "norm_1"), 0)
    y = damp * scaled(numpy_conv(y, params["conv_2"]["kernel"]), "norm_2")
    if stride > 1:
        x = np.nanmean(windows(x, stride, stride, np.nan), axis=(3, 4))
    if "conv_shortcut" in params:
        x = scaled(numpy_conv(x, params["conv_shortcut"]["kernel"]), "norm_shortcut")
    return np.maximum(x + y, 0)


@pytest.mark.parametrize(
    ("filters", "stride", "projected"), [(3, 1, False), (3, 2, False), (5, 1, True), (5, 2, True), (5, 4, True)]
)
@pytest.mark.parametrize("attention", [None, Damp])
def test_block_is_what_the_papers_draw(filters, stride, projected, attention):
    x = noise(2, 9, 6, 3)
    block = ResidualBlock(filters, conv, norm, attention, stride)
    variables = drawn(block, x)
    assert ("conv_shortcut" in variables["params"]) == projected
    expected = numpy_block(x, variables, stride, 0.25 if attention else 1.0)
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 6, 8, 3), (1, 5, 7, 2)])
def test_max_pool_is_flaxs_in_value_and_gradient(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    reference = lambda x: nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))
    y, back = jax.vjp(reference, x)
    ours, our_back = jax.vjp(max_pool, x)
    np.testing.assert_array_equal(ours, y)
    np.testing.assert_array_equal(max_pool(x), y)
    slope = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
    np.testing.assert_array_equal(our_back(slope)[0], back(slope)[0])


def test_equal_largest_values_share_the_gradient_of_max_pool():
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.array([[1.0, 3.0], [3.0, 3.0]])[None, :, :, None])
    np.testing.assert_allclose(gradient[0, :, :, 0], [[0, 1 / 3], [1 / 3, 1 / 3]], rtol=1e-6)
