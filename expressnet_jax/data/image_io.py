"""Decode images of every format, the same pixels in training and in prediction.

Shapes: H height, W width. The rules:
  orientation    as EXIF says, or XMP where EXIF says nothing
  transparency   laid on white
  16 bits        the largest value tells how many bits are used (10, 12, 14, 16); the upper 8 of them are kept
  floats         0..1 becomes 0..255, larger numbers up to 255 stay
  several        the first image of an animation, the first page
  large          a JPEG of more than MOST_PIXELS is shrunk to half its sides while decoding; others are refused
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, features

from expressnet_jax.data.media_types import UNKNOWN, MediaType, identify
from expressnet_jax.errors import UserError, one_line

MOST_PIXELS = 100_000_000  # 300 MB decoded; a file of a few kilobytes may claim any number
MOST_JPEG_PIXELS = 4 * MOST_PIXELS  # a telephone's 200 megapixels, and panoramas
MOST_PROGRESSIVE_PIXELS = 2 * MOST_PIXELS  # whose coefficients, 2 bytes each, are all in memory before the first pixel
_DEPTHS = (8, 10, 12, 14, 16)  # bits that sensors and formats use of 16
NEW_SUBFILE_TYPE, ORIENTATION = 254, 274  # tags of TIFF, the second of EXIF too
METADATA = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
_FILTERS = threading.Lock()
LIBRARIES = {
    "HEIC": "HEIC, which needs a library: pip install 'expressnet-jax[heic]', or convert it to JPEG",
    "AVIF": "AVIF, which this Pillow can't decode: pip install --upgrade pillow, or convert it to JPEG",
    "JPEG XL": "JPEG XL, which can't be read; convert it to JPEG",
}


class Decoded(NamedTuple):
    """pixels: uint8[H,W,1] of a gray image, else uint8[H,W,3] as R, G, B. plain: OpenCV gives the same pixels."""

    pixels: np.ndarray
    plain: bool


def read_image(encoded: bytes, as_stored: bool = False) -> Decoded:
    """Decode the bytes of a file, whatever its format.

    as_stored: neither turn nor shrink, where a list of boxes counts in stored pixels.

    Raises:
      UserError: no image, a truncated or damaged one, or one that is too large; the caller puts the name before it.
    """
    found = identify(encoded)
    if found.kind != "image" and found != UNKNOWN:  # a PostScript program, which Pillow would have Ghostscript run
        raise UserError(_no_image(found))
    with _no_warnings():
        image = _opened(encoded, found)
    with image:
        shrunk = _limit_size(image, shrinks=found.name == "JPEG" and not as_stored)
        deep = _stores_16_bits(image)
        try:
            _load(encoded, image)
            upright = image if as_stored else ImageOps.exif_transpose(image)
            if deep:
                upright = _deep_colour(encoded, image, upright) or upright
        except UserError:
            raise
        except Exception as error:  # OSError, SyntaxError, ValueError, zlib.error, ...: as many kinds as formats
            raise UserError(_damaged(error)) from error
        pixels = to_pixels(upright)
        return Decoded(pixels, not (shrunk or deep) and _is_plain(encoded, image, pixels))


def to_pixels(image: Image.Image) -> np.ndarray:
    """Convert an upright image of any mode to uint8[H,W,1] if it is gray, else uint8[H,W,3]; transparency is white.

    Raises:
      UserError: numbers that are no brightness.
    """
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _eight_bits(np.asarray(image))[..., None]
    gray = image.mode in ("1", "L", "LA", "La")
    try:
        if image.has_transparency_data:
            over = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        elif image.mode == "P":
            image = image.convert("RGBA")  # straight to RGB, Pillow warns of some palettes
        pixels = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except ValueError as error:
        raise UserError(f"colours of the kind {image.mode} can't be converted; save it as RGB") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels[..., :1] if gray else pixels


def _eight_bits(numbers: np.ndarray) -> np.ndarray:
    """uint16, int32 or float32[...] -> uint8[...].

    Cameras store 10 or 12 bits in 16 without shifting them, so the largest number decides how many are used: a very
    dark image of true 16 bits comes out brighter, in training and prediction alike.
    """
    low, high = numbers.min(), numbers.max()
    if not (low >= 0 and high <= 65535):  # also false for NaN
        raise UserError(f"its numbers go from {low:g} to {high:g}; save it with 8 or 16 bits a channel")
    if numbers.dtype.kind != "f":
        depth = next(bits for bits in _DEPTHS if int(high) < 1 << bits)
        return (numbers >> (depth - 8)).astype(np.uint8)
    if high > 255:
        raise UserError(f"its numbers go up to {high:g}, not 1 or 255; save it with 8 or 16 bits a channel")
    return np.round(numbers * (255 if high <= 1 else 1)).astype(np.uint8)


def _opened(encoded: bytes, found: MediaType) -> Image.Image:
    """Return the image, not yet decoded."""
    if found.name == "HEIC" and not _heic():
        raise UserError(LIBRARIES["HEIC"])
    try:
        if found.name == "JPEG":  # Image.open would refuse 200 megapixels before they can be shrunk
            return JpegImagePlugin.jpeg_factory(io.BytesIO(encoded))
        return Image.open(io.BytesIO(encoded))
    except Image.DecompressionBombError as error:
        raise UserError(f"more than {MOST_PIXELS:,} pixels; make it smaller") from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, ... for what is no image
        raise UserError(_no_image(found)) from error


@cache
def _heic() -> bool:
    """Teach Pillow HEIC, if the library is there."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _no_image(found: MediaType) -> str:
    """Return what a file is instead, and what to do."""
    if found.name in LIBRARIES and not (found.name == "AVIF" and features.check("avif")):
        return LIBRARIES[found.name]
    if found.kind == "image":
        return f"truncated or damaged (no {found.name} that can be decoded); fetch it again"
    if found.kind == "empty":
        return f"{found.name}; fetch it again"
    if found == UNKNOWN:
        return "not an image that can be read; give a JPEG or PNG"
    return found.name if ";" in found.name else f"{found.name}, not an image; give a JPEG or PNG"


def _damaged(error: Exception) -> str:
    return f"truncated or damaged ({one_line(error, 80)}); fetch it again"


def _limit_size(image: Image.Image, shrinks: bool) -> bool:
    """Refuse what has too many pixels; of a JPEG let the decoder leave out the fine half of the cosines or more, and
    return True."""
    width, height = image.size
    count = width * height
    if not count:
        raise UserError(f"{width}x{height}; give an image with pixels")
    if count <= MOST_PIXELS:
        return False
    most = MOST_PIXELS
    if shrinks:
        most = MOST_PROGRESSIVE_PIXELS if image.info.get("progressive") else MOST_JPEG_PIXELS
    if count > most:
        raise UserError(f"{width}x{height} are more than {most:,} pixels; make it smaller")
    image.draft(None, (width // 2, height // 2))
    return True


def _load(encoded: bytes, image: Image.Image) -> None:
    """Decode, and read the metadata without Pillow's warnings."""
    if getattr(image, "tag_v2", {}).get(NEW_SUBFILE_TYPE, 0) & 1:
        raise UserError("its first page is a preview, as in a camera's raw file; export it as JPEG")
    if image.format != "PNG":  # whose metadata may come last: asking would decode it here, one at a time
        with _no_warnings():
            image.getexif()
    image.load()
    if image.format == "PNG" and b"IEND" not in encoded:  # Pillow is content once the last row is complete
        raise OSError("the end of the PNG is missing")
    with _no_warnings():
        image.getexif()


def _stores_16_bits(image: Image.Image) -> bool:
    """Return whether Pillow is about to drop the lower half of colours of 16 bits, as if no upper bit were unused."""
    if (
        image.mode not in ("RGB", "RGBA", "LA")
        or image.format not in ("PNG", "TIFF", "PPM")
        or not (tiles := getattr(image, "tile", ()))
    ):
        return False
    kind = str(tiles[0].args)
    return ";16" in kind or (image.format == "PPM" and "65535" in kind)


def _deep_colour(encoded: bytes, image: Image.Image, upright: Image.Image) -> Image.Image | None:
    """Return colour or transparency of 16 bits a channel as 8 bits, upright; None where OpenCV can't read it."""
    numbers = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if numbers is None or numbers.dtype != np.uint16 or numbers.ndim != 3:
        return None
    colour, alpha = _eight_bits(numbers[..., 2::-1]), numbers[..., 3:]
    pixels = np.dstack([colour, _eight_bits(alpha)]) if alpha.size else colour
    deep = Image.fromarray(pixels).convert(image.mode)
    if image.format == "TIFF":  # OpenCV turned it
        return deep
    deep.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    return ImageOps.exif_transpose(deep)


def _is_plain(encoded: bytes, image: Image.Image, pixels: np.ndarray) -> bool:
    """Return whether OpenCV, which decodes in training, gives these pixels; metadata it may understand otherwise."""
    if image.format not in ("PNG", "JPEG", "MPO") or image.mode not in ("L", "RGB") or image.has_transparency_data:
        return False
    if image.format == "PNG" and getattr(image, "is_animated", False):
        return False
    if not METADATA & image.info.keys():
        return True
    seen = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    return seen is not None and seen.shape[:2] == pixels.shape[:2] and float(cv2.absdiff(seen, _rgb(pixels)).mean()) < 1


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Silence Pillow, one thread at a time: warning filters belong to the whole process."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
