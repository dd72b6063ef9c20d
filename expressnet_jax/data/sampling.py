"""Which example is in batch i: a pure function of (seed, step), so that a run resumes exactly, on any number of hosts.

Shapes: B global batch, N examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np

from expressnet_jax.errors import UserError


class Sampler(Protocol):
    """`indices(step) -> int64[B]`: the examples of the global batch of a step."""

    @property
    def batch_size(self) -> int: ...

    def indices(self, step: int) -> np.ndarray: ...


@lru_cache(maxsize=4)
def permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """Return a permutation int64[N] of an epoch. The last few are kept: a batch may straddle two epochs."""
    order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(num_examples)
    order.setflags(write=False)
    return order


@dataclass(frozen=True)
class Uniform:
    """Every example once an epoch, epochs following each other without a gap: no example is dropped or repeated."""

    num_examples: int
    batch_size: int
    seed: int = 0

    def indices(self, step: int) -> np.ndarray:
        position = step * self.batch_size + np.arange(self.batch_size)
        epoch, place = np.divmod(position, self.num_examples)
        batch = np.empty(self.batch_size, np.int64)
        for e in np.unique(epoch):
            batch[epoch == e] = permutation(self.num_examples, self.seed, int(e))[place[epoch == e]]
        return batch


@dataclass(frozen=True)
class Balanced:
    """Draws with replacement, a class of n examples with probability proportional to n ** (1 - strength).

    Strength 0 is as they come, 1 makes every class equally likely (square-root sampling is 0.5; Mahajan et al. 2018).
    """

    labels: np.ndarray
    batch_size: int
    seed: int = 0
    strength: float = 1.0

    @cached_property
    def _cumulative(self) -> np.ndarray:
        counts = np.bincount(self.labels)
        weights = counts[self.labels] ** -float(self.strength)
        return np.cumsum(weights / weights.sum())

    def indices(self, step: int) -> np.ndarray:
        draws = np.random.Generator(np.random.Philox(key=[self.seed, step])).random(self.batch_size)
        return np.minimum(np.searchsorted(self._cumulative, draws, side="right"), len(self.labels) - 1)


def process_slice(indices: np.ndarray, process_index: int, process_count: int) -> np.ndarray:
    """Return this process's contiguous share of a global batch. Put together in process order they are the batch."""
    share = len(indices) // process_count
    return indices[process_index * share : (process_index + 1) * share]


def subject_folds(
    labels: np.ndarray, subjects: Sequence[str] | np.ndarray | None, folds: int, seed: int = 0
) -> np.ndarray:
    """Return the fold int64[N] of each example: no subject in two folds; without subjects, classes spread evenly.

    Each example whose subject is unknown ("") counts as a subject of its own.

    Raises:
      UserError: fewer subjects, or fewer examples, than folds.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, folds]))
    if subjects is None:
        return _stratified_folds(labels, folds, rng)
    names, group, size = np.unique(separate_unknown(subjects), return_inverse=True, return_counts=True)
    if len(names) < folds:
        raise UserError(f"data.folds: {folds} folds need as many subjects; there are {len(names)}")
    fold_of_subject, load = np.empty(len(names), np.int64), np.zeros(folds)
    shuffled = rng.permutation(len(names))
    for subject in shuffled[np.argsort(-size[shuffled], kind="stable")]:
        fold_of_subject[subject] = load.argmin()
        load[load.argmin()] += size[subject]
    return fold_of_subject[group]


def separate_unknown(subjects: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return a number for each subject int64[N], and one for each example whose subject is unknown: together these
    would be the largest subject."""
    numbers = np.unique(np.asarray(subjects), return_inverse=True)[1]
    return np.where(np.asarray(subjects) == "", len(numbers) + np.arange(len(numbers)), numbers)


def _stratified_folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    fold = np.empty(len(labels), np.int64)
    start = 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = (start + np.arange(len(members))) % folds
        start += len(members)
    if len(labels) < folds:
        raise UserError(f"data.folds: {folds} folds need as many examples; there are {len(labels)}")
    return fold
