"""The pages that `show` writes: every image on them is found again, pixel for pixel."""

import cv2
import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.augment import AUGMENTATIONS
from expressnet_jax.data.show import SHOWN, Cell, show, show_augmentations, write_grid
from expressnet_jax.errors import UserError

SIDE = 32
ENLARGED = 128


class FakeSplit:
    """A split in memory, of the same interface."""

    def __init__(self, images, labels, classes):
        bgr = lambda image: np.ascontiguousarray(image[..., ::-1])
        self.records = [cv2.imencode(".png", bgr(image))[1].tobytes() for image in images]
        self.labels, self.classes = np.asarray(labels, np.int32), classes

    def __len__(self):
        return len(self.records)

    def encoded(self, i):
        return self.records[i]


def plain_colours(labels):
    """Each example is one saturated colour of its own, none of which the page's ink has."""
    images = np.full((len(labels), SIDE, SIDE, 3), 255, np.uint8)
    images[..., 1] = (7 * np.arange(len(labels)))[:, None, None]
    images[..., 2] = 0
    return images


def colours_on(page):
    """{index of `plain_colours`: number of pixels} of the page."""
    pixels = np.asarray(Image.open(page)).reshape(-1, 3)
    greens, counts = np.unique(pixels[(pixels[:, 0] == 255) & (pixels[:, 2] == 0)][:, 1], return_counts=True)
    return {int(green) // 7: int(count) for green, count in zip(greens, counts, strict=True)}


def times_found(page, image):
    """How often the enlarged image uint8[H,W,3] stands on the page exactly."""
    enlarged = np.asarray(Image.fromarray(image).resize((ENLARGED, ENLARGED), Image.Resampling.NEAREST))
    difference = cv2.matchTemplate(np.asarray(Image.open(page).convert("RGB")), enlarged, cv2.TM_SQDIFF)
    return int((difference < 100).sum())


@pytest.fixture
def noisy():
    images = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 1), np.uint8).repeat(3, axis=3)
    return images, FakeSplit(images, [0, 0, 1, 1, 1, 1], ("fear", "anger"))


def test_a_page_has_one_row_a_class_and_no_more_examples_than_asked(tmp_path):
    labels = [0] * 9 + [1] * 2 + [3] * 5
    split = FakeSplit(plain_colours(labels), labels, ("a", "b", "none of these", "d"))
    page = show(split, tmp_path / "new" / "page.png", columns=4)
    shown = colours_on(page)
    assert set(shown.values()) == {ENLARGED**2}
    assert np.bincount([labels[i] for i in shown], minlength=4).tolist() == [4, 2, 0, 4]
    assert [path.name for path in page.parent.iterdir()] == ["page.png"]


def test_the_seed_decides_which_examples(tmp_path):
    labels = [0] * 15 + [1] * 15
    split = FakeSplit(plain_colours(labels), labels, ("a", "b"))
    pages = [show(split, tmp_path / f"{i}.png", columns=5, seed=seed) for i, seed in enumerate([3, 3, 4])]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert set(colours_on(pages[0])) != set(colours_on(pages[2]))


def test_images_are_enlarged_without_blur_and_augmented_as_asked(tmp_path, noisy):
    images, split = noisy
    plain = show(split, tmp_path / "plain.png")
    mirrored = show(split, tmp_path / "mirrored.png", augment_options={"flip": 1.0, "pad": 0})
    for image in images:
        flipped = np.ascontiguousarray(image[:, ::-1])
        assert (times_found(plain, image), times_found(plain, flipped)) == (1, 0)
        assert (times_found(mirrored, image), times_found(mirrored, flipped)) == (0, 1)


def test_each_augmentation_has_a_row_that_starts_with_the_same_image(tmp_path, noisy, monkeypatch):
    assert set(SHOWN) == set(AUGMENTATIONS)
    # Three stand for all: compiling every one of them takes ten seconds.
    some = {name: AUGMENTATIONS[name] for name in ("pad", "gamma", "cutout")}
    monkeypatch.setattr("expressnet_jax.data.show.AUGMENTATIONS", some)
    images, split = noisy
    page = show_augmentations(split, tmp_path / "page.png")
    found = sorted(times_found(page, image) for image in images)
    assert found[-1] == 5 and found[-2] == 0


def test_size_and_gray_are_as_asked(tmp_path):
    images = np.full((2, 20, 30, 3), (200, 40, 90), np.uint8)
    split = FakeSplit(images, [0, 1], ("a", "b"))
    narrow = np.asarray(Image.open(show(split, tmp_path / "narrow.png", size=(64, 16))))
    assert (narrow == (200, 40, 90)).all(-1).sum() == 2 * 128 * 32
    gray = np.asarray(Image.open(show(split, tmp_path / "gray.png", channels=1)))
    assert not (gray == (200, 40, 90)).all(-1).any()


def test_captions_are_cut_to_the_width_of_their_image(tmp_path):
    cell = Cell(np.full((SIDE, SIDE, 1), 255, np.uint8), "a class name that goes on and on\nand a second line")
    page = np.asarray(Image.open(write_grid([("", [cell]), ("", [cell])], "t", tmp_path / "page.png")))
    assert (page[:, -14:] == 255).all() and (page[:, 14 : 14 + ENLARGED] < 255).any()


def test_an_empty_split_is_refused_and_leaves_no_file(tmp_path):
    empty = FakeSplit([], [], ("a", "b"))
    for write in (show, show_augmentations):
        with pytest.raises(UserError, match="holds no images"):
            write(empty, tmp_path / "page.png")
    assert not list(tmp_path.iterdir())
