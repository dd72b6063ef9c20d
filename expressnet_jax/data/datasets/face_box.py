"""Faces cut out of larger images by the box that a data set gives.

Shapes: H height, W width.
"""

from pathlib import Path

import cv2
import numpy as np

from expressnet_jax.data.datasets.bad_images import BadImage
from expressnet_jax.data.image_io import read_image
from expressnet_jax.errors import UserError

_JPEG_QUALITY = 95
_MARGIN = 0.25  # of landmarks' box on each side: they run from brows to chin and leave the forehead out


def face(path: Path, box: tuple[float, float, float, float], side: int | None, place: str) -> np.ndarray:
    """Return the part of an image inside (left, top, right, bottom): uint8[H,W,3] RGB, or uint8[H,W] of a gray image.

    The box is clipped to the image. If side is given, a face whose longer edge exceeds it is shrunk to it, by area
    averaging. Boxes count in stored pixels, so an orientation in the file's EXIF is not applied.
    """
    try:
        pixels = read_image(path.read_bytes(), as_stored=True).pixels
    except (UserError, OSError) as error:
        raise BadImage(f"{place}: {path}", path.name, str(error)) from error
    height, width = pixels.shape[:2]
    left, top = max(0, round(box[0])), max(0, round(box[1]))
    right, bottom = min(width, round(box[2])), min(height, round(box[3]))
    if right - left < 1 or bottom - top < 1:
        raise UserError(f"{place}: the face box {box} lies outside {path} of {width}x{height} pixels; correct the list")
    face = pixels[top:bottom, left:right]
    return shrunk(face[..., 0] if face.shape[2] == 1 else face, side)


def landmark_square(points: np.ndarray) -> tuple[float, float, float, float]:
    """Return the square around a face's landmarks float[P,2], with a margin: left, top, right, bottom in pixels."""
    middle, half = (points.max(0) + points.min(0)) / 2, np.ptp(points, axis=0).max() * (0.5 + _MARGIN)
    return (*(middle - half), *(middle + half))


def shrunk(pixels: np.ndarray, side: int | None) -> np.ndarray:
    """Shrink uint8[H,W,...] until no edge is longer than side, its proportions kept."""
    height, width = pixels.shape[:2]
    if side is None or max(height, width) <= side:
        return pixels
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def as_jpeg(pixels: np.ndarray) -> bytes:
    """Encode uint8[H,W,3] RGB or uint8[H,W] gray as a colour JPEG: as PNG it would take several times the disk."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.ndim == 3 else cv2.COLOR_GRAY2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def checked_side(side: object, name: str) -> int:
    """Return the option `size` of a data set as a number of pixels."""
    if not str(side).isdecimal() or int(str(side)) < 1:
        raise UserError(f"{name}: size is {side}, not a number of pixels")
    return int(str(side))
