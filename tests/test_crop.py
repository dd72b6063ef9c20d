"""The square around a face, against SciPy and against images whose every pixel says where it lies."""

import math

import cv2
import numpy as np
import pytest
from scipy import ndimage

from expressnet_jax.inference.crop import cut_face, roll_degrees
from expressnet_jax.inference.detection import Detection

PLAIN = {"align": False, "equalize": False}
ALIGNED = {"align": True, "equalize": False}
EYES = np.array([[-0.2, -0.1], [0.2, -0.1], [0.0, 0.05], [-0.15, 0.2], [0.15, 0.2]])  # and so on, in sides of a face


def found_at(centre, width, height, degrees=0.0):
    """A face turned clockwise as seen."""
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    marks = centre + EYES * math.sqrt(width * height) @ rotation.T
    return Detection((centre[0] - width / 2, centre[1] - height / 2, width, height), 1.0, marks.astype(np.float32))


def waves(height, width):
    """float64[H,W,3]: nothing in it is finer than 60 pixels."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([127 + 100 * np.sin(x / p + 1) * np.cos(y / q) for p, q in ((10, 14), (17, 11), (13, 19))], axis=-1)


def mapped(image, centre, side, degrees, size, finer=5):
    """The same square by SciPy: each pixel is the mean of finer x finer points; edges repeat."""
    steps = (np.arange(size * finer) + 0.5) / (size * finer) - 0.5
    v, u = np.meshgrid(steps * side, steps * side, indexing="ij")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v
    planes = [ndimage.map_coordinates(image[..., c], [y - 0.5, x - 0.5], order=1, mode="nearest") for c in range(3)]
    return np.stack(planes, axis=-1).reshape(size, finer, size, finer, 3).mean((1, 3))


@pytest.mark.parametrize("degrees", [0, 12.5, -35, 178])
@pytest.mark.parametrize(("width", "height"), [(24, 31), (170, 150)])
@pytest.mark.parametrize("centre", [(150.3, 120.8), (20.0, 10.5), (290.0, 239.0)])
def test_it_is_the_square_that_scipy_cuts(centre, width, height, degrees):
    image = waves(240, 300).round().astype(np.uint8)
    cut = cut_face(image, found_at(centre, width, height, degrees), 1.15, 48, 3, **ALIGNED)
    wanted = mapped(image.astype(float), centre, 1.15 * math.sqrt(width * height), degrees, 48)
    assert cut.shape == (48, 48, 3) and cut.dtype == np.uint8
    off = np.abs(cut - wanted)
    assert off.mean() < 0.6 and off.max() < 4


@pytest.mark.parametrize("degrees", [0, 45, -100])
@pytest.mark.parametrize("side", [610, 1300])
def test_large_faces_too_are_the_square_that_scipy_cuts(side, degrees):
    sides = round(1.6 * side), round(1.5 * side)
    image = cv2.resize(waves(160, 150), sides[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    centre = (0.52 * sides[1], 0.45 * sides[0])
    cut = cut_face(image, found_at(centre, side, side, degrees), 1.0, 48, 3, **ALIGNED)
    off = np.abs(cut - mapped(image.astype(float), centre, side, degrees, 48))
    assert off.mean() < 0.8 and off.max() < 3


@pytest.mark.parametrize("side", [20, 47.3, 48, 190.7, 383, 500, 601, 1800.5])
def test_place_and_scale_are_right_to_a_tenth_of_a_pixel(side):
    """Two waves a quarter of a period apart: the angle of the pair says where a pixel was cut."""
    length, period = round(1.5 * side), 2 * side
    angle = 2 * math.pi * (np.arange(length) + 0.5) / period
    pair = np.stack([np.cos(angle), np.sin(angle), np.zeros(length)], axis=-1)
    across = np.tile((127.5 + 127 * pair).round().astype(np.uint8), (length, 1, 1))
    centre = np.array([length * 0.52, length * 0.47])
    for image, axis in ((across, 0), (np.ascontiguousarray(across.transpose(1, 0, 2)), 1)):
        cut = cut_face(image, found_at(centre, side, side), 1.0, 48, 3, **PLAIN)
        cos, sin = (cut.mean(axis)[:, :2].T - 127.5) / 127
        lies_at = np.unwrap(np.arctan2(sin, cos)) / (2 * math.pi) * period
        scale, middle = np.polyfit((np.arange(48) + 0.5) - 24, lies_at, 1)
        assert abs(middle % period - centre[axis]) < 0.1 * side / 48
        assert abs(48 * scale - side) < 0.1 * side / 48


@pytest.mark.parametrize("degrees", [-60, -20, 0, 7, 45, 135])
def test_a_turned_face_comes_out_level(degrees):
    centre = np.array([160.0, 150.0])
    found = found_at(centre, 150, 150, degrees)
    assert roll_degrees(found.landmarks) == pytest.approx(degrees, abs=1e-3)
    y, x = np.mgrid[0:300, 0:320] + 0.5
    spots = [np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 5**2)) for u, v in found.landmarks]
    for spot, (u, v) in zip(spots, EYES, strict=True):
        image = np.repeat((255 * spot).round().astype(np.uint8)[..., None], 3, axis=2)
        light = cut_face(image, found, 1.0, 96, 1, **ALIGNED)[..., 0].astype(float)
        rows, columns = np.mgrid[0:96, 0:96] + 0.5
        place = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
        np.testing.assert_allclose(place, ((u + 0.5) * 96, (v + 0.5) * 96), atol=0.1)


def test_without_landmarks_or_when_told_so_it_is_not_turned():
    image = waves(240, 300).astype(np.uint8)
    turned = found_at((150, 120), 100, 100, 30)
    plain = cut_face(image, turned, 1.0, 48, 3, **PLAIN)
    np.testing.assert_array_equal(plain, cut_face(image, turned._replace(landmarks=None), 1.0, 48, 3, **ALIGNED))
    assert np.abs(plain.astype(int) - cut_face(image, turned, 1.0, 48, 3, **ALIGNED)).mean() > 5
    assert roll_degrees(None) == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gray_crop_of_the_model_s_size_is_untouched(channels):
    gray = np.random.default_rng(0).integers(0, 256, (48, 48, 1), np.uint8)
    whole = Detection((0, 0, 48, 48), 1.0)
    cut = cut_face(np.repeat(gray, 3, axis=2), whole, None, 48, channels, **ALIGNED)
    np.testing.assert_array_equal(cut, np.repeat(gray, channels, axis=2))


def test_a_box_of_whole_pixels_at_the_model_s_size_is_a_slice():
    image = np.random.default_rng(1).integers(0, 256, (90, 100, 3), np.uint8)
    cut = cut_face(image, Detection((20, 30, 48, 48), 1.0), 1.0, 48, 3, **ALIGNED)
    np.testing.assert_array_equal(cut, image[30:78, 20:68])


@pytest.mark.parametrize(
    ("side", "x", "y"),
    [
        *((side, x, y) for side in (48, 96) for x, y in ((-0.5, 0), (0.5, 0), (0.25, 0.75), (3, 0), (-2, -2))),
        *((900, x, y) for x, y in ((-0.5, 0), (0.25, 0.75))),
    ],
)
def test_beyond_the_image_its_edge_goes_on(side, x, y):
    """As if the image had been widened by repeating its edge; also where no part of the face is in it."""
    image = cv2.resize(np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8), (side, side))
    more = round((max(abs(x), abs(y)) + 0.5) * side)
    padded = np.pad(image, ((more, more), (more, more), (0, 0)), mode="edge")
    cut = cut_face(image, Detection((x * side, y * side, side, side), 1.0), 1.0, 48, 3, **PLAIN)
    inside = cut_face(padded, Detection((x * side + more, y * side + more, side, side), 1.0), 1.0, 48, 3, **PLAIN)
    np.testing.assert_allclose(cut.astype(int), inside.astype(int), atol=1)


@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize("side", [400, 560, 600, 767, 768, 1534])
def test_the_finest_checkerboard_becomes_even_gray(side, degrees):
    y, x = np.mgrid[0 : 3 * side // 2, 0 : 3 * side // 2]
    board = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    cut = cut_face(board, found_at((0.75 * side, 0.75 * side), side, side, degrees), 1.0, 48, 1, **ALIGNED)
    assert abs(cut.mean() - 127.5) < 2 and cut.std() < 3


def test_a_face_in_a_panorama_is_cut():
    """OpenCV's warps stop at 32,766 pixels a side."""
    panorama = np.zeros((60, 40_000, 3), np.uint8)
    panorama[:, 35_000:35_060] = waves(60, 60)
    for where in (Detection((35_000, 0, 60, 60), 1.0), Detection((35_005, 5, 50, 50), 1.0)):
        left, top, width, _ = where.box
        part = Detection((left - 34_900, top, width, width), 1.0)
        wanted = cut_face(panorama[:, 34_900:35_160], part, 1.0, 48, 3, **PLAIN)
        np.testing.assert_allclose(cut_face(panorama, where, 1.0, 48, 3, **PLAIN).astype(int), wanted, atol=1)


@pytest.mark.parametrize("box", [(10, 10, 0, 0), (10, 10, 0, 20), (10.5, 3.2, 0.1, 0.1), (-5, -5, -1, 3)])
def test_a_box_of_no_area_gives_an_image_nevertheless(box):
    assert cut_face(waves(30, 40).astype(np.uint8), Detection(box, 1.0), 1.15, 48, 1, **ALIGNED).shape == (48, 48, 1)


def test_equalize_spreads_the_histogram_of_gray():
    dull = (waves(100, 100) / 8 + 60).astype(np.uint8)
    found = found_at((50, 50), 60, 60)
    gray = cut_face(dull, found, 1.0, 48, 1, align=True, equalize=False)
    spread = cut_face(dull, found, 1.0, 48, 1, align=True, equalize=True)
    assert np.ptp(gray) < 60 and (spread.min(), spread.max()) == (0, 255)
    rank = np.searchsorted(np.sort(gray.ravel()), gray, side="right") / gray.size
    assert np.abs(spread / 255 - rank).max() < 0.1
    colour = cut_face(dull, found, 1.0, 48, 3, align=True, equalize=True)
    np.testing.assert_array_equal(colour, cut_face(dull, found, 1.0, 48, 3, **ALIGNED))
