"""One decoder: pixels made in NumPy come back the same in training (as stored, then decoded) and in prediction."""

import io
import struct
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data import image_io
from expressnet_jax.data.decode import decode, validate_and_encode
from expressnet_jax.data.image_io import read_image
from expressnet_jax.errors import UserError
from expressnet_jax.inference.images import load_image

Y, X = np.mgrid[0:48, 0:64]
SEEN = np.stack([3 * X, 4 * Y, 255 - 2 * (X + Y)], axis=-1).astype(np.uint8)  # no turn or mirror leaves it as it is
GRAY = SEEN[..., 1]
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {}/></rdf:RDF></x:xmpmeta>'
)


def saved(image, format="PNG", **options) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def by_opencv(pixels: np.ndarray, suffix: str) -> bytes:
    order = [2, 1, 0, 3][: pixels.shape[2]] if pixels.ndim == 3 else ...
    return cv2.imencode(suffix, pixels[..., order] if pixels.ndim == 3 else pixels)[1].tobytes()


def tiff(numbers: np.ndarray, orientation: int = 1, extra: tuple = ()) -> bytes:
    """uint16[H,W,3] as an uncompressed TIFF, whose orientation Pillow and OpenCV both see."""
    height, width = numbers.shape[:2]
    data = numbers.astype("<u2").tobytes()
    at = 8 + len(data)  # of the bits of each channel, then the directory
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, at), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8)]
    tags += [(274, 3, 1, orientation), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(data)), *extra]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    bits = struct.pack("<HHHH", 16, 16, 16, 0)
    return struct.pack("<2sHI", b"II", 42, at + 8) + data + bits + struct.pack("<H", len(tags)) + entries + bytes(4)


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return pixels * share + 255 * (1 - share)


def both(content: bytes) -> np.ndarray:
    """What training sees, which prediction must see too."""
    stored, validated = validate_and_encode(content, 3, None)
    trained = decode(stored, None, 3)
    assert np.abs(trained.astype(int) - validated).max() <= 2  # two builds of one JPEG decoder
    np.testing.assert_array_equal(load_image(content), validated)
    return trained.astype(int)


CLOCKWISE = np.ascontiguousarray(np.rot90(SEEN))  # orientation 6: turned by 90 degrees clockwise, it is as seen
ALPHA = np.broadcast_to(np.linspace(0, 255, 64).round().astype(np.uint8), (48, 64))
RGBA = np.dstack([SEEN, ALPHA])
WIDE = SEEN.astype(np.uint16)

SAME = {
    "png": saved(SEEN),
    "bmp": saved(SEEN, "BMP"),
    "webp": saved(SEEN, "WEBP", lossless=True),
    "tiff": saved(SEEN, "TIFF", compression="tiff_lzw"),
    "pages": saved(SEEN, "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))]),
    "apng": saved(SEEN, save_all=True, append_images=[Image.fromarray(SEEN[::-1])], duration=50),
    "moving webp": saved(SEEN, "WEBP", save_all=True, append_images=[Image.fromarray(SEEN[::-1])], lossless=True),
    "jpeg 2000": saved(SEEN, "JPEG2000"),
    "png exif": saved(CLOCKWISE, exif=exif(6)),
    "tiff exif": saved(CLOCKWISE, "TIFF", exif=exif(6)),
    "webp exif": saved(CLOCKWISE, "WEBP", lossless=True, exif=exif(6)),
    "16 bits png": by_opencv(WIDE * 257, ".png"),
    "16 bits tiff": by_opencv(WIDE * 257, ".tif"),
    "16 bits ppm": by_opencv(WIDE * 257, ".ppm"),
    "12 bits png": by_opencv(WIDE * 16 + 7, ".png"),
    "12 bits tiff": tiff(WIDE * 16 + 7),
    "12 bits ppm": by_opencv(WIDE * 16 + 7, ".ppm"),
    "10 bits png": by_opencv(WIDE * 4 + 3, ".png"),
    "8 bits in 16": by_opencv(WIDE, ".png"),
    "12 bits tiff turned": tiff(CLOCKWISE.astype(np.uint16) * 16, 6),
}


@pytest.mark.parametrize("name", SAME)
def test_colour_comes_back_as_it_was_made(name):
    np.testing.assert_array_equal(both(SAME[name]), SEEN)


NEAR = {
    "jpeg": saved(SEEN, "JPEG", quality=95),
    "progressive jpeg": saved(SEEN, "JPEG", quality=95, progressive=True),
    "cmyk jpeg": saved(Image.fromarray(SEEN).convert("CMYK"), "JPEG", quality=95),
    "jpeg exif": saved(CLOCKWISE, "JPEG", quality=95, exif=exif(6)),
    "jpeg xmp attribute": saved(CLOCKWISE, "JPEG", quality=95, xmp=XMP.format('tiff:Orientation="6"').encode()),
    "jpeg exif before xmp": saved(
        SEEN, "JPEG", quality=95, exif=exif(1), xmp=XMP.format('tiff:Orientation="6"').encode()
    ),
    "jpeg broken exif": saved(SEEN, "JPEG", quality=95, exif=b"Exif\0\0garbage"),
    "avif": saved(SEEN, "AVIF", quality=95) if ".avif" in Image.registered_extensions() else None,
    "avif exif": (
        saved(CLOCKWISE, "AVIF", quality=95, exif=exif(6)) if ".avif" in Image.registered_extensions() else None
    ),
    "mpo": saved(SEEN, "MPO", quality=95, save_all=True, append_images=[Image.fromarray(SEEN[::-1])]),
}


@pytest.mark.parametrize("name", NEAR)
def test_colour_comes_back_nearly_from_formats_that_lose(name):
    if NEAR[name] is None:
        pytest.skip("this Pillow writes no AVIF")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(both(NEAR[name]) - SEEN).mean() < 4


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "jpeg exif", "jpeg exif before xmp", "mpo"])
def test_a_jpeg_that_opencv_sees_alike_is_stored_as_it_is(name):
    assert validate_and_encode(NEAR[name], 3, None)[0] == NEAR[name]


@pytest.mark.parametrize("name", ["jpeg xmp attribute", "cmyk jpeg"])
def test_a_jpeg_that_opencv_sees_otherwise_becomes_png(name):
    assert validate_and_encode(NEAR[name], 3, None)[0].startswith(b"\x89PNG")


TRANSPARENT = {
    "png": saved(RGBA),
    "webp": saved(RGBA, "WEBP", lossless=True, exact=True),
    "tiff": saved(RGBA, "TIFF"),
    "16 bits png": by_opencv(RGBA.astype(np.uint16) * 257, ".png"),
    "12 bits png": by_opencv(RGBA.astype(np.uint16) * 16, ".png"),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparency_is_white(name):
    np.testing.assert_allclose(both(TRANSPARENT[name]), on_white(SEEN, ALPHA), atol=1.01)


def test_a_transparent_colour_is_white():
    seen = both(saved(Image.fromarray(SEEN), transparency=tuple(int(value) for value in SEEN[3, 5])))
    wanted = SEEN.copy()
    wanted[3, 5] = 255
    np.testing.assert_array_equal(seen, wanted)
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    for format in ("PNG", "GIF"):
        assert both(saved(palette, format, transparency=1))[0].tolist() == [[200, 0, 0], [255] * 3, [0, 0, 200]]


GRAYS = {
    "png": saved(GRAY),
    "transparent": saved(np.dstack([GRAY, np.full_like(GRAY, 255)])),
    "16 bits png": saved(GRAY.astype(np.uint16) * 257),
    "16 bits tiff": saved(GRAY.astype(np.uint16) * 257, "TIFF"),
    "14 bits": saved(GRAY.astype(np.uint16) * 64 + 63),
    "12 bits": saved(GRAY.astype(np.uint16) * 16 + 15, "TIFF"),
    "10 bits": saved(GRAY.astype(np.uint16) * 4, "TIFF"),
    "12 bits pgm": b"P5 64 48 4095\n" + (GRAY.astype(">u2") * 16 + GRAY // 16).astype(">u2").tobytes(),
    "32 bits": saved(GRAY.astype(np.int32) * 16 + 3, "TIFF"),
    "floats to 1": saved(GRAY.astype(np.float32) / 255, "TIFF"),
    "floats to 255": saved(GRAY.astype(np.float32), "TIFF"),
}


@pytest.mark.parametrize("name", GRAYS)
def test_gray_of_any_depth_stays_gray_and_bright(name):
    np.testing.assert_array_equal(both(GRAYS[name]), GRAY[..., None].repeat(3, 2))
    stored, pixels = validate_and_encode(GRAYS[name], None, None)
    assert pixels.shape == (48, 64, 1)
    np.testing.assert_array_equal(decode(stored, None, 1), pixels)


def test_one_bit_is_black_and_white():
    for format in ("PNG", "PPM", "TIFF"):
        seen = both(saved(Image.fromarray(GRAY > 90), format))
        np.testing.assert_array_equal(seen, np.where(GRAY > 90, 255, 0)[..., None].repeat(3, 2))


REFUSED = {
    "nan": (saved(np.array([[0, np.nan]], np.float32), "TIFF"), "nan"),
    "negative": (saved(np.array([[0, -5]], np.int32), "TIFF"), "from -5 to 0; save it with 8 or 16 bits"),
    "beyond 16 bits": (saved(np.array([[0, 70000]], np.int32), "TIFF"), "from 0 to 70000; save it with 8 or 16 bits"),
    "floats of 16 bits": (saved(np.array([[0, 4000]], np.float32), "TIFF"), "up to 4000, not 1 or 255"),
    "raw": (tiff(WIDE, extra=((254, 4, 1, 1),)), "a camera's raw file; export it as JPEG"),
    "empty": (b"", "an empty file; fetch it again"),
    "web page": (b"<html>not found</html>", "a web page, not an image"),
    "video": (struct.pack(">I", 24) + b"ftypisom\0\0\0\0isommp41", "MP4, not an image"),
    "zip": (b"PK\x03\x04" + bytes(50), "a zip archive, not an image"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; run git lfs pull"),
    "rubbish": (bytes(range(128, 256)) + bytes(9), "not an image that can be read; give a JPEG or PNG"),
    "jpeg xl": (b"\xff\x0a" + bytes(50), "JPEG XL, which can't be read; convert it to JPEG"),
    "bomb": (saved(Image.new("1", (10_500, 10_500))), "more than 100,000,000 pixels; make it smaller"),
    "larger bomb": (saved(Image.new("1", (20_000, 20_000))), "more than 100,000,000 pixels; make it smaller"),
}
LONG = np.random.default_rng(0).integers(0, 256, (120, 120, 3), np.uint8)
for _format in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF"):
    if f".{_format.lower()}" in Image.registered_extensions() or _format == "JPEG2000":
        _content = saved(LONG, _format)
        for _share in (0.5, 0.9):
            REFUSED[f"{_share} of a {_format}"] = (_content[: int(_share * len(_content))], "truncated")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_in_both_with_one_line(name):
    content, message = REFUSED[name]
    with pytest.raises(UserError) as trained:
        validate_and_encode(content, 3, None)
    with pytest.raises(UserError) as predicted:
        load_image(content, "face.jpg")
    assert message in str(trained.value) and "\n" not in str(trained.value)
    assert str(predicted.value) == f"face.jpg: {trained.value}"


def test_a_jpeg_beyond_the_limit_is_shrunk_and_others_are_refused(monkeypatch):
    monkeypatch.setattr(image_io, "MOST_PIXELS", 48 * 64 - 1)
    monkeypatch.setattr(image_io, "MOST_JPEG_PIXELS", 4 * 48 * 64)
    monkeypatch.setattr(image_io, "MOST_PROGRESSIVE_PIXELS", 48 * 64)
    half = SEEN.reshape(24, 2, 32, 2, 3).mean((1, 3))
    for content in (NEAR["jpeg"], NEAR["progressive jpeg"], NEAR["jpeg exif"]):
        seen = both(content)
        assert seen.shape == (24, 32, 3) and np.abs(seen - half).mean() < 4
    for content in (saved(SEEN), saved(SEEN, "WEBP"), saved(np.tile(SEEN, (2, 1, 1)), "JPEG", progressive=True)):
        with pytest.raises(UserError, match=r"are more than .* pixels; make it smaller"):
            read_image(content)
    with pytest.raises(UserError, match="are more than"):
        read_image(NEAR["jpeg"], as_stored=True)


def test_200_megapixels_are_no_bomb_to_pillow():
    content = saved(Image.new("L", (16_000, 12_000), 90), "JPEG")
    assert read_image(content).pixels.shape == (6000, 8000, 1)


def test_boxes_count_in_stored_pixels():
    for name in ("jpeg exif", "jpeg xmp attribute"):
        assert read_image(NEAR[name], as_stored=True).pixels.shape == CLOCKWISE.shape


def test_heic_is_read_where_its_library_is_and_names_it_elsewhere(monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(CLOCKWISE)).save(file, quality=95, exif=exif(6).tobytes())
    assert np.abs(both(file.getvalue()) - SEEN).mean() < 4
    monkeypatch.setattr(image_io, "_heic", lambda: False)
    with pytest.raises(UserError, match=r"^a\.jpg: HEIC, which needs a library: pip install 'expressnet-jax\[heic\]'"):
        load_image(file.getvalue(), "a.jpg")


def test_heic_without_its_library_needs_no_library_to_be_named(monkeypatch):
    monkeypatch.setattr(image_io, "_heic", lambda: False)
    with pytest.raises(UserError, match="HEIC, which needs a library"):
        read_image(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic")
