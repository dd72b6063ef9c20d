"""Equal and near-equal images among many: every pair is compared, in bounded memory.

N images, T = 24 the side of a thumbnail, M the length of a signature, P pairs. Two images are near-equal when their
gray thumbnails correlate at least `THRESHOLD`, one of them mirrored or not.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from expressnet_jax.parallel import parallel_map

SIDE = 24
THRESHOLD = 0.95
BLANK = 2.0  # standard deviation of the gray thumbnail, in levels of 255
_FREQUENCIES = 8
CHUNK = 4096  # images, or pairs, that are worked on as float32 at once
# Products of tiles as small as this OpenBLAS leaves on the calling thread; larger ones it would spread over threads of
# its own, which on a busy machine wait for each other ten times as long as they work.
TILE = 64
BLOCK, SPAN = 8, 128  # tiles: of rows and columns in cache at once; of columns in one task
METHOD = (
    f"byte-equal: BLAKE2b of the decoded pixels; near-equal: correlation of {SIDE}x{SIDE} gray thumbnails, mirror "
    f"included, at least {THRESHOLD}, over all pairs (low DCT coefficients rule most of them out and miss none)"
)


class Pairs(NamedTuple):
    """P near-equal pairs: positions first < second int64[P], correlation float32[P], mirrored bool[P]."""

    first: np.ndarray
    second: np.ndarray
    correlation: np.ndarray
    mirrored: np.ndarray


def digest(image: np.ndarray) -> bytes:
    """Return 16 bytes that agree exactly when shape and pixels do. image uint8[H,W,C]."""
    hasher = hashlib.blake2b(np.asarray(image.shape, "<i8").tobytes(), digest_size=16)
    hasher.update(image.tobytes())
    return hasher.digest()


def pixel_digest(image: np.ndarray) -> bytes:
    """Return the `digest` of uint8[H,W,1 or 3] as RGB: gray is the same whether it has one channel or three. Of a
    waveform int16[n] and of a text uint8[n,1] it is the plain one."""
    return digest(image if image.ndim < 3 or image.shape[2] == 3 else np.repeat(image, 3, axis=2))


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Shrink uint8[H,W,3] RGB to uint8[T,T], gray, area-averaged."""
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def is_blank(thumbnails: np.ndarray) -> np.ndarray:
    """Map uint8[N,T,T] to bool[N]: (nearly) uniform images, whose correlation would be noise."""
    return np.array([thumb.std() < BLANK for thumb in thumbnails], bool)


def _standardise(thumbnails: np.ndarray) -> np.ndarray:
    """uint8[N,T,T] -> float32[N,T*T] of zero mean and unit length, so that a dot product is Pearson's correlation."""
    pixels = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    pixels -= pixels.mean(1, keepdims=True)
    return pixels / np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-6)


def signatures(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Map uint8[N,T,T] to signatures [N,M] and those of the mirror images, with correlation <= s.s'.

    The coefficients are those of a perceptual hash, kept as numbers; the last coordinate is the length of what they
    leave out. By Cauchy-Schwarz the left-out parts add at most the product of their lengths (the lower-bounding lemma
    of Faloutsos et al. 1994), and a mirror only changes the sign of the coefficients that are odd across the image.
    """
    basis, sign = _basis()
    plain = np.empty((len(thumbnails), len(basis) + 1), np.float32)
    for start in range(0, len(thumbnails), CHUNK):
        rows = slice(start, start + CHUNK)
        pixels = _standardise(thumbnails[rows])
        plain[rows, :-1] = pixels @ basis.T
        left_out = (pixels**2).sum(1) - (plain[rows, :-1] ** 2).sum(1)
        plain[rows, -1] = np.sqrt(np.maximum(0, left_out))
    return plain, plain * sign


def _basis() -> tuple[np.ndarray, np.ndarray]:
    """Return orthonormal low DCT-II functions [M-1,T*T], and the sign [M] that a mirror gives their coefficients."""
    k = np.arange(SIDE)
    rows = np.sqrt(2 / SIDE) * np.cos(np.pi * (k + 0.5) * k[:, None] / SIDE)
    rows[0] /= np.sqrt(2)
    orders = [(u, v) for u in range(_FREQUENCIES) for v in range(_FREQUENCIES) if 0 < u + v < _FREQUENCIES]
    flat = np.stack([np.outer(rows[u], rows[v]).ravel() for u, v in orders])
    return flat.astype(np.float32), np.array([*((-1) ** v for _, v in orders), 1], np.float32)


def near_pairs(thumbnails: np.ndarray, threshold: float = THRESHOLD) -> Iterator[Pairs]:
    """Yield every near-equal pair of uint8[N,T,T], on all cores, some rows against some columns at a time."""
    plain, mirrored = (_tiled(signature) for signature in signatures(thumbnails))
    rows = range(0, len(plain), BLOCK)
    tasks = [(top, left) for top in rows for left in range(top, len(plain), SPAN)]
    search = lambda task: list(_search(thumbnails, plain, mirrored, task[0], task[1], threshold))
    bar = tqdm(parallel_map(search, tasks), desc="comparing", total=len(tasks), disable=None, leave=False)
    for found in bar:
        yield from found


def _tiled(signature: np.ndarray) -> np.ndarray:
    """float32[N,M] -> [tiles,TILE,M], the last tile filled up with zeros, which are near nothing."""
    padding = -len(signature) % TILE
    return np.pad(signature, ((0, padding), (0, 0))).reshape(-1, TILE, signature.shape[1])


def _search(
    thumbnails: np.ndarray, plain: np.ndarray, mirrored: np.ndarray, top: int, left: int, threshold: float
) -> Iterator[Pairs]:
    """Yield the near-equal pairs of BLOCK tiles of rows from `top` and SPAN tiles of columns from `left`."""
    enough = threshold - 1e-5  # of float32 rounding: the bound may only err towards comparing
    rows = plain[top : top + BLOCK, None]
    for start in range(left, min(left + SPAN, len(plain)), BLOCK):
        columns = slice(start, start + BLOCK)
        bound, mirrored_bound = rows @ plain[columns].swapaxes(1, 2), rows @ mirrored[columns].swapaxes(1, 2)
        if max(bound.max(), mirrored_bound.max()) < enough:
            continue
        row_tile, column_tile, row, column = np.nonzero(np.maximum(bound, mirrored_bound) >= enough)
        first, second = (top + row_tile) * TILE + row, (start + column_tile) * TILE + column
        ordered = first < second
        yield from _confirm(thumbnails, first[ordered], second[ordered], threshold)


def _confirm(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray, threshold: float) -> Iterator[Pairs]:
    for start in range(0, len(first), CHUNK):
        i, j = first[start : start + CHUNK], second[start : start + CHUNK]
        a, b = _standardise(thumbnails[i]), _standardise(thumbnails[j])
        plain = np.einsum("np,np->n", a, b)
        mirror = np.einsum("np,np->n", a, _standardise(thumbnails[j][:, :, ::-1]))
        correlation = np.maximum(plain, mirror)
        near = correlation >= threshold
        yield Pairs(i[near], j[near], correlation[near], mirror[near] > plain[near])
