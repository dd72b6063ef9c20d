"""Convolutions in products equal XLA's primitive, in value and in both gradients, on one device and on four."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from expressnet_jax.models.cpu import convolution
from expressnet_jax.models.cpu.convolution import direct_conv, matmul_conv, patches, product, space_to_depth
from expressnet_jax.models.cpu.winograd import tile_size, transforms, winograd
from expressnet_jax.models.layer_forms import conv_backend, use_matmul_conv
from expressnet_jax.models.layers import Layers
from expressnet_jax.models.registry import create_model

LAYOUT = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def with_gradients(function, *arrays):
    y, back = jax.vjp(function, *arrays)
    return (y, *back(jnp.asarray(normal(*y.shape, seed=9))))


def largest_difference(ours, theirs):
    """Over value and gradients, relative to the largest value of each."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))


@pytest.fixture
def small_too(monkeypatch):
    """Rewrites convolutions of any size."""
    monkeypatch.setattr(convolution, "_WORTH_IT", 0)


@pytest.mark.parametrize("taps", [2, 3])
@pytest.mark.parametrize("outputs", [2, 3, 4])
def test_transforms_filter_one_row_as_the_sum_does(outputs, taps):
    rng = np.random.default_rng(0)
    row, kernel = rng.normal(size=outputs + taps - 1), rng.normal(size=taps)
    f = transforms(outputs, taps)
    assert f.inputs.shape == (outputs + taps - 1,) * 2
    filtered = f.outputs @ ((f.kernel @ kernel) * (f.inputs @ row))
    np.testing.assert_allclose(filtered, np.correlate(row, kernel, "valid"), atol=1e-12)


def test_the_matrices_of_f_2_3_are_those_of_the_paper_up_to_scale():
    f = transforms(2, 3)  # Lavin & Gray 2016, eq. 7, points in another order
    np.testing.assert_allclose(np.abs(f.kernel[1:3]), np.full((2, 3), 0.5))
    assert np.count_nonzero(f.inputs) == 8 and np.count_nonzero(f.outputs) == 6


@pytest.mark.parametrize(
    ("side", "kernel", "expected"), [(24, 3, 4), (6, 3, 3), (5, 3, 3), (4, 3, 4), (2, 3, 2), (24, 2, 4)]
)
def test_tiles_take_the_fewest_products(side, kernel, expected):
    costs = {m: (-(-side // m) * (m + kernel - 1)) ** 2 for m in (2, 3, 4)}
    assert tile_size(side, side, kernel) == expected
    assert costs[expected] == min(costs.values())


@pytest.mark.parametrize("sides", [(8, 8), (5, 7), (3, 12), (2, 2)])
@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((0, 0), (0, 0)), ((0, 2), (1, 0))])
def test_winograd_is_the_correlation_that_scipy_computes(sides, padding):
    if min(sides) < 3 and padding != ((1, 1), (1, 1)):
        pytest.skip("the kernel doesn't fit")
    x, kernel = normal(1, *sides, 3), normal(3, 3, 3, 2)
    padded = np.pad(x[0], (*padding, (0, 0)))
    expected = np.stack([correlate(padded, kernel[..., f], "valid", "direct")[..., 0] for f in range(2)], axis=-1)
    assert largest_difference(winograd(x, kernel, padding), expected[None]) < 1e-5


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("taps", [1, 3, 5])
@pytest.mark.parametrize("sides", [(12, 6), (7, 9)])
@pytest.mark.parametrize("channels", [3, 20])
def test_every_form_equals_the_primitive(small_too, channels, sides, taps, stride):
    x, kernel = normal(2, *sides, channels), normal(taps, taps, channels, 12)
    ours = with_gradients(lambda x, k: matmul_conv(x, k, (stride, stride), "SAME", **LAYOUT), x, kernel)
    plain = lambda x, k: jax.lax.conv_general_dilated(x, k, (stride, stride), "SAME", **LAYOUT)
    assert largest_difference(ours, with_gradients(plain, x, kernel)) < 2e-5


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({"feature_group_count": 2}, "float32"),
        ({"rhs_dilation": (2, 2)}, "float32"),
        ({"lhs_dilation": (2, 2)}, "float32"),
        ({}, "bfloat16"),
    ],
)
def test_what_it_can_not_rewrite_goes_to_the_primitive(small_too, options, dtype):
    groups = options.get("feature_group_count", 1)
    x, kernel = (jnp.asarray(a, dtype) for a in (normal(2, 8, 8, 4), normal(3, 3, 4 // groups, 6)))
    call = lambda x, k: matmul_conv(x, k, (1, 1), [(1, 1), (1, 1)], **LAYOUT, **options)
    assert [e.primitive.name for e in jax.make_jaxpr(call)(x, kernel).eqns] == ["conv_general_dilated"]
    np.testing.assert_array_equal(
        call(x, kernel), jax.lax.conv_general_dilated(x, kernel, (1, 1), [(1, 1), (1, 1)], **LAYOUT, **options)
    )


def test_small_convolutions_stay_as_they_are():
    x, kernel = normal(2, 8, 8, 4), normal(3, 3, 4, 6)
    equations = jax.make_jaxpr(lambda x, k: matmul_conv(x, k, (1, 1), "SAME", **LAYOUT))(x, kernel).eqns
    assert [equation.primitive.name for equation in equations] == ["conv_general_dilated"]


def test_product_has_the_gradients_of_a_matrix_product():
    x, weights = normal(2, 3, 4, 5), normal(5, 6)
    plain = with_gradients(lambda x, w: x @ w, x, weights)
    assert largest_difference(with_gradients(product, x, weights), plain) < 1e-6


def test_patches_and_space_to_depth_keep_row_order():
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(patches(x, 3, 1, ((0, 0), (0, 0)))[0, 1, 1], [5, 6, 7, 9, 10, 11, 13, 14, 15])
    np.testing.assert_array_equal(space_to_depth(x)[0, 1, 0], [8, 9, 12, 13])


def test_only_training_on_a_cpu_takes_products_and_the_switch_turns_them_off(monkeypatch):
    chosen = lambda train: Layers(train).conv.keywords["conv_general_dilated"]
    on_cpu = jax.default_backend() == "cpu"
    monkeypatch.delenv("EXPRESSNET_TUNE", raising=False)
    assert use_matmul_conv() == on_cpu and (chosen(True) is matmul_conv) == (chosen(False) is direct_conv) == on_cpu
    monkeypatch.setenv("EXPRESSNET_TUNE", "0")
    assert not use_matmul_conv()
    with conv_backend("matmul"):
        assert chosen(True) is matmul_conv
    with conv_backend("xla"):  # so is what is exported
        assert chosen(True) is chosen(False) is None


def test_a_network_has_the_same_gradients_in_both_forms_and_on_four_devices(small_too):
    model = create_model("resnet18", 7, depths=(1, 1), width=8)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1)), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)

    def loss(params, images):
        outputs, _ = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
        logits = outputs.heads["expression"]
        return (logits**2).mean()

    def gradients(backend, params, images):
        with conv_backend(backend):
            return jax.jit(jax.grad(lambda *args: loss(*args)))(params, images)

    params = variables["params"]
    plain = gradients("xla", params, images)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(images, jax.NamedSharding(mesh, jax.P("data")))
    copied = jax.device_put(params, jax.NamedSharding(mesh, jax.P()))
    for ours in (gradients("matmul", params, images), gradients("matmul", copied, spread)):
        pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True)
        scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain))
        assert max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs) < 2e-4 * scale


@pytest.mark.parametrize("padding", ["SAME", ((1, 1), (1, 1)), ((1, 2), (3, 1))])
@pytest.mark.parametrize(("sides", "stride"), [((2, 2), 1), ((1, 1), 1), ((2, 5), 2), ((3, 3), 1)])
def test_maps_smaller_than_the_kernel_have_the_same_sum_and_gradients(sides, stride, padding):
    arrays = normal(2, *sides, 4), normal(3, 3, 4, 5, seed=1)
    ours = lambda x, kernel: direct_conv(x, kernel, (stride, stride), padding, **LAYOUT)
    xlas = lambda x, kernel: jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, **LAYOUT)
    assert largest_difference(with_gradients(ours, *arrays), with_gradients(xlas, *arrays)) < 1e-5


def test_a_map_smaller_than_the_kernel_is_filled_before_the_convolution():
    """XLA sums in a loop where the convolution itself has to pad to the kernel's size."""
    conv = lambda x, kernel: direct_conv(x, kernel, (1, 1), "SAME", **LAYOUT)
    shape = lambda sides: jax.ShapeDtypeStruct(sides, jnp.float32)
    compiled = jax.jit(conv).lower(shape((1, 2, 2, 512)), shape((3, 3, 512, 512))).compile().as_text()
    assert "window={size=3x3}" in compiled and "pad=1_1" not in compiled
