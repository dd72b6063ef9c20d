"""Images as people have them: every kind gives the same upright pixels, and what is none gives one line."""

import io

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.image_io import MOST_PIXELS
from expressnet_jax.errors import UserError, printable
from expressnet_jax.inference.images import load_image


def smooth(height=40, width=56):
    """uint8[H,W,3] that no rotation, mirror or swap of channels leaves as it is, and that JPEG keeps nearly."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([4 * x, 5 * y, 2 * (x + y)], axis=-1).astype(np.uint8)


def encoded(image, kind, **options):
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_orientation(number):
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


STORED = {  # EXIF 2.3, table 6: where row 0 and column 0 of what is stored lie in what is seen
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.transpose(1, 0, 2),
    6: lambda seen: seen[:, ::-1].transpose(1, 0, 2),
    7: lambda seen: seen[::-1, ::-1].transpose(1, 0, 2),
    8: lambda seen: seen[::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("number", STORED)
def test_each_orientation_of_exif_gives_the_same_upright_pixels(number):
    stored, exif = np.ascontiguousarray(STORED[number](smooth())), with_orientation(number)
    np.testing.assert_array_equal(load_image(encoded(stored, "png", exif=exif)), smooth())
    near = load_image(encoded(stored, "jpeg", exif=exif, quality=95, subsampling=0))
    assert near.shape == smooth().shape and np.abs(near.astype(int) - smooth()).max() < 12


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "ppm"])
def test_formats_without_loss_give_the_pixels(kind, tmp_path):
    content = encoded(smooth(), kind)
    path = tmp_path / f"image.{kind}"
    path.write_bytes(content)
    for source in (content, path, str(path), Image.open(io.BytesIO(content)), smooth()):
        pixels = load_image(source)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, smooth())


def test_webp_without_loss_gives_the_pixels():
    np.testing.assert_array_equal(load_image(encoded(smooth(), "webp", lossless=True)), smooth())


def test_printers_colours_come_out_as_seen():
    cmyk = Image.fromarray(smooth()).convert("CMYK")
    seen = load_image(encoded(cmyk, "jpeg", quality=95)).astype(int)
    assert np.abs(seen - smooth()).mean() < 3  # read as they are, inverted, they would be off by half the range


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_of_16_bits_the_upper_8_are_taken(kind):
    gray = smooth()[..., 0].astype(np.uint16) * 256 + 77
    np.testing.assert_array_equal(load_image(encoded(gray, kind)), np.repeat(smooth()[..., :1], 3, axis=2))


def test_one_bit_and_gray_become_three_equal_channels():
    black_and_white = Image.fromarray(smooth()[..., 0] > 100)
    pixels = load_image(encoded(black_and_white, "png"))
    np.testing.assert_array_equal(pixels, np.repeat(np.where(smooth()[..., :1] > 100, 255, 0), 3, axis=2))
    for gray in (smooth()[..., 1], smooth()[..., 1:2]):
        np.testing.assert_array_equal(load_image(gray), np.repeat(smooth()[..., 1:2], 3, axis=2))


def test_transparency_lies_on_white():
    alpha = np.linspace(0, 255, smooth().shape[1]).round()[None, :, None]
    rgba = np.concatenate([smooth(), np.broadcast_to(alpha, (*smooth().shape[:2], 1))], axis=2).astype(np.uint8)
    wanted = smooth() * (alpha / 255) + 255 * (1 - alpha / 255)
    for source in (rgba, encoded(rgba, "png"), encoded(rgba, "webp", lossless=True, exact=True)):
        np.testing.assert_allclose(load_image(source), wanted, atol=1.01)


def test_the_transparent_colour_of_a_palette_is_white():
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    pixels = load_image(encoded(palette, "png", transparency=1))
    assert pixels[0].tolist() == [[200, 0, 0], [255, 255, 255], [0, 0, 200]]


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_of_an_animation_the_first_image_is_taken(kind):
    red, blue = (Image.new("RGB", (9, 7), colour) for colour in ("red", "blue"))
    animation = encoded(red, kind, save_all=True, append_images=[blue], duration=100, **{"lossless": True})
    pixels = load_image(animation)
    assert pixels.shape == (7, 9, 3) and (pixels == (255, 0, 0)).all()


def test_views_of_arrays_are_taken_as_they_are_seen():
    np.testing.assert_array_equal(load_image(smooth()[::-1, ::2, ::-1]), smooth()[::-1, ::2, ::-1])


def test_broken_metadata_beside_good_pixels_does_no_harm():
    directory = b"II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01\0\0\0\xff\0\0\0"  # 65535 entries, of which there is one
    for exif in (b"Exif\0\0" + directory, b"Exif\0\0garbage", b"Exif\0\0"):
        assert load_image(encoded(smooth(), "jpeg", exif=exif)).shape == smooth().shape


def test_the_smallest_and_the_longest_are_read():
    assert load_image(encoded(smooth(1, 1), "png")).shape == (1, 1, 3)
    assert load_image(encoded(np.zeros((3, 5000, 3), np.uint8), "png")).shape == (3, 5000, 3)


def cut_short(content):
    return content[: len(content) // 2]


NO_IMAGE = {
    "text": (b"I am no image\n", "text, not an image; give a JPEG or PNG"),
    "empty": (b"", "an empty file; fetch it again"),
    "only_a_head": (encoded(smooth(), "png")[:40], "truncated or damaged"),
    "half_a_png": (cut_short(encoded(smooth(), "png", compress_level=0)), "truncated or damaged"),
    "half_a_jpeg": (cut_short(encoded(smooth(200, 200), "jpeg", quality=95)), "truncated or damaged"),
    "half_a_gif": (cut_short(encoded(smooth(200, 200), "gif")), "truncated or damaged"),
    "a_program_of_postscript": (encoded(smooth(), "eps"), "a PostScript program, not an image"),
    "claims_a_million_a_side": (b"P5 1000000 1000000 255\n", f"more than {MOST_PIXELS:,} pixels; make it smaller"),
    "nothing_on_a_side": (b"P5 0 5 255\n", "truncated or damaged"),
}


@pytest.mark.parametrize("name", NO_IMAGE)
def test_what_is_no_image_gives_one_line_with_its_name(name, tmp_path):
    content, message = NO_IMAGE[name]
    path = tmp_path / f"{name}.jpg"
    path.write_bytes(content)
    for source in (path, str(path), content):
        with pytest.raises(UserError, match=message) as caught:
            load_image(source)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(f"{path}: " if source is not content else "the bytes: ")


def test_a_small_file_that_claims_400_million_pixels_is_refused_undecoded(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    Image.new("1", (10_500, 10_500)).save(tmp_path / "smaller_bomb.png")  # below Pillow's own limit
    for name in ("bomb.png", "smaller_bomb.png"):
        assert (tmp_path / name).stat().st_size < 100_000
        with pytest.raises(UserError, match=rf"{name}: .*more than 100,000,000 pixels; make it smaller"):
            load_image(tmp_path / name)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((5, 5, 3), np.float32),
        np.zeros((5, 5), bool),
        np.zeros((5, 5, 3), np.int64),
        np.zeros((1, 5, 5, 3), np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((3, 5, 5), np.uint8),
        np.zeros(25, np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(pixels):
    with pytest.raises(UserError, match=r"^frame 7: .*give (uint8\[H,W\]|1, 3 or 4)"):
        load_image(pixels, "frame 7")


@pytest.mark.parametrize("source", [None, 3, [[1, 2], [3, 4]], io.BytesIO(b"")])
def test_other_objects_are_refused(source):
    """None is what cv2.imread gives for a file that is not there."""
    with pytest.raises(UserError, match=f"the image: {type(source).__name__}; give a path, bytes"):
        load_image(source)


@pytest.mark.parametrize("name", ["missing.jpg", "", "a\0b.jpg", "x" * 5000, "https://example.org/face.jpg"])
def test_files_that_are_not_there_are_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"can't be read|no such file|an address, not a file") as caught:
        load_image(name)
    assert printable(name) in str(caught.value)


def test_images_of_pillow_without_pixels_are_refused():
    with pytest.raises(UserError, match="the image: 0x3; give an image with pixels"):
        load_image(Image.new("RGB", (0, 3)))
