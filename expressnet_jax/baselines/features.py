"""Features made by hand, as the field used them before networks learned their own.

Shapes: B batch, H height, W width, C channels, D features, G cells along each side of a grid.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from expressnet_jax.errors import UserError

INSTALL = 'pip install "expressnet-jax[baselines]"'
LIBRARIES = ("scikit-image", "scikit-learn", "numpy", "scipy")

Features = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Hog:
    """Histograms of oriented gradients (Dalal & Triggs 2005).

    gray uint8[B,H,W] -> float32[B,D]. Unsigned gradients in `orientations` directions, weighed by their length, are
    counted in cells of `cell` x `cell` pixels; every block of 2 x 2 cells is brought to unit length, cut at 0.2 and
    brought to unit length again (their L2-Hys, section 6.4). The defaults are the paper's.
    """

    orientations: int = 9
    cell: int = 8

    def __call__(self, gray: np.ndarray) -> np.ndarray:
        from skimage.feature import hog

        if min(gray.shape[1:]) < 2 * self.cell:
            raise UserError(f"hog: images of {gray.shape[1]}x{gray.shape[2]} hold no 2x2 cells of {self.cell} pixels")
        settings = {"pixels_per_cell": (self.cell, self.cell), "cells_per_block": (2, 2), "block_norm": "L2-Hys"}
        describe = functools.partial(hog, orientations=self.orientations, **settings)
        return np.stack([describe(image) for image in gray]).astype(np.float32)


@dataclass(frozen=True)
class _Lbp:
    """Local binary patterns: each pixel against `points` neighbours on a circle of `radius` (Ojala et al. 2002).

    gray uint8[B,H,W] -> float32[B,D], D = G * G * (points * (points - 1) + 3). Patterns with at most two changes
    between 0 and 1 around the circle have a bin each and all others share one (their u2, that is not invariant to
    rotation: a mouth's corner should not be a brow's). The histograms of the cells of a `grid` x `grid` stand side by
    side, as Shan et al. 2009 do for expressions with 8 points and radius 2. Square roots of their shares, so that
    Euclid's distance between them is Hellinger's, which suits counts as chi-square does.
    """

    points: int = 8
    radius: int = 2
    grid: int = 6

    def __call__(self, gray: np.ndarray) -> np.ndarray:
        from skimage.feature import local_binary_pattern

        bins = self.points * (self.points - 1) + 3
        cells = _cells(gray.shape[1:], self.grid)
        describe = functools.partial(local_binary_pattern, P=self.points, R=self.radius, method="nri_uniform")
        r = self.radius
        framed = np.pad(gray, ((0, 0), (r, r), (r, r)), mode="symmetric")  # scikit-image would see black out there
        codes = (describe(image)[r:-r, r:-r].astype(np.int64) for image in framed)
        places = (cells * bins + code for code in codes)
        counts = np.stack([np.bincount(place.ravel(), minlength=self.grid**2 * bins) for place in places])
        sizes = np.repeat(np.bincount(cells.ravel()), bins)
        return np.sqrt(counts / sizes).astype(np.float32)


@dataclass(frozen=True)
class Gabor:
    """What waves of `scales` lengths in `orientations` directions find, as Liu & Wechsler 2002 set their bank up.

    gray uint8[B,H,W] -> float32[B,D], D = scales * orientations * G * G. The frequency falls from a quarter of a cycle
    a pixel by the root of two from scale to scale; envelopes are one octave wide, half as long as theirs, to fit into
    small faces, and no wave answers to even brightness. Every image is first brought to mean 0 and deviation 1. Of
    the answers' magnitudes the mean over each cell of a `grid` x `grid` is kept, where the paper takes every 64th, and
    its logarithm, since contrast multiplies.
    """

    scales: int = 5
    orientations: int = 8
    grid: int = 6

    def __call__(self, gray: np.ndarray) -> np.ndarray:
        from scipy import fft

        height, width = gray.shape[1:]
        waves, margin = self._waves()
        padded = [fft.next_fast_len(side + 2 * margin) for side in (height, width)]
        bank = np.stack([fft.fft2(_around_origin(wave, padded)) for wave in waves]).astype(np.complex64)
        cells = _cells((height, width), self.grid).ravel()
        mean_of = (np.eye(self.grid**2)[cells] / np.bincount(cells)).astype(np.float32)
        rows = []
        for image in gray.astype(np.float32):
            framed = np.pad((image - image.mean()) / (image.std() + 1), margin, mode="symmetric")
            columns = fft.ifft(fft.fft2(framed, padded) * bank, axis=1)[:, margin : margin + height]
            answers = np.abs(fft.ifft(columns, axis=2)[:, :, margin : margin + width])
            rows.append((answers.reshape(len(bank), -1) @ mean_of).ravel())
        return np.log(np.stack(rows) + np.float32(1e-3))

    def _waves(self) -> tuple[list[np.ndarray], int]:
        """Return the bank, scale by scale, and how many pixels the longest wave reaches."""
        waves = [
            gabor_wave(0.25 / 2 ** (scale / 2), np.pi * turn / self.orientations)
            for scale in range(self.scales)
            for turn in range(self.orientations)
        ]
        return waves, max(max(wave.shape) for wave in waves) // 2


FEATURES = {"hog": _Hog, "lbp": _Lbp, "gabor": Gabor}


def create_features(name: str, **options: int) -> Features:
    """Map uint8[B,H,W] to float32[B,D] by its name in FEATURES; options are whole numbers from 1 on.

    Raises:
      UserError: a wrong name or option, with the right ones; the libraries are not installed.
    """
    if name not in FEATURES:
        raise UserError(f"no features {name!r}; there are: {', '.join(FEATURES)}")
    known = [field.name for field in dataclasses.fields(FEATURES[name])]
    for key, value in options.items():
        if key not in known:
            raise UserError(f"{name} has no {key!r}; it has {', '.join(known)}")
        if type(value) is not int or value < 1:
            raise UserError(f"{name}: {key}={value!r} is no whole number from 1 on")
    _require_libraries()
    return FEATURES[name](**options)


def _require_libraries() -> None:
    """Raise UserError where scikit-image or scikit-learn is missing: before a data set is read, not after."""
    for module, package in (("skimage", "scikit-image"), ("sklearn", "scikit-learn")):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UserError(f"baselines need {package}: {INSTALL}") from error


def gray(images: np.ndarray) -> np.ndarray:
    """Map uint8[B,H,W,1 or 3] to uint8[B,H,W]; colour by the luma of ITU-R BT.601."""
    if images.shape[-1] == 1:
        return images[..., 0]
    return (images @ np.array([0.299, 0.587, 0.114]) + 0.5).astype(np.uint8)


@functools.cache
def gabor_wave(frequency: float, theta: float) -> np.ndarray:
    """Return complex128[h,w], h and w odd: a wave under a Gaussian one octave wide, whose sum is 0."""
    from skimage.filters import gabor_kernel

    wave = gabor_kernel(frequency, theta)
    envelope = np.abs(wave)
    return wave - envelope * wave.sum() / envelope.sum()


def _around_origin(wave: np.ndarray, shape: list[int]) -> np.ndarray:
    """complex128[h,w] -> complex128 of a larger shape, its middle at [0,0], where a Fourier transform looks for it."""
    whole = np.zeros(shape, np.complex128)
    whole[: wave.shape[0], : wave.shape[1]] = wave
    return np.roll(whole, (-(wave.shape[0] // 2), -(wave.shape[1] // 2)), (0, 1))


def _cells(shape: tuple[int, int], grid: int) -> np.ndarray:
    """int64[H,W]: in which cell of a grid x grid each pixel lies, row by row.

    Raises:
      UserError: more cells than pixels.
    """
    if min(shape) < grid:
        raise UserError(f"grid={grid}: an image of {shape[0]}x{shape[1]} pixels has no such cells; give a smaller one")
    rows, columns = (np.arange(side) * grid // side for side in shape)
    return rows[:, None] * grid + columns
