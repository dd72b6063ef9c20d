"""Images as callers have them -> pixels uint8[H,W,3] in the order red, green, blue, upright."""

from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from expressnet_jax.data.image_io import read_image, to_pixels
from expressnet_jax.data.media_files import missing
from expressnet_jax.errors import UserError, one_line, printable

SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"])

ImageSource = str | PathLike | bytes | Image.Image | np.ndarray


def load_image(source: ImageSource, name: str = "") -> np.ndarray:
    """Return uint8[H,W,3] from a path, encoded bytes, a Pillow image, or uint8[H,W], [H,W,1], [H,W,3] or [H,W,4].

    Files are decoded as in training, see `data/image_io.py`. `name` is what errors call it; by default its path.

    Raises:
      UserError: no image, a truncated one, or one that is too large.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, name or "the array")
    if isinstance(source, Image.Image):
        return _from_pillow(source, name or "the image")
    if isinstance(source, bytes):
        return _decoded(source, name or "the bytes")
    if not isinstance(source, str | PathLike):
        kind = type(source).__name__
        raise UserError(f"{name or 'the image'}: {kind}; give a path, bytes, a Pillow image or uint8[H,W,3]")
    name = printable(name or source)
    try:
        encoded = Path(source).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{name}: {missing(source)}") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise UserError(f"{name}: can't be read ({getattr(error, 'strerror', None) or error})") from error
    return _decoded(encoded, name)


def _decoded(encoded: bytes, name: str) -> np.ndarray:
    try:
        return _three_channels(read_image(encoded).pixels)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _from_pillow(image: Image.Image, name: str) -> np.ndarray:
    width, height = image.size
    if not width * height:
        raise UserError(f"{name}: {width}x{height}; give an image with pixels")
    try:
        return _three_channels(to_pixels(ImageOps.exif_transpose(image)))
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    except Exception as error:  # a truncated file shows only now, in as many kinds of error as there are formats
        raise UserError(f"{name}: truncated or damaged ({one_line(error, 80)}); fetch it again") from error


def _from_array(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise UserError(f"{name}: {pixels.dtype}{list(pixels.shape)}; give uint8[H,W], [H,W,1], [H,W,3] or [H,W,4]")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] not in (1, 3, 4):
        raise UserError(f"{name}: {pixels.shape[2]} channels; give 1, 3 or 4")
    return _three_channels(to_pixels(Image.fromarray(pixels)) if pixels.shape[2] == 4 else pixels)


def _three_channels(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
