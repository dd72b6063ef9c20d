import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.tta import TTA, five_crops, outputs_with_tta


def left_half(images):
    """uint8[B,H,W,C] -> float32[B,2]: how bright the left half is, and the rest to one."""
    images = np.asarray(images, np.float32)
    share = images[:, :, : images.shape[2] // 2].mean((1, 2, 3)) / 255
    return np.stack([share, 1 - share], axis=1).astype(np.float32)


def with_tta(predict, name):
    """A function images -> probabilities under an augmentation, by one that gives outputs by name."""
    predict_all = outputs_with_tta(lambda images: {"class": predict(images)}, {"class": Field("class", (2,))}, name)
    return lambda images: predict_all(images)["class"]


def half_lit(left, right):
    """One image uint8[1,20,20,1] of two halves."""
    image = np.empty((1, 20, 20, 1), np.uint8)
    image[:, :, :10], image[:, :, 10:] = left, right
    return image


def test_flip_is_the_mean_of_both_sides():
    np.testing.assert_allclose(left_half(half_lit(255, 51)), [[1, 0]])
    np.testing.assert_allclose(with_tta(left_half, "flip")(half_lit(255, 51)), [[0.6, 0.4]], rtol=1e-6)


@pytest.mark.parametrize("name", ["flip", "ten_crop"])
def test_a_mirrored_image_gives_the_same_answer(name):
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), np.uint8)
    predict = with_tta(left_half, name)
    np.testing.assert_allclose(predict(images), predict(images[:, :, ::-1]), rtol=1e-6)


def test_ten_crop_sees_ten_views_of_the_corners_and_the_centre():
    views = []

    def spy(images):
        views.append(images)
        return left_half(images)

    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 1), np.uint8)
    mean = with_tta(spy, "ten_crop")(images)
    assert len(views) == 10 and all(view.shape == images.shape and view.dtype == np.uint8 for view in views)
    np.testing.assert_allclose(mean, np.mean([left_half(view) for view in views], axis=0), rtol=1e-6)
    for view, mirrored in zip(views[:5], views[5:], strict=True):
        np.testing.assert_array_equal(view[:, :, ::-1], mirrored)


@pytest.mark.parametrize("channels", [1, 3])
def test_crops_lie_where_their_names_say(channels):
    ramp = np.arange(20, dtype=np.uint8)
    image = np.broadcast_to((ramp[:, None] * 10 + ramp)[None, :, :, None], (1, 20, 20, channels))
    boxes = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]  # (left, top) of 16 by 16
    for view, (left, top) in zip(five_crops(np.ascontiguousarray(image), 0.8), boxes, strict=True):
        crop = Image.fromarray(np.ascontiguousarray(image[0, top : top + 16, left : left + 16, 0]))
        expected = np.asarray(crop.resize((20, 20), Image.Resampling.BILINEAR))
        assert np.abs(view[0, ..., 0].astype(int) - expected).max() <= 1
        assert (view == view[..., :1]).all()


def test_crops_of_a_clip_are_those_of_its_frames():
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 20, 16, 1), np.uint8)
    for view, frames in zip(five_crops(clips, 0.8), five_crops(clips.reshape(6, 20, 16, 1), 0.8), strict=True):
        np.testing.assert_array_equal(view.reshape(frames.shape), frames)


def test_none_looks_once_and_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 10, 1), np.uint8)
    np.testing.assert_array_equal(with_tta(left_half, "none")(images), left_half(images))


@pytest.mark.parametrize(("kinds", "looks"), [(["class"], 10), (["class", "points"], 11)])
def test_ten_crop_looks_at_the_whole_image_for_what_has_a_place_in_it(kinds, looks):
    fields = {kind: Field(kind, (2,) if kind == "class" else (5, 2)) for kind in kinds}
    seen = []

    def predict(images):
        seen.append(images)
        return {"class": left_half(images), "points": np.full((len(images), 5, 2), images.mean(), np.float32)}

    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 1), np.uint8)
    outputs = outputs_with_tta(predict, fields, "ten_crop")(images)
    assert len(seen) == looks and set(outputs) == set(kinds)
    if "points" in kinds:
        np.testing.assert_array_equal(outputs["points"], predict(images)["points"])


@pytest.mark.parametrize("name", TTA)
def test_a_jitted_predict_compiles_once(name):
    traces = []

    @jax.jit
    def predict(images):
        traces.append(images.shape)
        share = images.astype(jnp.float32).mean((1, 2, 3)) / 255
        return jnp.stack([share, 1 - share], axis=1)

    images = np.full((2, 16, 16, 1), 51, np.uint8)
    np.testing.assert_allclose(with_tta(predict, name)(images), [[0.2, 0.8]] * 2, rtol=1e-5)
    assert traces == [(2, 16, 16, 1)]


def test_a_wrong_name_is_refused():
    with pytest.raises(UserError, match="'twelve'; there are: none, flip, ten_crop"):
        with_tta(left_half, "twelve")
