"""The two forms of a depthwise convolution are one function, with one gradient; the exported one is grouped."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from expressnet_jax.models.cpu.depthwise import shifted_conv
from expressnet_jax.models.layer_forms import conv_backend
from expressnet_jax.models.layers import DepthwiseConv, grouped_conv


def data(side, channels=5, kernel=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, side, side + 3, channels)).astype(np.float32)
    return x, rng.normal(size=(kernel, kernel, 1, channels)).astype(np.float32)


def test_it_correlates_each_channel_with_its_own_kernel():
    x, kernel = data(6)
    expected = [[correlate2d(x[b, ..., c], kernel[..., 0, c], "same") for c in range(5)] for b in range(2)]
    np.testing.assert_allclose(shifted_conv(x, kernel, 1), np.moveaxis(expected, 1, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("side", "stride", "size"),
    [
        *product((7, 8), (1, 2), (3, 5)),
        *((13, 1, 3), (17, 1, 3), (26, 2, 7), (24, 1, 3)),  # rows that are no multiple of what is added at once
        *((1, 2, 3), (2, 2, 5), (8, 2, 9), (9, 2, 2), (6, 1, 4), (10, 3, 3), (4, 2, 1)),  # phases that see nothing
    ],
)
def test_the_forms_agree_in_value_and_gradient(side, stride, size):
    x, kernel = data(side, kernel=size)
    results = {}
    for form in (grouped_conv, shifted_conv):
        y, back = jax.vjp(lambda x, k, form=form: form(x, k, stride), x, kernel)
        results[form] = (y, *back(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5), results[grouped_conv], results[shifted_conv])


def test_half_precision_sums_the_gradient_of_a_kernel_in_single():
    x, kernel = (a.astype(jnp.bfloat16) for a in map(jnp.asarray, data(24)))
    _, back = jax.vjp(lambda x, k: shifted_conv(x, k, 1), x, kernel)
    y = jnp.ones(x.shape, jnp.bfloat16)
    _, exact = jax.vjp(lambda x, k: grouped_conv(x, k, 1), *(a.astype(jnp.float32) for a in (x, kernel)))
    found, expected = back(y)[1], exact(y.astype(jnp.float32))[1]
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), expected, atol=0.02 * np.abs(expected).max())


def test_the_module_takes_the_form_that_is_asked_for(monkeypatch):
    monkeypatch.delenv("EXPRESSNET_TUNE", raising=False)
    x, _ = data(8)
    module = DepthwiseConv(stride=2)
    variables = module.init(jax.random.key(0), x)
    assert variables["params"]["kernel"].shape == (3, 3, 1, 5)
    primitives = {}
    for form in ("xla", "matmul", "auto"):
        with conv_backend(form):
            jaxpr = jax.make_jaxpr(lambda x: module.apply(variables, x))(x)
        primitives[form] = {equation.primitive.name for equation in jaxpr.eqns}
    assert "conv_general_dilated" in primitives["xla"] and "conv_general_dilated" not in primitives["matmul"]
    assert primitives["auto"] == primitives["matmul" if jax.default_backend() == "cpu" else "xla"]
