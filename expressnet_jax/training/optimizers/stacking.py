"""Place matrices of many shapes into a stack of equal ones, so that one product is that of all of them.

Shapes: K slots of M rows and N columns. In a slot, matrices lie one behind the other along the diagonal, between zeros:
products of a slot with its transpose, and polynomials of these, leave every matrix to itself.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

_STARTS = 230e6  # bytes that an H200 moves while it starts the 27 kernels of a stack, at 2 us and 4.3 TB/s


class Stack(NamedTuple):
    """Where matrices lie.

    Attributes:
      shape: K, M, N.
      members: which matrices they are.
      corners: for each of them, its first row among all K * M and its first column.
      shapes: for each of them, its rows and columns.
    """

    shape: tuple[int, int, int]
    members: tuple[int, ...]
    corners: tuple[tuple[int, int], ...]
    shapes: tuple[tuple[int, int], ...]

    def join(self, matrices: Sequence[Array]) -> Array:
        """Return the members of `matrices` in their places: float[K,M,N]."""
        slots, rows, columns = self.shape
        strips, end = [], 0
        for member, (row, column) in zip(self.members, self.corners, strict=True):
            matrix = matrices[member]
            behind = columns - column - matrix.shape[1]
            strips.append(jnp.pad(matrix, ((row - end, 0), (column, behind))))
            end = row + len(matrix)
        strips.append(jnp.zeros((slots * rows - end, columns), strips[0].dtype))
        return jnp.concatenate(strips).reshape(self.shape)

    def cut(self, stack: Array) -> list[Array]:
        """Return the matrices that lie in float[K,M,N], as `members` has them."""
        corners = zip(self.corners, self.shapes, strict=True)
        begins = [(*divmod(row, self.shape[1]), column, *shape) for (row, column), shape in corners]
        return [stack[slot, row : row + rows, column : column + width] for slot, row, column, rows, width in begins]

    def owners(self) -> np.ndarray:
        """Return int32[K,M], which member every row belongs to; -1 for none."""
        found = np.full(self.shape[0] * self.shape[1], -1, np.int32)
        for number, ((row, _), (rows, _)) in enumerate(zip(self.corners, self.shapes, strict=True)):
            found[row : row + rows] = number
        return found.reshape(self.shape[:2])


def stacks(shapes: Sequence[tuple[int, int]]) -> list[Stack]:
    """Return the stacks that matrices (M, N), M <= N, are orthogonalised in.

    A stack more costs the starts of its kernels; small matrices among large ones cost the bytes of the zeros. Of all
    ways to cut the matrices, sorted by M, into stacks, this is the cheapest (dynamic programming over the last cut).
    """
    order = sorted(range(len(shapes)), key=lambda i: shapes[i], reverse=True)
    best: list[tuple[float, list[list[int]]]] = [(0.0, [])]
    for end in range(1, len(order) + 1):
        ways = [
            (best[start][0] + _cost([shapes[i] for i in order[start:end]]), [*best[start][1], order[start:end]])
            for start in range(end)
        ]
        best.append(min(ways))
    return [_fill(shapes, group) for group in best[-1][1]]


def _cost(shapes: Sequence[tuple[int, int]]) -> float:
    """Return about how many bytes orthogonalising these in one stack costs."""
    sides = list(zip(*shapes, strict=True))
    rows, columns = map(max, sides)
    slots = max(math.ceil(sum(side) / max(side)) for side in sides)
    return _STARTS + slots * 4 * (64 * rows**2 + 6 * rows * columns)


def _fill(shapes: Sequence[tuple[int, int]], group: Sequence[int]) -> Stack:
    """Return the stack of a group, each matrix in the first slot that has room behind what lies there."""
    rows, columns = (max(shapes[i][side] for i in group) for side in (0, 1))
    taken: list[tuple[int, int]] = []
    places: list[tuple[int, int, int]] = []
    for member in group:
        height, width = shapes[member]
        room = (k for k, (row, column) in enumerate(taken) if row + height <= rows and column + width <= columns)
        slot = next(room, len(taken))
        taken += [(0, 0)] * (slot == len(taken))
        row, column = taken[slot]
        taken[slot] = row + height, column + width
        places.append((slot * rows + row, column, member))
    places.sort()
    members = tuple(member for *_, member in places)
    corners = tuple((row, column) for row, column, _ in places)
    return Stack((len(taken), rows, columns), members, corners, tuple(shapes[i] for i in members))
