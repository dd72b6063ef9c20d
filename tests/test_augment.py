"""Light, occlusion and degradation against NumPy, Pillow and SciPy, and the promises of `augment` that the training
step builds on."""

import io
import os
import subprocess
import sys
from functools import cache

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from expressnet_jax.data.augment import AUGMENTATIONS, augment, augment_batch, mirrored_in
from expressnet_jax.data.degradation import SIDES, jpeg, spread
from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError

KEY = jax.random.key(7)
ALL = {
    "flip": 0.5,
    "pad": 4,
    "random_resized_crop": 0.2,
    "rotate": 15.0,
    "zoom": 0.1,
    "brightness": 0.2,
    "contrast": 0.3,
    "gamma": 0.3,
    "shadow": 0.5,
    "cutout": 0.3,
    "random_erasing": 0.5,
    "degrade": 0.5,
    "mixup": 0.2,
    "cutmix": 1.0,
}


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@cache
def jitted(**options):
    return jax.jit(lambda key, images: augment(key, images, options))


def run(images, key=KEY, **options):
    return np.asarray(jitted(**options)(key, images))


def test_brightness_adds_one_number_to_an_image():
    images = np.clip(noise(200, 8, 8, 1), 60, 195)
    shifts = run(images, brightness=0.2) - images
    assert np.ptp(shifts, axis=(1, 2, 3)).max() < 1e-3
    assert -51.001 <= shifts.min() < -45 and 45 < shifts.max() <= 51.001


def test_contrast_scales_the_distance_from_the_mean():
    images = np.clip(noise(200, 8, 8, 3), 90, 160)
    means = images.mean((1, 2, 3), keepdims=True)
    changed = run(images, contrast=0.4)
    factors = (changed[:, :1, :1, :1] - means) / (images[:, :1, :1, :1] - means)
    np.testing.assert_allclose(changed, means + factors * (images - means), atol=0.05)
    assert 0.599 <= factors.min() < 0.65 and 1.35 < factors.max() <= 1.401


def test_gamma_keeps_black_and_white_and_is_a_power_between():
    images = np.linspace(0, 255, 64).astype(np.uint8).reshape(1, 8, 8, 1).repeat(200, axis=0)
    changed = run(images, gamma=0.5)
    assert (changed[:, 0, 0] == 0).all() and (changed[:, -1, -1] == 255).all()
    exponents = np.log(changed[:, 4, 4] / 255) / np.log(images[:, 4, 4] / 255)
    np.testing.assert_allclose(changed, 255 * (images / 255) ** exponents[..., None, None], atol=0.02)
    assert np.exp(-0.5) - 1e-3 <= exponents.min() < 0.65 and 1.55 < exponents.max() <= np.exp(0.5) + 1e-3


def test_shadow_darkens_a_part_softly_and_no_deeper_than_asked():
    light = run(np.full((300, 32, 40, 1), 200, np.uint8), shadow=0.6) / 200
    assert light.min() >= 0.4 - 1e-5 and light.min() < 0.45 and light.max() <= 1
    steps = np.abs(np.diff(light, axis=2)).max((1, 2, 3))
    depths = light.max((1, 2, 3)) - light.min((1, 2, 3))
    assert (steps <= 0.8 * depths).all()
    assert ((depths > 0.1) & (light.max((1, 2, 3)) > 0.98)).mean() > 0.5


def test_cutout_hides_a_square_with_the_mean_colour():
    images = noise(300, 20, 30, 3)
    changed = run(images, cutout=0.4)
    hidden = (changed != images).any(-1)
    heights, widths = hidden.any(2).sum(1), hidden.any(1).sum(1)
    np.testing.assert_array_equal(hidden.sum((1, 2)), heights * widths)
    assert heights.max() == widths.max() == 8 and ((heights == 8) & (widths == 8)).mean() > 0.3
    colours = np.broadcast_to(images.mean((1, 2), keepdims=True), images.shape)
    np.testing.assert_allclose(changed[hidden], colours[hidden], atol=1e-2)


def test_erase_puts_noise_in_rectangles_of_the_papers_sizes():
    images = np.full((1000, 40, 40, 1), 300 // 2, np.uint8)
    changed = run(images, random_erasing=0.6)[..., 0]
    hidden = changed != 150
    erased = hidden.any((1, 2))
    assert abs(erased.mean() - 0.6) < 0.06
    heights, widths = hidden.any(2).sum(1)[erased], hidden.any(1).sum(1)[erased]
    np.testing.assert_array_equal(hidden.sum((1, 2))[erased], heights * widths)
    shares, aspects = heights * widths / 1600, heights / widths
    assert 0.015 < shares.min() < 0.03 and 0.31 < shares.max() < 0.35
    assert 0.22 < aspects.min() < 0.35 and 2.9 < aspects.max() < 4.3 and abs(np.log(aspects).mean()) < 0.1
    assert abs(changed[hidden].mean() - 127.5) < 2 and abs(changed[hidden].std() - 255 / np.sqrt(12)) < 2


def smooth(*shape):
    """Gray images without the sharpest detail, as photographs are: float32[B,H,W,1]."""
    raw = np.random.default_rng(3).normal(size=shape[:3])
    soft = np.stack([gaussian_filter(each, 2.0) for each in raw])
    return np.clip(128 + 400 * soft, 0, 255).round().astype(np.float32)[..., None]


def test_jpeg_keeps_what_libjpeg_keeps():
    images, qualities = smooth(6, 40, 48), [10, 25, 40, 50, 60, 80]
    kept = np.asarray(jpeg(images, np.float32(qualities)))[..., 0]
    for image, own, quality in zip(images[..., 0], kept, qualities, strict=True):
        file = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(file), np.float32)
        lost = np.abs(theirs - image).mean()
        assert np.abs(own - theirs).mean() < 0.1 * lost + 0.1, quality  # ties are rounded in another way


def test_fewer_pixels_are_those_of_pillow_and_blur_is_that_of_scipy():
    images, sides = smooth(4, 48, 48), (np.arange(4) + 0.5) / 4
    shrunk = np.asarray(spread(images, np.zeros(4), np.float32(sides)))[..., 0]
    for image, own, share in zip(images[..., 0], shrunk, SIDES, strict=True):
        small = Image.fromarray(image).resize((round(48 * share),) * 2, Image.Resampling.BILINEAR)
        theirs = np.asarray(small.resize((48, 48), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(own, theirs, atol=0.05)
    blurred = np.asarray(spread(images, np.full(4, 1.5 / 48, np.float32), np.ones(4)))[..., 0]
    theirs = np.stack([gaussian_filter(each, 1.5, truncate=8.0) for each in images[..., 0]])
    np.testing.assert_allclose(blurred[:, 10:-10, 10:-10], theirs[:, 10:-10, 10:-10], atol=0.05)


def test_degradation_changes_its_share_of_the_images_and_leaves_the_others():
    images = smooth(400, 24, 24).astype(np.uint8)
    same = (run(images, degrade=0.6) == images).all((1, 2, 3))
    assert abs(same.mean() - (1 - 0.6 * (1 - 0.5**4))) < 0.06


@pytest.mark.parametrize("options", [{}, dict.fromkeys(ALL, 0.0)])
def test_neutral_options_change_nothing_and_cost_nothing(options):
    images = noise(4, 32, 32, 3)
    result = augment(KEY, images, options)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, images)
    traced = jax.make_jaxpr(lambda key, x: augment(key, x, options))(KEY, images)
    assert {str(equation.primitive) for equation in traced.eqns} == {"convert_element_type"}


@pytest.mark.parametrize("name", ["pad", "gamma", "cutout"])
def test_each_augmentation_alone_is_that_of_the_table(name):
    images = noise(8, 32, 32, 1)
    key = jax.random.fold_in(KEY, list(AUGMENTATIONS).index(name))
    alone = jax.jit(lambda k, x: AUGMENTATIONS[name](k, x, ALL[name]))(key, images.astype(np.float32))
    np.testing.assert_allclose(run(images, **{name: ALL[name]}), alone, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "options"), [((8, 32, 48, 3), ALL), ((2, 224, 224, 1), {"random_resized_crop": 0.2, "cutout": 0.2})]
)
def test_results_are_finite_and_within_the_range(shape, options):
    result = run(noise(*shape), **options)
    assert result.shape == shape and result.dtype == np.float32
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 255
    assert (np.abs(result - noise(*shape)).mean((1, 2, 3)) > 1).all()


def test_an_example_does_not_depend_on_the_rest_of_its_batch():
    images = noise(8, 32, 48, 3)
    changed = images.copy()
    changed[1:] = 255 - changed[1:]
    whole = run(images, **ALL)
    np.testing.assert_array_equal(run(changed, **ALL)[0], whole[0])
    np.testing.assert_array_equal(run(images[:3], random_erasing=0.9), run(images, random_erasing=0.9)[:3])


def test_the_key_and_nothing_else_decides():
    images = noise(8, 32, 48, 3)
    np.testing.assert_array_equal(run(images, **ALL), run(images, **ALL))
    assert np.abs(run(images, **ALL) - run(images, jax.random.key(8), **ALL)).mean() > 5


def test_jit_changes_nothing_and_neither_does_vmap():
    images, options = noise(2, 4, 32, 32, 1), {"flip": 0.5, "brightness": 0.2, "cutout": 0.3}
    eager = np.stack([augment(KEY, batch, options) for batch in images])
    np.testing.assert_allclose(np.stack([run(batch, **options) for batch in images]), eager, atol=1e-2)
    np.testing.assert_allclose(jax.vmap(jitted(**options), (None, 0))(KEY, images), eager, atol=1e-2)


def test_switching_one_option_on_leaves_the_draws_of_the_others():
    images = noise(16, 32, 32, 1)
    flipped = run(images, flip=0.5)
    both = run(images, flip=0.5, cutout=0.3)
    assert (np.isclose(both, flipped).mean((1, 2, 3)) > 0.9).all()


def test_crop_after_shifts_is_a_random_crop_without_invented_borders():
    images = noise(64, 24, 24, 1)
    crops = run(images, pad=2, crop=20)
    assert crops.shape == (64, 20, 20, 1)
    windows = [images[:, i : i + 20, j : j + 20] for i in range(5) for j in range(5)]
    found = np.array([(window == crops).all((1, 2, 3)) for window in windows])
    assert (found.sum(0) == 1).all() and found.any(1).sum() > 15
    with pytest.raises(UserError, match=r"augment\.crop: 25 pixels do not fit"):
        augment(KEY, images, {"crop": 25})


def test_resizing_is_pillows():
    images = noise(3, 40, 40, 1)
    small = run(images, resize=28)
    pillow = [Image.fromarray(image[..., 0].astype(np.float32)).resize((28, 28), Image.BILINEAR) for image in images]
    np.testing.assert_allclose(small[..., 0], np.stack(pillow), atol=0.01)
    assert run(images, crop=32, resize=32).shape == (3, 32, 32, 1)


def test_two_epochs_show_every_image_both_ways():
    images, index = noise(200, 6, 8, 1), np.arange(200) * 7
    mirrored = [np.asarray(mirrored_in(index, np.full(200, epoch))) for epoch in range(3)]
    fields, batch = {"expression": Field("class", (2,))}, {"image": images, "index": index, "expression": index % 2}
    options, keys = {"alternating_flip": True}, (KEY, KEY)
    for epoch in range(2):  # of one batch each
        seen = augment_batch(keys, batch, fields, options, epoch, 200)["image"]
        expected = np.where(mirrored[epoch][:, None, None, None], images[:, :, ::-1], images)
        np.testing.assert_array_equal(seen, expected)
    assert 70 < mirrored[0].sum() < 130 and (mirrored[0] ^ mirrored[1]).all() and (mirrored[0] == mirrored[2]).all()


def test_an_unknown_option_is_refused_with_the_valid_ones():
    with pytest.raises(UserError, match=r"no option rotation; there are flip, .*rotate.*cutmix"):
        augment(KEY, noise(1, 8, 8, 1), {"rotation": 3.0})


SHARDED = """
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from expressnet_jax.data.augment import augment
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
sharding = NamedSharding(mesh, PartitionSpec("data"))
options = dict(flip=0.5, pad=3, rotate=10.0, contrast=0.3, random_erasing=0.5)
images, key = np.random.default_rng(0).integers(0, 256, (8, 24, 20, 3), np.uint8), jax.random.key(0)
change = lambda key, images: augment(key, images, options)
spread = jax.jit(change, out_shardings=sharding).lower(key, jax.device_put(images, sharding)).compile()
assert not any(word in spread.as_text() for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))
np.testing.assert_allclose(spread(key, jax.device_put(images, sharding)), jax.jit(change)(key, images), atol=1e-3)
"""


def test_four_devices_give_what_one_gives_without_talking_to_each_other():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run([sys.executable, "-c", SHARDED], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
