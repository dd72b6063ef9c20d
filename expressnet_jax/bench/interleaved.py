"""Measuring in turns: what is compared works in alternating blocks, so a change of the machine's speed meets all."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")


def interleave(blocks: Mapping[str, Callable[[], Result]], rounds: int) -> dict[str, list[Result]]:
    """Call every block once a round, in the order given and every other round backwards; return what each call
    returned."""
    results: dict[str, list[Result]] = {name: [] for name in blocks}
    for number in range(rounds):
        for name in list(blocks)[:: -1 if number % 2 else 1]:
            results[name].append(blocks[name]())
    return results


def compare(values: Sequence[float], against: Sequence[float]) -> dict[str, float]:
    """Return the ratio of two lists of speeds: of their medians, and the least and the most of a single round."""
    ratios = np.divide(values, against)
    return {
        "ratio": float(np.median(values) / np.median(against)),
        "least": float(ratios.min()),
        "most": float(ratios.max()),
    }
