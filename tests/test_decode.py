"""Decoding against Pillow, and what may be stored against what was put in."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from expressnet_jax.data.decode import (
    _reduction,
    decode,
    decode_all,
    decode_example,
    decode_examples,
    encode_png,
    jpeg_size,
    validate_and_encode,
)
from expressnet_jax.errors import UserError

COLOUR = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
GRAY = COLOUR[..., :1]


def encoded(pixels, format="PNG", mode=None, **options):
    image = Image.fromarray(pixels.squeeze())
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, format, **options)
    return buffer.getvalue()


class EncodedImages:
    """Just what `decode_all` asks of a split."""

    def __init__(self, encodings):
        self.encodings = encodings
        self.keys = [f"image{i}" for i in range(len(encodings))]

    def __len__(self):
        return len(self.encodings)

    def encoded(self, i):
        return self.encodings[i]

    def encoded_batch(self, positions):
        return [self.encodings[i] for i in positions]


@pytest.mark.parametrize(("pixels", "channels"), [(COLOUR, 3), (GRAY, 1)])
def test_png_comes_back_exactly(pixels, channels):
    for data in (encoded(pixels), encode_png(pixels)):
        np.testing.assert_array_equal(decode(data, None, channels), pixels)


def test_jpeg_equals_pillow_to_rounding():
    data = encoded(COLOUR, "JPEG", quality=95, subsampling=0)
    reference = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.abs(decode(data, None, 3) - reference).max() <= 2


def test_gray_repeats_into_three_channels_and_colour_becomes_luma():
    np.testing.assert_array_equal(decode(encoded(GRAY), None, 3), GRAY.repeat(3, 2))
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(decode(encoded(COLOUR), None, 1)[..., 0] - luma).max() <= 1


def test_shrinking_is_the_mean_over_blocks():
    means = COLOUR.reshape(2, 5, 2, 7, 3).mean((1, 3))
    assert np.abs(decode(encoded(COLOUR), 2, 3) - means).max() <= 1


def test_a_large_jpeg_is_shrunk_while_it_is_decoded():
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    smooth = np.stack([np.tile(ramp, (200, 1)), np.tile(ramp[:200, None], (1, 256)), np.full((200, 256), 90)], -1)
    data = encoded(smooth.astype(np.uint8), "JPEG", quality=95)
    assert jpeg_size(data) == (200, 256) and jpeg_size(encoded(smooth.astype(np.uint8))) is None
    assert jpeg_size(data[:30]) is None and jpeg_size(b"") is None
    for size, times in ((200, 1), (101, 1), (100, 2), (50, 4), (26, 4), (25, 8), (8, 8), ((100, 10), 2), (None, 1)):
        assert _reduction(data, size) == times
        shrunk, full = decode(data, size, 3).astype(int), Image.open(io.BytesIO(data))
        if size is not None:
            height, width = (size, size) if isinstance(size, int) else size
            full = full.resize((width, height), Image.BOX)
        assert shrunk.shape == np.asarray(full).shape and np.abs(shrunk - np.asarray(full)).max() <= 6


def test_size_may_be_a_side_or_height_and_width():
    assert decode(encoded(COLOUR), 20, 3).shape == (20, 20, 3)
    assert decode(encoded(GRAY), (20, 6), 1).shape == (20, 6, 1)


@pytest.mark.parametrize(("side", "channels"), [(6, 1), (11, 3), (5, 1), (3, 3)])
def test_no_frame_of_a_clip_shows_a_part_of_the_next_one(side, channels, array_split):
    clip = np.repeat(np.array([0, 250, 50], np.uint8), 6 * 6 * channels).reshape(18, 6, channels)
    split = dataclasses.replace(array_split(1), images=clip[None])
    expected = np.broadcast_to(clip[::6, :1, None], (3, side, side, channels))
    np.testing.assert_array_equal(decode_example(encode_png(clip), (3, side, side, channels)), expected)
    np.testing.assert_array_equal(decode_examples(split, (3, side, side, channels))[0], expected)


def test_exif_orientation_is_applied_in_storing_and_in_decoding():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    data = encoded(COLOUR, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert upright.shape == (14, 10, 3)
    stored, pixels = validate_and_encode(data, 3, None)
    np.testing.assert_array_equal(pixels, upright)
    np.testing.assert_array_equal(decode(stored, None, 3), upright)


@pytest.mark.parametrize("data", [b"", b"no image", encoded(COLOUR)[:20]])
def test_decoding_rubbish_is_a_user_error(data):
    with pytest.raises(UserError, match="can't be decoded"):
        decode(data, None, 3)


def test_plain_png_and_jpeg_are_stored_as_they_are():
    for data in (encoded(COLOUR), encoded(COLOUR, "JPEG")):
        assert validate_and_encode(data, 3, (10, 14))[0] == data
        assert validate_and_encode(data, None, None)[0] == data


@pytest.mark.parametrize("format", ["BMP", "TIFF", "WEBP"])
def test_other_formats_become_png_with_the_same_pixels(format):
    options = {"lossless": True} if format == "WEBP" else {}
    stored, pixels = validate_and_encode(encoded(COLOUR, format, **options), 3, None)
    assert stored.startswith(b"\x89PNG")
    np.testing.assert_array_equal(pixels, COLOUR)
    np.testing.assert_array_equal(decode(stored, None, 3), COLOUR)


def test_a_file_is_read_and_its_suffix_not_believed(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(GRAY))
    stored, pixels = validate_and_encode(tmp_path / "a.jpg", 1, None)
    assert stored == encoded(GRAY)
    np.testing.assert_array_equal(pixels, GRAY)


def test_arrays_are_stored_as_png():
    for pixels in (COLOUR, GRAY, GRAY[..., 0]):
        stored, shaped = validate_and_encode(pixels, None, None)
        np.testing.assert_array_equal(decode(stored, None, shaped.shape[2]), pixels.reshape(shaped.shape))


def test_sixteen_bits_keep_their_upper_eight():
    deep = GRAY[..., 0].astype(np.uint16) * 257
    _, pixels = validate_and_encode(encoded(deep), 1, None)
    np.testing.assert_array_equal(pixels, GRAY)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_unusual_modes_become_colour(mode):
    data = encoded(COLOUR, "TIFF" if mode == "CMYK" else "PNG", mode=mode)
    reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(validate_and_encode(data, 3, None)[1], reference)


def test_a_transparent_palette_raises_no_warning():
    image = Image.fromarray(COLOUR).quantize(8)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes(range(8)))
    assert validate_and_encode(buffer.getvalue(), 3, None)[1].shape == COLOUR.shape


def test_three_equal_channels_count_as_gray_and_real_colour_does_not():
    stored, pixels = validate_and_encode(encoded(GRAY.repeat(3, 2)), 1, None)
    np.testing.assert_array_equal(pixels, GRAY)
    assert Image.open(io.BytesIO(stored)).mode == "L"
    with pytest.raises(UserError, match="colour where gray is declared"):
        validate_and_encode(encoded(COLOUR), 1, None)


def test_gray_is_repeated_where_colour_is_declared():
    stored, pixels = validate_and_encode(encoded(GRAY), 3, None)
    np.testing.assert_array_equal(pixels, GRAY.repeat(3, 2))
    assert Image.open(io.BytesIO(stored)).mode == "RGB"


@pytest.mark.parametrize("cut", [8, 40, 300])
def test_a_truncated_png_is_refused(cut):
    with pytest.raises(UserError, match="truncated"):
        validate_and_encode(encoded(COLOUR)[:-cut], 3, None)


def test_a_truncated_jpeg_is_refused():
    with pytest.raises(UserError, match="truncated"):
        validate_and_encode(encoded(COLOUR.repeat(8, 0).repeat(8, 1), "JPEG")[:-400], 3, None)


def test_a_wrong_size_is_refused():
    with pytest.raises(UserError, match="10x14, not 48x48"):
        validate_and_encode(encoded(COLOUR), 3, (48, 48))


@pytest.mark.parametrize("pixels", [COLOUR.astype(float), np.zeros((4, 4, 2), np.uint8)])
def test_arrays_that_are_no_image_are_refused(pixels):
    with pytest.raises(UserError, match="not uint8"):
        validate_and_encode(pixels, None, None)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_decode_all_equals_one_by_one(threads):
    encodings = [encoded(np.roll(COLOUR, i, 0)) for i in range(600)]
    images = decode_all(EncodedImages(encodings), (8, 6), 3, threads)
    assert images.shape == (600, 8, 6, 3)
    for i in (0, 255, 256, 599):
        np.testing.assert_array_equal(images[i], decode(encodings[i], (8, 6), 3))


def test_decode_all_names_the_image_of_another_size():
    with pytest.raises(UserError, match=r"image1 is .*give a size"):
        decode_all(EncodedImages([encoded(GRAY), encoded(GRAY[:5])]), None, 1, 2)
    with pytest.raises(UserError, match="no images"):
        decode_all(EncodedImages([]), None, 1, 2)
