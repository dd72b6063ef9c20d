"""Which parameters learn, and from when on: head first, then the backbone, all at once or layer by layer."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax

TrainableMask = Callable[[Any], Any]  # parameters -> a tree of bools like them


def gradual_unfreezing(layers: Sequence[str], always: int, wait: int, every: int) -> list[tuple[int, frozenset[str]]]:
    """(first step, frozen layers of the backbone) in rising order.

    `layers` go from the input to the features; the first `always` never learn, the others from step `wait` on:
    together, or one by one from the head down, `every` steps apart (gradual unfreezing, Howard & Ruder 2018, 3.3).
    """
    never, later = frozenset(layers[:always]), list(layers[always:])
    if not wait:
        return [(0, never)]
    starts = [(0, frozenset(layers))]
    if not every:
        return [*starts, (wait, never)]
    return [*starts, *((wait + i * every, never | {*later[: len(later) - 1 - i]}) for i in range(max(len(later), 1)))]


def trainable_except(frozen: Collection[str]) -> TrainableMask | None:
    """Everything learns but these layers of the backbone. None where nothing is frozen: that costs nothing."""
    if not frozen:
        return None

    def trainable(params: Any) -> Any:
        held = lambda names: names[0] == "backbone" and names[1] in frozen
        return jax.tree_util.tree_map_with_path(lambda path, _: not held([key.key for key in path[:2]]), params)

    return trainable


def intersect(first: TrainableMask | None, second: TrainableMask | None) -> TrainableMask | None:
    """What learns by both."""
    if first is None or second is None:
        return first or second
    return lambda params: jax.tree.map(lambda a, b: a and b, first(params), second(params))
