"""Geometry against Pillow, OpenCV and reading pixel by pixel."""

import cv2
import jax
import numpy as np
from PIL import Image, ImageOps

from expressnet_jax.data.augment import augment
from expressnet_jax.data.geometry import GEOMETRIES, compose, warp, warp_whole_pixels

KEY = jax.random.key(7)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def smooth(batch, height, width):
    coarse = np.random.default_rng(1).integers(0, 256, (batch, 5, 5), np.uint8)
    enlarge = lambda image: cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([enlarge(image) for image in coarse])[..., None]


def matrices_of(name, strength, count=2000, height=48, width=40):
    return np.asarray(jax.jit(lambda key: GEOMETRIES[name](key, (count, height, width, 1), strength))(KEY))


def read_by_hand(image, matrix):
    """Bilinear reading with replicated borders, pixel by pixel."""
    height, width, _ = image.shape
    result = np.zeros(image.shape)
    pixel = lambda row, column: image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)].astype(float)
    for i in range(height):
        for j in range(width):
            x, y, _ = matrix @ [j - (width - 1) / 2, i - (height - 1) / 2, 1] + [(width - 1) / 2, (height - 1) / 2, 0]
            row, column = int(np.floor(y)), int(np.floor(x))
            for k, share_y in ((row, row + 1 - y), (row + 1, y - row)):
                for m, share_x in ((column, column + 1 - x), (column + 1, x - column)):
                    result[i, j] += share_y * share_x * pixel(k, m)
    return result


def test_warp_is_bilinear_interpolation_with_replicated_borders():
    images = noise(4, 9, 13, 3)
    matrices = np.tile(np.eye(3, dtype=np.float32), (4, 1, 1))
    matrices[:, :2] += np.random.default_rng(2).normal(0, [0.3, 0.3, 3], (4, 2, 3))
    expected = [read_by_hand(image, matrix) for image, matrix in zip(images, matrices, strict=True)]
    np.testing.assert_allclose(jax.jit(warp)(images, matrices), expected, atol=1e-2)


def test_rotation_is_that_of_opencv():
    images = smooth(6, 48, 40)
    matrices = matrices_of("rotate", 30.0, count=6)
    turned = np.asarray(jax.jit(warp)(images, matrices))
    for image, matrix, ours in zip(images, matrices, turned, strict=True):
        degrees = float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
        forward = cv2.getRotationMatrix2D((19.5, 23.5), degrees, 1.0)
        theirs = cv2.warpAffine(image.astype(np.float32), forward, (40, 48), borderMode=cv2.BORDER_REPLICATE)
        assert abs(degrees) > 0.5
        np.testing.assert_allclose(ours[..., 0], theirs, atol=2.0)


def test_composed_geometry_is_one_after_the_other():
    images = smooth(3, 64, 64).astype(np.float32)
    rotation, zooming = matrices_of("rotate", 10.0, 3), matrices_of("zoom", 0.1, 3)
    once = np.asarray(warp(images, compose([rotation, zooming])))
    twice = np.asarray(warp(warp(images, rotation), zooming))
    inner = (slice(None), slice(12, -12), slice(12, -12))
    np.testing.assert_allclose(once[inner], twice[inner], atol=3)
    assert np.abs(once - np.asarray(warp(images, rotation)))[inner].max() > 5


def test_flip_mirrors_as_pillow_does():
    images = noise(3, 32, 41, 3)
    mirrored = [np.asarray(ImageOps.mirror(Image.fromarray(image))) for image in images]
    np.testing.assert_array_equal(augment(KEY, images, {"flip": 1.0}), mirrored)


def test_pad_is_a_crop_of_the_padded_image():
    images = noise(16, 32, 24, 1)
    padded = np.pad(images, ((0, 0), (5, 5), (5, 5), (0, 0)), mode="edge")
    for image, ours in zip(padded, np.asarray(augment(KEY, images, {"pad": 5})), strict=True):
        crops = [image[i : i + 32, j : j + 24] for i in range(11) for j in range(11)]
        assert sum(np.array_equal(crop, ours) for crop in crops) == 1


def test_flips_and_shifts_are_exact_in_the_general_warp_too():
    images = noise(16, 32, 47, 3)
    matrices = compose([matrices_of("flip", 0.5, 16, 32, 47), matrices_of("pad", 6, 16, 32, 47)])
    np.testing.assert_array_equal(jax.jit(warp)(images, matrices), jax.jit(warp_whole_pixels)(images, matrices))


def test_geometry_is_drawn_from_the_stated_ranges():
    flipped = matrices_of("flip", 0.3)[:, 0, 0]
    assert set(flipped) == {-1.0, 1.0} and abs((flipped < 0).mean() - 0.3) < 0.04
    shifts = matrices_of("pad", 3)[:, :2, 2]
    values, counts = np.unique(shifts, return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3] and counts.min() > 0.8 * shifts.size / 7
    turned = matrices_of("rotate", 20.0)
    angles = np.rad2deg(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert -20 <= angles.min() < -19 and 19 < angles.max() <= 20
    magnified = 1 / matrices_of("zoom", 0.25)[:, 0, 0]
    assert 0.7499 <= magnified.min() < 0.76 and 1.24 < magnified.max() <= 1.2501


def test_random_crop_is_a_window_within_the_image():
    matrices = matrices_of("random_resized_crop", 0.4, height=48, width=40)
    side = matrices[:, 0, 0]
    np.testing.assert_array_equal(side, matrices[:, 1, 1])
    assert 0.5999 <= side.min() < 0.61 and 0.99 < side.max() <= 1
    corners = np.array([[-20, -24, 1], [20, 24, 1]], np.float32)
    reached = np.abs(corners @ matrices.transpose(0, 2, 1))[..., :2]
    assert (reached <= [20.001, 24.001]).all()
    assert (reached.max((0, 1)) > [19.9, 23.9]).all()


def test_pixels_read_by_products_are_those_of_the_gathers(monkeypatch):
    """The form for TPUs: no gather is left in it, and every pixel is the same but for rounding."""
    images = np.random.default_rng(5).integers(0, 256, (6, 13, 17, 3), np.uint8)
    keys = jax.random.split(jax.random.key(3), 4)
    strengths = {"flip": 0.5, "pad": 2, "rotate": 25.0, "zoom": 0.3}
    drawn = [GEOMETRIES[name](key, images.shape, strengths[name]) for key, name in zip(keys, strengths, strict=True)]
    text = lambda read, matrices: str(jax.make_jaxpr(lambda *arrays: read(*arrays))(images, matrices))
    for read, matrices in ((warp, compose(drawn)), (warp_whole_pixels, compose(drawn[:2]))):
        expected = read(images, matrices)
        assert "gather" in text(read, matrices)
        with monkeypatch.context() as patch:
            patch.setattr("expressnet_jax.data.geometry.products_read_pixels", lambda: True)
            np.testing.assert_allclose(read(images, matrices), expected, rtol=1e-5, atol=1e-4)
            assert "gather" not in text(read, matrices)
