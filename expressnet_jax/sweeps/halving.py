"""Successive halving: all runs begin, and at each rung the better ones continue (Jamieson & Talwalkar 2016)."""

from collections.abc import Mapping, Sequence
from math import ceil, isfinite
from typing import NamedTuple

from expressnet_jax.errors import UserError


class Rung(NamedTuple):
    """A stop on the way: the share of each run's steps that is trained by then, and how many runs continue."""

    share: float
    keep: int


def make_rungs(runs: int, factor: int = 0) -> list[Rung]:
    """Return the rungs of so many runs; the last one is the whole training, and `factor` 0 has no other.

    Algorithm 1 of Jamieson & Talwalkar (2016) for a given longest training: of n runs the best n / factor continue,
    each for `factor` times as many steps, until one is left.

    Raises:
      UserError: a factor that keeps all of them.
    """
    if not factor:
        return [Rung(1.0, runs)]
    if factor < 2:
        raise UserError(f"--halving {factor}: give 2 or more, the best 1 of so many continues")
    keep = [runs]
    while keep[-1] > 1:
        keep.append(ceil(keep[-1] / factor))
    return [Rung(float(factor) ** (i - len(keep) + 1), kept) for i, kept in enumerate([*keep[1:], 1])]


def rung_step(rung: Rung, total: int, evaluate_every: int, steps_per_call: int = 1) -> int:
    """Return the step that a run is trained to: the evaluation nearest to its share of `total` steps, or the end.

    A run evaluates behind the call that takes the step where it is due.
    """
    nearest = max(round(rung.share * total / evaluate_every), 1) * evaluate_every
    behind = -(-nearest // steps_per_call) * steps_per_call
    return total if rung.share == 1 else min(behind, total)


def at_evaluations(rungs: Sequence[Rung], total: int, evaluate_every: int, steps_per_call: int = 1) -> list[Rung]:
    """Return the rungs with the shares of `total` steps that runs are trained to."""
    step = lambda rung: rung_step(rung, total, evaluate_every, steps_per_call)
    return [rung._replace(share=step(rung) / total) for rung in rungs]


def best_of(values: Mapping[int, float], keep: int) -> list[int]:
    """Return the numbers of the runs with the highest values, the best first; of equal ones the first run.

    Runs without a finite value come never.
    """
    known = [number for number, value in values.items() if isfinite(value)]
    return sorted(known, key=lambda number: (-values[number], number))[:keep]


def total_share(rungs: Sequence[Rung], runs: int) -> float:
    """Return how many whole trainings a sweep takes."""
    shares, trained, before = 0.0, runs, 0.0
    for rung in rungs:
        shares += trained * (rung.share - before)
        trained, before = rung.keep, rung.share
    return shares
