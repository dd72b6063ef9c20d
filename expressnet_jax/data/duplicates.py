"""Equal and near-equal pictures among many: every pair is compared, in bounded memory.

N pictures, T = 24 the side of a thumbnail, M the length of a signature, P pairs. Two pictures are near-equal when their gray thumbnails correlate at least `THRESHOLD`, one of them mirrored or not.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

SIDE = 24
THRESHOLD = 0.95
BLANK = 2.0  # standard deviation of the gray thumbnail, in levels of 255
FREQUENCIES = 8
BLOCK = 256
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
    """16 bytes that agree exactly when shape and pixels do. image uint8[H,W,C]."""
    hasher = hashlib.blake2b(np.asarray(image.shape, "<i8").tobytes(), digest_size=16)
    hasher.update(np.ascontiguousarray(image))
    return hasher.digest()


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8[H,W,3] RGB -> uint8[T,T], gray, area-averaged."""
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def is_blank(thumbnails: np.ndarray) -> np.ndarray:
    """uint8[N,T,T] -> bool[N]: (nearly) uniform pictures, whose correlation would be noise."""
    return np.array([thumb.std() < BLANK for thumb in thumbnails], bool)


def standardise(thumbnails: np.ndarray) -> np.ndarray:
    """uint8[N,T,T] -> float32[N,T*T] of zero mean and unit length, so that a dot product is Pearson's correlation."""
    pixels = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    pixels -= pixels.mean(1, keepdims=True)
    return pixels / np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-6)


def signatures(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8[N,T,T] -> of the pictures and of their mirror images float32[N,M], with correlation <= signature.signature'.

    The coefficients are those of a perceptual hash, kept as numbers; the last coordinate is the length of what they
    leave out. By Cauchy-Schwarz the left-out parts add at most the product of their lengths (the lower-bounding lemma
    of Faloutsos et al. 1994), and a mirror only changes the sign of the coefficients that are odd across the picture.
    """
    basis, sign = _basis()
    plain = np.empty((len(thumbnails), len(basis) + 1), np.float32)
    for start in range(0, len(thumbnails), BLOCK):
        rows = slice(start, start + BLOCK)
        pixels = standardise(thumbnails[rows])
        plain[rows, :-1] = pixels @ basis.T
        left_out = (pixels**2).sum(1) - (plain[rows, :-1] ** 2).sum(1)
        plain[rows, -1] = np.sqrt(np.maximum(0, left_out))
    return plain, plain * sign


def _basis() -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal low DCT-II functions [M-1,T*T], and the sign [M] that a mirror gives each and the length beside them."""
    k = np.arange(SIDE)
    rows = np.sqrt(2 / SIDE) * np.cos(np.pi * (k + 0.5) * k[:, None] / SIDE)
    rows[0] /= np.sqrt(2)
    orders = [(u, v) for u in range(FREQUENCIES) for v in range(FREQUENCIES) if 0 < u + v < FREQUENCIES]
    flat = np.stack([np.outer(rows[u], rows[v]).ravel() for u, v in orders])
    return flat.astype(np.float32), np.array([*((-1) ** v for _, v in orders), 1], np.float32)


def near_pairs(thumbnails: np.ndarray, threshold: float = THRESHOLD) -> Iterator[Pairs]:
    """Yields every near-equal pair of uint8[N,T,T], one block of rows against one of columns at a time."""
    plain, mirrored = signatures(thumbnails)
    enough = threshold - 1e-5  # of float32 rounding: the bound may only err towards comparing
    for top in tqdm(range(0, len(thumbnails), BLOCK), desc="comparing", disable=None, leave=False):
        for left in range(top, len(thumbnails), BLOCK):
            bound = plain[top : top + BLOCK] @ plain[left : left + BLOCK].T
            mirrored_bound = plain[top : top + BLOCK] @ mirrored[left : left + BLOCK].T
            if max(bound.max(), mirrored_bound.max()) < enough:
                continue
            first, second = np.nonzero(np.maximum(bound, mirrored_bound) >= enough)
            first, second = first + top, second + left
            ordered = first < second
            yield from _confirm(thumbnails, first[ordered], second[ordered], threshold)


def _confirm(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray, threshold: float) -> Iterator[Pairs]:
    for start in range(0, len(first), 4 * BLOCK):
        i, j = first[start : start + 4 * BLOCK], second[start : start + 4 * BLOCK]
        a, b = standardise(thumbnails[i]), standardise(thumbnails[j])
        plain = np.einsum("np,np->n", a, b)
        mirror = np.einsum("np,np->n", a, standardise(thumbnails[j][:, :, ::-1]))
        correlation = np.maximum(plain, mirror)
        near = correlation >= threshold
        yield Pairs(i[near], j[near], correlation[near], mirror[near] > plain[near])
