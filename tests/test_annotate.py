"""What is drawn over an image, and what is left alone."""

from itertools import pairwise

import numpy as np
import pytest

from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT
from expressnet_jax.inference.annotate import COLOURS, annotate

GRAY = 90


def wall(height=300, width=400):
    return np.full((height, width, 3), GRAY, np.uint8)


def sure_of(name, share=0.8, classes=BASIC):
    rest = (1 - share) / (len(classes) - 1)
    return {each: share if each == name else rest for each in classes}


def touched(image, **options):
    """Where a drawing differs from its image: bool[H,W]."""
    return (annotate(image, **options) != image).any(axis=2)


def test_the_image_itself_is_left_alone():
    around = np.random.default_rng(0).integers(0, 256, (340, 440, 3), np.uint8)
    kept = around.copy()
    view = around[20:320, 20:420]
    drawn = annotate(view, [(-30, -30, 100, 120), (350, 250, 90, 90)], [sure_of("fear")] * 2)
    np.testing.assert_array_equal(around, kept)
    assert drawn.shape == view.shape and drawn.dtype == np.uint8
    np.testing.assert_array_equal(annotate(view, [], []), view)


def test_the_box_has_the_colour_of_its_class_and_stands_where_the_face_is():
    for k, name in enumerate(BASIC):
        drawn = annotate(wall(), [(100.4, 60.2, 80, 100)], [sure_of(name)])
        for row, column in ((60, 140), (110, 100), (110, 180), (160, 140)):
            assert tuple(drawn[row, column]) == COLOURS[k]
        assert (drawn[70:150, 110:170] == GRAY).all()  # the face stays free


def test_far_from_the_face_nothing_is_drawn():
    marked = touched(wall(600, 800), boxes=[(300, 200, 90, 110)], probabilities=[sure_of("anger")])
    rows, columns = np.nonzero(marked)
    assert rows.min() >= 190 and rows.max() < 400 and columns.min() >= 290 and columns.max() < 440


@pytest.mark.parametrize(
    "box",
    [
        (-40, 50, 80, 100),
        (360, 50, 80, 100),
        (100, -50, 80, 100),
        (100, 250, 80, 100),
        (-20, -20, 500, 400),
        (900, 900, 50, 50),
        (-300, -300, 50, 50),
        (0, 0, 400, 300),
        (399, 299, 1, 1),
        (50.5, 50.5, 0.2, 0.2),
    ],
)
def test_faces_at_and_beyond_the_border_have_their_panel_inside(box):
    marked = touched(wall(), boxes=[box], probabilities=[sure_of("surprise")])
    assert marked.shape == (300, 400)
    assert marked.sum() > 40 * 80  # the panel, which is 94 by 48 pixels or more


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (20, 20), (48, 48)])
def test_images_smaller_than_a_panel_are_drawn_on(shape):
    drawn = annotate(wall(*shape), [(0, 0, shape[1], shape[0])], [sure_of("disgust")], ["12"])
    assert drawn.shape == (*shape, 3)


def test_forty_faces_keep_their_boxes_and_hide_few_others():
    boxes = [(30 + 120 * c, 20 + 120 * r, 60, 70) for r in range(5) for c in range(8)]
    image = wall(600, 960)
    marked = touched(image, boxes=boxes, probabilities=[sure_of(BASIC[i % 7]) for i in range(40)])
    covered = [marked[y + 5 : y + 65, x + 5 : x + 55].mean() for x, y, _, _ in boxes]
    assert np.median(covered) < 0.05 and sum(share > 0.5 for share in covered) <= 8


def test_a_panel_moves_away_from_the_face_below():
    boxes = [(100, 20, 80, 100), (100, 130, 80, 100)]
    marked = touched(wall(), boxes=boxes, probabilities=[sure_of("anger"), sure_of("fear")])
    assert not marked[25:115, 105:175].any() and not marked[135:225, 105:175].any()


@pytest.mark.parametrize("share", [0.4, 0.6, 1.0])
def test_a_bar_is_as_long_as_its_probability(share):
    colour = np.array(COLOURS[3])
    pale = 255 - (255 - colour) * 0.45
    drawn = annotate(wall(700, 900), [(300, 200, 118, 118)], [sure_of("happiness", share)])
    columns = np.nonzero((np.abs(drawn - pale) <= 1).all(axis=2).any(axis=0))[0]
    assert columns[-1] - columns[0] == pytest.approx((118 - 6) * share, abs=1)  # the panel but for its edges


def test_eight_classes_have_eight_colours():
    assert len(set(COLOURS)) == len(COLOURS) >= len(WITH_CONTEMPT)
    drawn = annotate(wall(), [(100, 60, 80, 100)], [sure_of("contempt", classes=WITH_CONTEMPT)])
    assert tuple(drawn[60, 140]) == COLOURS[7]


def test_a_title_stands_before_the_label():
    options = {"boxes": [(100, 60, 118, 100)], "probabilities": [sure_of("anger")]}
    plain, titled = annotate(wall(), **options), annotate(wall(), **options, titles=["7"])
    rows, _ = np.nonzero((plain != titled).any(axis=2))
    assert len(rows) > 20 and np.ptp(rows) < 16  # the label's line alone


def test_the_label_may_be_another_one_than_the_likeliest():
    options = {"boxes": [(100, 60, 118, 100)], "probabilities": [sure_of("anger", 0.5)]}
    plain, named = annotate(wall(), **options), annotate(wall(), **options, labels=["fear"])
    assert tuple(plain[60, 140]) == COLOURS[BASIC.index("anger")]
    assert tuple(named[60, 140]) == COLOURS[BASIC.index("fear")]


def test_a_panel_stays_on_its_side_until_it_hides_too_much():
    """A face that comes from below pushes it away once; as it leaves, the panel does not jump back."""
    sides, seen = {}, []
    for top in [*range(290, 160, -10), *range(160, 290, 10)]:
        boxes = [(100, 60, 118, 100), (100, top, 118, 100)]
        annotate(wall(400, 400), boxes, [sure_of("anger")] * 2, ["1", "2"], sides=sides)
        seen.append(sides["1"])
    assert seen[0] == 0 and sum(a != b for a, b in pairwise(seen)) == 1


def test_every_face_needs_its_probabilities():
    with pytest.raises(ValueError, match="zip"):
        annotate(wall(), [(0, 0, 10, 10)], [])
