"""Convolution by Winograd's minimal filtering, for CPUs (Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural
Networks", section 4).

A tile of m x m outputs of an r x r kernel takes (m + r - 1)^2 products a channel pair instead of m^2 r^2. Tiles, kernel
and outputs pass through small constant matrices before and after; in between stand matrix products, which a CPU runs
close to its limit, in the two gradients as well. Matrices by Toom and Cook's interpolation at the points 0, 1, -1, 2,
-2 and infinity.

Shapes: B batch, H height, W width, C channels in, F filters out, T tiles a side, m outputs a tile, r kernel,
n = m + r - 1 points.
"""

import operator
from collections.abc import Sequence
from functools import cache, partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from expressnet_jax.models.cpu.fusion_barrier import fusion_barrier

_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)
_Padding = tuple[tuple[int, int], tuple[int, int]]


class _Transforms(NamedTuple):
    """outputs float64[m,n], kernel float64[n,r], inputs float64[n,n]: y = outputs ((kernel g) * (inputs d))."""

    outputs: np.ndarray
    kernel: np.ndarray
    inputs: np.ndarray


@cache
def transforms(outputs: int, kernel: int) -> _Transforms:
    """Return the matrices of F(m, r): `outputs` = m values of a correlation with `kernel` = r taps, from m + r - 1
    inputs."""
    points = np.array(_POINTS[: outputs + kernel - 2])
    powers = lambda k: np.vstack([points[:, None] ** np.arange(k), np.eye(k)[-1]])
    others = [np.delete(points, i) for i in range(len(points))]
    scale = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)] + [1.0])
    ascending = lambda roots: np.pad(np.poly(roots)[::-1], (0, len(points) - len(roots)))
    return _Transforms(
        outputs=powers(outputs).T,
        kernel=powers(kernel) / scale[:, None],
        inputs=np.array([ascending(rest) for rest in (*others, points)]),
    )


def tile_size(height: int, width: int, kernel: int) -> int:
    """Return the m of 2, 3 or 4 with the fewest products, tiles at the edge counted whole."""
    cost = lambda m: -(-height // m) * -(-width // m) * (m + kernel - 1) ** 2
    return min((4, 3, 2), key=cost)


class _Tiling(NamedTuple):
    """How an output of `height` x `width` is cut: `down` x `across` tiles of m x m, for a kernel of r taps a side."""

    m: int
    r: int
    height: int
    width: int

    @classmethod
    def of(cls, height: int, width: int, kernel: int) -> "_Tiling":
        return cls(tile_size(height, width, kernel), kernel, height, width)

    @property
    def down(self) -> int:
        return -(-self.height // self.m)

    @property
    def across(self) -> int:
        return -(-self.width // self.m)

    @property
    def transforms(self) -> _Transforms:
        return transforms(self.m, self.r)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def winograd(images: Array, kernel: Array, padding: _Padding) -> Array:
    """Correlate float[B,H,W,C] with float[r,r,C,F], stride 1 -> float[B,H',W',F]; r is 2 or 3.

    `padding` is (before, after) by axis. Within about 1e-5 of the direct sum in float32, relative to the largest value.
    """
    r = kernel.shape[0]
    height, width = (size + sum(pad) - r + 1 for size, pad in zip(images.shape[1:3], padding, strict=True))
    tiling = _Tiling.of(height, width, r)
    lines = fusion_barrier(partial(_lines, tiling, tiling.transforms.inputs, padding))(images)
    points = _two_ways(tiling.transforms.kernel, kernel)
    sums = [fusion_barrier(partial(_products, tiling))(line, points[i]) for i, line in enumerate(lines)]
    return fusion_barrier(partial(_assemble, tiling))(sums)


def _forward(images: Array, kernel: Array, padding: _Padding) -> tuple[Array, tuple[Array, Array]]:
    return winograd(images, kernel, padding), (images, kernel)


def _backward(padding: _Padding, saved: tuple[Array, Array], change: Array) -> tuple[Array, Array]:
    images, kernel = saved
    r = kernel.shape[0]
    mirrored = tuple((r - 1 - before, r - 1 - after) for before, after in padding)
    by_images = winograd(change, kernel[::-1, ::-1].swapaxes(2, 3), mirrored)
    return by_images, _kernel_gradient(images, change, r, padding)


winograd.defvjp(_forward, _backward)


def _kernel_gradient(images: Array, change: Array, r: int, padding: _Padding) -> Array:
    """float[r,r,C,F]: the transpose of every stage, so that a matrix product over all tiles stands in the middle."""
    tiling = _Tiling.of(change.shape[1], change.shape[2], r)
    f = tiling.transforms
    lines = fusion_barrier(partial(_lines, tiling, f.inputs, padding))(images)
    changes = fusion_barrier(partial(_lines, tiling, f.outputs.T, ((0, 0), (0, 0))))(change)
    points = jnp.stack([fusion_barrier(partial(_pairs, tiling))(a, b) for a, b in zip(lines, changes, strict=True)])
    return _two_ways(f.kernel.T, points)


def _lines(tiling: _Tiling, matrix: np.ndarray, padding: _Padding, x: Array) -> list[Array]:
    """Work down the columns: pad float[B,H,W,C] to whole tiles, transform -> n arrays float[B,T,W',C]."""
    whole = [(tiles - 1) * tiling.m + matrix.shape[1] for tiles in (tiling.down, tiling.across)]
    edges = [(before, n - before - size, 0) for (before, _), n, size in zip(padding, whole, x.shape[1:3], strict=True)]
    padded = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    return _windows(matrix, padded, 1, tiling.m, tiling.down)


def _windows(matrix: np.ndarray, x: Array, axis: int, m: int, tiles: int) -> list[Array]:
    """Return the matrix times the windows of x along `axis`, one every m places: an array for each row of the
    matrix."""
    reach = (tiles - 1) * m + 1
    return _mix(matrix, [jax.lax.slice_in_dim(x, i, i + reach, m, axis) for i in range(matrix.shape[1])])


def _products(tiling: _Tiling, line: Array, points: Array) -> list[Array]:
    """Work along the rows: transform, product with float[n,C,F], and back: float[B,T,W',C] -> m arrays
    float[B,T,T,F]."""
    columns = _windows(tiling.transforms.inputs, line, 2, tiling.m, tiling.across)
    shape = (*columns[0].shape[:3], points.shape[-1])
    products = [(_rows(x) @ point).reshape(shape) for x, point in zip(columns, points, strict=True)]
    return _mix(tiling.transforms.outputs, products)


def _pairs(tiling: _Tiling, line: Array, change: Array) -> Array:
    """float[n,C,F]: for each point the product of inputs and gradients over all tiles."""
    columns = _windows(tiling.transforms.inputs, line, 2, tiling.m, tiling.across)
    changes = _windows(tiling.transforms.outputs.T, change, 2, tiling.m, tiling.across)
    return jnp.stack([_rows(x).T @ _rows(y) for x, y in zip(columns, changes, strict=True)])


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _assemble(tiling: _Tiling, sums: list[list[Array]]) -> Array:
    """Work down the columns, and put the tiles side by side: n x m arrays float[B,T,T,F] -> float[B,H',W',F]."""
    columns = [_mix(tiling.transforms.outputs, column) for column in zip(*sums, strict=True)]
    tiles = jnp.stack([jnp.stack(row, 3) for row in zip(*columns, strict=True)], 2)
    whole = tiles.reshape(len(tiles), tiling.down * tiling.m, tiling.across * tiling.m, -1)
    return whole[:, : tiling.height, : tiling.width]


def _mix(matrix: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """Return the matrix times a vector of arrays, zeros left out."""
    scaled = lambda row: [x if w == 1 else x * float(w) for w, x in zip(row, parts, strict=True) if w]
    return [reduce(operator.add, scaled(row)) for row in matrix]


def _two_ways(matrix: np.ndarray, kernel: Array) -> Array:
    """Return the matrix down and across float[i,i,C,F], as one product -> float[o,o,C,F]."""
    rows, columns = matrix.shape
    both = jnp.asarray(np.kron(matrix, matrix), kernel.dtype)
    return (both @ kernel.reshape(columns**2, -1)).reshape(rows, rows, *kernel.shape[2:])
