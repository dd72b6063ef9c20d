"""Pictures as people have them -> pixels uint8[H,W,3] in the order red, green, blue, upright."""

import io
import warnings
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from expressnet_jax.errors import UserError, one_line

MOST_PIXELS = 100_000_000  # 300 MB decoded; a file of a few kilobytes may claim any number
NO_PICTURE = "not a picture that can be read; give a PNG or a JPEG"
SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"])

Picture = str | PathLike | bytes | Image.Image | np.ndarray


def read_picture(source: Picture, name: str = "") -> np.ndarray:
    """A path, encoded bytes, a Pillow picture, or uint8[H,W], [H,W,1], [H,W,3] or [H,W,4] -> uint8[H,W,3].

    What EXIF says of the orientation is applied, transparency is laid on white, 16 bits become 8, and of an animation
    the first picture is taken. `name` is what errors call it; by default its path.

    Raises:
      UserError: no picture, a truncated one, or one of more than MOST_PIXELS.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, name or "the array")
    if isinstance(source, Image.Image):
        return _from_pillow(source, name or "the picture")
    if isinstance(source, bytes):
        return _decoded(source, name or "the bytes")
    if not isinstance(source, str | PathLike):
        kind = type(source).__name__
        raise UserError(f"{name or 'the picture'}: {kind}; give a path, bytes, a Pillow picture or uint8[H,W,3]")
    try:
        encoded = Path(source).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise UserError(f"{source}: can't be read ({getattr(error, 'strerror', None) or error})") from error
    return _decoded(encoded, name or str(source))


def _decoded(encoded: bytes, name: str) -> np.ndarray:
    if not encoded:
        raise UserError(f"{name}: an empty file; fetch it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken metadata; for the number of pixels our own limit is below
            picture = Image.open(io.BytesIO(encoded))
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: more than {MOST_PIXELS:,} pixels; make it smaller") from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, ... for what is no picture
        raise UserError(f"{name}: {NO_PICTURE}") from error
    with picture:
        if picture.format == "EPS":  # a program, which Pillow would have Ghostscript run
            raise UserError(f"{name}: {NO_PICTURE}")
        return _from_pillow(picture, name)


def _from_pillow(picture: Image.Image, name: str) -> np.ndarray:
    width, height = picture.size
    if not width * height:
        raise UserError(f"{name}: {width}x{height}; give a picture with pixels")
    if width * height > MOST_PIXELS:
        raise UserError(f"{name}: {width}x{height} are more than {MOST_PIXELS:,} pixels; make it smaller")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken metadata beside good pixels
            return _rgb(ImageOps.exif_transpose(picture))
    except Exception as error:  # a truncated file shows only now, in as many kinds of error
        raise UserError(f"{name}: truncated or damaged ({one_line(error, 80)}); fetch it again") from error


def _rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I;16") or picture.mode == "I":  # Pillow's own conversion would clip at 255
        pixels = np.asarray(picture).astype(np.int64)
        return _from_array(np.clip(pixels >> 8, 0, 255).astype(np.uint8), "")
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return np.asarray(picture.convert("RGB"))


def _from_array(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise UserError(f"{name}: {pixels.dtype}{list(pixels.shape)}; give uint8[H,W], [H,W,1], [H,W,3] or [H,W,4]")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 4:
        return _rgb(Image.fromarray(pixels))
    if pixels.shape[2] != 3:
        raise UserError(f"{name}: {pixels.shape[2]} channels; give 1, 3 or 4")
    return np.ascontiguousarray(pixels)
