"""Corrupted, covered and degraded images, maps of what answers rest on, and generated faces with one thing changed."""

import cv2
import numpy as np
import pytest

from expressnet_jax.data.synthetic import generate
from expressnet_jax.data.synthetic.variations import SWEEPS as PEOPLE_SWEEPS
from expressnet_jax.data.synthetic.variations import draw_face
from expressnet_jax.report.covers import COVERS, CUTS, covered
from expressnet_jax.report.degradations import SWEEPS, degraded
from expressnet_jax.report.faithfulness import deletion, insertion, random_maps, ranks
from expressnet_jax.report.landmarks import NAMES, five_of, five_points, mean_face, part_mask
from expressnet_jax.report.regions import overlap, pointing, region
from expressnet_jax.report.saliency import occlusion

# The mean distance of each corruption's levels 1 to 5 from one generated face, in levels of 255, as corrupt-tta 0.1.7
# makes them with this package's seeds.
PINNED = {
    "gaussian_noise": (16.19, 24.06, 34.85, 48.47, 64.59),
    "shot_noise": (17.33, 26.22, 37.06, 55.42, 67.81),
    "impulse_noise": (4.07, 7.50, 12.12, 22.49, 34.62),
    "defocus_blur": (3.03, 3.58, 4.92, 6.31, 8.04),
    "glass_blur": (3.65, 3.91, 5.53, 6.08, 7.63),
    "motion_blur": (6.86, 9.89, 9.91, 9.94, 12.84),
    "zoom_blur": (9.58, 12.25, 14.89, 16.94, 18.47),
    "snow": (46.70, 73.20, 60.81, 93.68, 96.17),
    "frost": (60.37, 27.37, 103.73, 94.77, 89.77),
    "fog": (32.81, 44.13, 44.01, 42.34, 48.98),
    "brightness": (18.72, 36.52, 51.69, 62.75, 71.62),
    "contrast": (25.06, 29.22, 33.42, 37.58, 39.67),
    "elastic_transform": (22.17, 25.60, 6.06, 4.89, 8.55),
    "pixelate": (6.29, 6.82, 9.32, 12.64, 13.52),
    "jpeg_compression": (6.26, 7.35, 7.87, 10.30, 11.80),
}


@pytest.fixture(scope="module")
def faces():
    return [generate(i, size=48, emotion=3) for i in (0, 1, 3, 4)]


def spotlight(images):
    """A model that says class 1 the more, the brighter the square at rows and columns 8 to 15 is."""
    share = images[:, 8:16, 8:16].astype(np.float64).mean((1, 2, 3)) / 255
    return np.stack([1 - share, share], axis=1)


@pytest.fixture(scope="module")
def squares():
    """Two dark images with the bright square that the model looks at."""
    images = np.full((2, 48, 48, 1), 20, np.uint8)
    images[:, 8:16, 8:16] = 250
    return images


def test_corruptions_are_the_librarys_at_their_own_size_and_the_same_every_time(faces):
    corrupt_tta = pytest.importorskip("corrupt_tta", reason="corrupt_tta is not installed")
    from expressnet_jax.report import corruptions

    image = faces[0].image
    contrast = corruptions.corrupted(image[None], [5], "contrast", 3)
    library = corrupt_tta.corrupt(np.repeat(image, 3, 2), 3, "contrast")
    np.testing.assert_array_equal(contrast[0, ..., 0], np.asarray(library, np.uint8)[..., 1])
    blurred = corruptions.corrupted(image[None], [5], "defocus_blur", 5)[0]
    large = cv2.resize(np.repeat(image, 3, 2), (224, 224), interpolation=cv2.INTER_LINEAR)
    expected = np.asarray(np.clip(corrupt_tta.corrupt(large, 5, "defocus_blur"), 0, 255), np.uint8)
    expected = cv2.resize(expected, (48, 48), interpolation=cv2.INTER_AREA)[..., 1]
    np.testing.assert_array_equal(blurred[..., 0], expected)

    state = np.random.get_state()[1].copy()  # noqa: NPY002
    for name in ("impulse_noise", "motion_blur", "elastic_transform"):
        both = corruptions.corrupted(np.stack([image, image]), [5, 6], name, 2)
        again = corruptions.corrupted(image[None], [6], name, 2)
        assert (both[1] == again[0]).all() and (both[0] != both[1]).any()  # by its number, whatever stands next to it
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_glass_blur_is_the_librarys_to_the_last_bit(faces):
    corrupt_tta = pytest.importorskip("corrupt_tta", reason="corrupt_tta is not installed")
    from expressnet_jax.report.corruptions import glass_blur

    image = np.repeat(faces[1].image, 3, axis=2)
    for level in (1, 3, 5):
        np.random.seed(level)  # noqa: NPY002
        expected = corrupt_tta.corrupt(image, level, "glass_blur")
        np.random.seed(level)  # noqa: NPY002
        np.testing.assert_array_equal(glass_blur(image, level), expected)


def test_all_corruptions_have_the_pinned_pixels(faces):
    corrupt_tta = pytest.importorskip("corrupt_tta", reason="corrupt_tta is not installed")
    from expressnet_jax.report.corruptions import CORRUPTIONS, VERSION, all_levels

    assert corrupt_tta.__version__ == VERSION and len(CORRUPTIONS) == 15
    image = generate(7, size=48, channels=3).image[None]
    found = {name: all_levels((image, np.array([0]), name)) for name in CORRUPTIONS}
    assert all(each.shape == (5, 1, 48, 48, 3) and each.dtype == np.uint8 for each in found.values())
    for name, levels in PINNED.items():
        apart = [np.abs(level.astype(int) - image).mean() for level in found[name]]
        assert apart == pytest.approx(levels, abs=0.3), name  # builds of OpenCV and SciPy round in different ways


def test_corrupted_images_are_made_once(faces, tmp_path):
    pytest.importorskip("corrupt_tta", reason="corrupt_tta is not installed")
    from expressnet_jax.report.corrupted_images import corrupted_images

    images = np.stack([face.image[:20, :20] for face in faces[:2]])
    first = {name: np.array(each) for name, each in corrupted_images(images, np.arange(2), tmp_path, "k").items()}
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    path = tmp_path / "corrupted-k-fog.npy"
    path.unlink()
    again = corrupted_images(images, np.arange(2), tmp_path, "k")
    assert all((again[name] == first[name]).all() for name in first)
    assert {p for p in tmp_path.iterdir() if p.stat().st_mtime_ns == times[p]} == set(times) - {path}


def test_degradations_lose_more_with_every_step(faces):
    images = np.stack([face.image for face in faces])
    for name, sweep in SWEEPS.items():
        changed = [degraded(images, name, value) for value in sweep.values]
        assert all(each.shape == images.shape and each.dtype == np.uint8 for each in changed)
        apart = [np.abs(each.astype(int) - images).mean() for each in changed]
        if name == "gamma":  # from bright to dark
            assert np.all(np.diff([each.mean() for each in changed]) < 0)
        else:
            assert np.all(np.diff(apart) > 0) and apart[0] > 0
    left = degraded(images, "light", 0.8)
    assert left[:, :, :10].mean() > images[:, :, :10].mean() and left[:, :, -10:].mean() < images[:, :, -10:].mean()


def test_covers_hide_what_they_are_named_after(faces):
    images, points = np.stack([f.image for f in faces]), np.stack([f.landmarks for f in faces])
    hidden = {"mask": "mouth", "sunglasses": "eyes", "hand": "mouth", "fringe": "brows"}
    for name, cover in COVERS.items():
        changed = (covered(images, points, cover) != images).any(-1)
        share = [mask[part_mask(p, (48, 48), hidden[name])].mean() for mask, p in zip(changed, points, strict=True)]
        assert np.mean(share) > (0.3 if name == "hand" else 0.5), name
    for name, cut in CUTS.items():
        changed = (covered(images, points, cut) != images).any(-1)
        for mask, p in zip(changed, points, strict=True):
            assert not mask[~part_mask(p, (48, 48), name)].any()


def test_parts_are_where_the_landmarks_are(faces):
    for face in faces:
        y = {name: np.nonzero(part_mask(face.landmarks, (48, 48), name))[0].mean() for name in NAMES}
        assert y["brows"] < y["eyes"] < y["nose"] < y["mouth"] < y["chin"]


def test_landmarks_of_the_detector_are_near_the_true_ones(faces):
    found = five_points(np.stack([face.image for face in faces]))
    assert np.isfinite(found).all((1, 2)).sum() >= 2
    for five, face in zip(found, faces, strict=True):
        if np.isfinite(five).all():
            assert np.abs(five - five_of(face.landmarks)).mean() < 2.5
    assert mean_face().shape == (68, 2)


def test_occlusion_finds_the_square_that_the_model_looks_at(squares):
    maps = occlusion(spotlight, squares, np.array([1, 0]))
    inside = np.zeros((2, 48, 48), bool)
    inside[:, 8:16, 8:16] = True
    assert maps[0][inside[0]].min() > 0 and maps[1][inside[0]].max() < 0  # the same place speaks against the other
    assert pointing(maps[:1], inside[:1]).all() and overlap(maps[:1], inside[:1])[0] > 0.5


def test_occlusion_is_that_of_the_package_saliency(squares):
    saliency = pytest.importorskip("saliency.core", reason="saliency is not installed")
    small = squares[:1, :24, :24]
    model = lambda images, **_: {saliency.OUTPUT_LAYER_VALUES: spotlight(images)[:, 1]}
    theirs = saliency.Occlusion().GetMask(small[0].astype(np.float32), model, size=4, value=0)
    ours = occlusion(spotlight, small, np.array([1]), patch=4 / 24, stride=1 / 24, fill=0)[0]
    often = np.zeros((24, 24))
    for y in range(21):
        for x in range(21):
            often[y : y + 4, x : x + 4] += 1
    np.testing.assert_allclose(ours * often, theirs[..., 0] if theirs.ndim == 3 else theirs, atol=1e-6)


def test_deletion_and_insertion_know_a_right_map_from_a_random_one(squares):
    right = np.zeros((2, 48, 48))
    right[:, 8:16, 8:16] = 1
    targets = np.array([1, 1])
    random = random_maps(2, (48, 48))
    assert (deletion(spotlight, squares, right, targets) < deletion(spotlight, squares, random, targets) - 0.1).all()
    assert (insertion(spotlight, squares, right, targets) > insertion(spotlight, squares, random, targets) + 0.1).all()
    constant = lambda images: np.full((len(images), 2), 0.5)
    np.testing.assert_allclose(deletion(constant, squares, right, targets), 0.5)


def test_ranks_are_scipys_in_descending_order():
    from scipy.stats import rankdata

    maps = np.random.default_rng(0).random((3, 5, 7))
    expected = rankdata(-maps.reshape(3, -1), axis=1).reshape(maps.shape) - 1
    np.testing.assert_array_equal(ranks(maps), expected)


def test_regions_are_what_the_units_move(faces):
    points = faces[0].landmarks
    smile, frown = region(points, (48, 48), [12]), region(points, (48, 48), [4])
    assert (smile == part_mask(points, (48, 48), "mouth")).all() and not (smile & frown).any()
    perfect = region(points, (48, 48), [4, 12]).astype(float)
    assert overlap(perfect[None], perfect[None] > 0)[0] == 1 and pointing(perfect[None], perfect[None] > 0)[0]
    assert overlap(1 - perfect[None], perfect[None] > 0)[0] == 0


@pytest.mark.parametrize("what", PEOPLE_SWEEPS)
def test_only_one_thing_changes(what):
    faces = [draw_face(3, 3, 48, 3, what, value).astype(int) for value in PEOPLE_SWEEPS[what].values]
    assert (faces[0] != faces[-1]).any()
    again = draw_face(3, 3, 48, 3, what, PEOPLE_SWEEPS[what].values[1])
    assert (again == faces[1]).all()
    if what == "skin":
        assert np.all(np.diff([face[20:40, 15:33].mean() for face in faces]) < 0)
    if what == "glasses":  # not a pixel below the nose, for the camera is the same
        np.testing.assert_array_equal(faces[0][36:], faces[1][36:])
    if what == "light":
        left, _, right, _ = faces
        assert left[:, :20].mean() > right[:, :20].mean() and left[:, 28:].mean() < right[:, 28:].mean()


def test_gray_faces_are_drawn_too():
    assert draw_face(0, 0, 48, 1, "skin", 0.5).shape == (48, 48, 1)
