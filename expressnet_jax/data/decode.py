"""Encoded images <-> pixels. Shapes: N examples of a split, H height, W width, C channels (colour is R, G, B)."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from expressnet_jax.data.image_io import read_image
from expressnet_jax.data.sound import decode_sound
from expressnet_jax.environment import thread_count
from expressnet_jax.errors import UserError

if TYPE_CHECKING:
    from expressnet_jax.data.prepared import Split

Size = int | tuple[int, int] | None


# OpenCV's flags by (channels, how many times smaller): a JPEG is shrunk 2, 4 or 8 times while it is decoded, by leaving
# out the fine half of its cosines or more.
_FLAGS = {
    (1, 1): cv2.IMREAD_GRAYSCALE,
    (1, 2): cv2.IMREAD_REDUCED_GRAYSCALE_2,
    (1, 4): cv2.IMREAD_REDUCED_GRAYSCALE_4,
    (1, 8): cv2.IMREAD_REDUCED_GRAYSCALE_8,
    (3, 1): cv2.IMREAD_COLOR,
    (3, 2): cv2.IMREAD_REDUCED_COLOR_2,
    (3, 4): cv2.IMREAD_REDUCED_COLOR_4,
    (3, 8): cv2.IMREAD_REDUCED_COLOR_8,
}


def decode(encoded: bytes, size: Size, channels: int, frames: int = 1) -> np.ndarray:
    """Decode PNG or JPEG bytes to uint8[H,W,C]; the orientation that EXIF states is applied.

    size is the side of a square, (height, width), or None for the image's own. Shrinking averages over areas, so
    that no detail aliases; a JPEG more than twice too large is first shrunk by its decoder, to no less than `size`.
    Enlarging interpolates linearly, in a clip of `frames` one below the other not from one to the next.
    """
    buffer = np.frombuffer(encoded, np.uint8)
    flag = _FLAGS[channels, _reduction(encoded, size)]
    image = cv2.imdecode(buffer, flag) if buffer.size else None
    if image is None:
        raise UserError("the image can't be decoded; prepare the data set again")
    image = _resized_frames(image, size, frames)  # before the change of order: there are fewer pixels now
    if channels == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return image.reshape(*image.shape[:2], channels)


def _reduction(encoded: bytes, size: Size) -> int:
    """Return how many times smaller an image may be decoded and still have `size` pixels or more: 1, 2, 4 or 8."""
    if size is None or (sides := jpeg_size(encoded)) is None:
        return 1
    wanted = size if isinstance(size, int) else max(size)  # the longer one: EXIF may say that height is width
    return next((times for times in (8, 4, 2) if min(sides) // times >= wanted), 1)


def jpeg_size(encoded: bytes) -> tuple[int, int] | None:
    """Return (height, width) as the frame header of a JPEG states them, or None (ITU T.81, annex B.2.2)."""
    at = 2 if encoded[:2] == b"\xff\xd8" else len(encoded)
    while at + 9 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # tables and extensions are no frames
            return int.from_bytes(encoded[at + 5 : at + 7]), int.from_bytes(encoded[at + 7 : at + 9])
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4])
    return None


def resized(image: np.ndarray, size: Size) -> np.ndarray:
    """Resize uint8[H,W] or uint8[H,W,C] to `size`; a channel axis of length one is dropped by OpenCV."""
    height, width = _shape(size, image)
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _resized_frames(image: np.ndarray, size: Size, frames: int) -> np.ndarray:
    height, width = _shape(size, image)
    if height <= len(image) or len(image) % frames:  # areas end where frames do
        return resized(image, (height, width))
    return np.concatenate([resized(frame, (height // frames, width)) for frame in np.split(image, frames)])


def decode_all(split: "Split", size: Size, channels: int, threads: int = 0, frames: int = 1) -> np.ndarray:
    """Decode all of a split to uint8[N,H,W,C], filled in place by `threads` threads (0: one for each core).

    With size None every image must have the size of the first.
    """
    if not len(split):
        raise UserError("the split holds no images")
    first = decode(split.encoded(0), size, channels, frames)
    images = np.empty((len(split), *first.shape), np.uint8)

    def fill(start: int) -> None:
        positions = range(start, min(start + chunk, len(split)))
        for i, encoded in zip(positions, split.encoded_batch(positions), strict=True):
            image = decode(encoded, size, channels, frames)
            if image.shape != first.shape:
                raise UserError(f"{split.keys[i]} is {image.shape[:2]}, the first image {first.shape[:2]}; give a size")
            images[i] = image

    chunk = 256
    with ThreadPoolExecutor(thread_count(threads)) as pool:
        for _ in pool.map(fill, range(0, len(split), chunk)):
            pass
    return images


def media_dtype(shape: Sequence[int]) -> type[np.generic]:
    """Return what a batch holds examples of this shape as: waveforms (S,) as int16, images and clips as uint8."""
    return np.int16 if len(shape) == 1 else np.uint8


def encoded_batch(split: "Split", positions: np.ndarray, shape: Sequence[int]) -> list[bytes]:
    """Return what `decode_example` takes of these examples of a split: images or clips, or the sound of waveforms (S,),
    which may lie next to them."""
    return split.encoded_batch(positions, "waveform") if len(shape) == 1 else split.encoded_batch(positions)


def decode_example(encoded: bytes, shape: Sequence[int]) -> np.ndarray:
    """Return an image uint8[H,W,C], a clip uint8[T,H,W,C] that is stored as one image, its frames one below the other,
    or a waveform int16[S]."""
    if len(shape) == 1:
        return decode_sound(encoded, shape[0])
    frames, (height, width, channels) = math.prod(shape[:-3]), shape[-3:]
    return decode(encoded, (frames * height, width), channels, frames).reshape(shape)


def decode_examples(split: "Split", shape: Sequence[int], threads: int = 0) -> np.ndarray:
    """Return all images, clips or waveforms of a split, [N,*shape]; see `decode_example`."""
    if len(shape) == 1:
        everything = np.arange(len(split))
        return np.stack([decode_example(encoded, shape) for encoded in encoded_batch(split, everything, shape)])
    frames, (height, width, channels) = math.prod(shape[:-3]), shape[-3:]
    return decode_all(split, (frames * height, width), channels, threads, frames).reshape(-1, *shape)


def validate_and_encode(
    image: bytes | Path | np.ndarray, channels: int | None, size: tuple[int, int] | None
) -> tuple[bytes, np.ndarray]:
    """Return the bytes to store of an image as it comes, and its pixels uint8[H,W,C]; raise a UserError that says what
    is wrong.

    PNG and JPEG files that `decode` gives the same pixels of stay as they are; everything else becomes PNG.
    Where gray is declared (channels 1), three equal channels count as gray; where colour is, gray is repeated.
    """
    if isinstance(image, np.ndarray):
        encoded, pixels = None, image if image.ndim == 3 else image[..., None]
        if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3):
            raise UserError(f"pixels are {pixels.dtype}{list(pixels.shape)}, not uint8[H,W,1 or 3]")
    else:
        encoded = image.read_bytes() if isinstance(image, Path) else image
        pixels, plain = read_image(encoded)
        encoded = encoded if plain else None
    if size and pixels.shape[:2] != tuple(size):
        raise UserError(f"the image is {pixels.shape[0]}x{pixels.shape[1]}, not {size[0]}x{size[1]}")
    declared = _with_channels(pixels, channels)
    if encoded is None or declared is not pixels:
        encoded = encode_png(declared)
    return encoded, declared


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode uint8[H,W,C] as PNG."""
    bgr = pixels[..., ::-1] if pixels.shape[2] == 3 else pixels
    ok, encoded = cv2.imencode(".png", np.ascontiguousarray(bgr))
    if not ok:
        raise UserError(f"pixels of shape {pixels.shape} can't be written as PNG")
    return encoded.tobytes()


def _with_channels(pixels: np.ndarray, channels: int | None) -> np.ndarray:
    if channels is None or pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    if (pixels == pixels[..., :1]).all():
        return pixels[..., :1]
    raise UserError("the image has colour where gray is declared; convert it to gray")


def _shape(size: Size, image: np.ndarray) -> tuple[int, int]:
    if size is None:
        return image.shape[:2]
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
