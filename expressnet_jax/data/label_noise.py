"""Wrong labels on purpose, to measure what they cost. Shapes: N examples, K classes."""

import numpy as np

from expressnet_jax.data.prepared import Split

_DRAW = 0x6C6162  # tells this draw from the others of the same seed


def with_flipped_labels(split: Split, count: int, seed: int) -> Split:
    """Return the split with `count` labels changed, each to one of the other classes, all equally likely (symmetric
    noise; Zhang et al. 2017, "Understanding deep learning requires rethinking generalization").

    Which examples and which classes follow from `seed` and the labels alone. Where annotators voted, their shares for
    the old and the new class change places, so that votes don't give the true class away. Further targets stay.
    """
    if not count:
        return split
    rows, labels = np.arange(len(split)), flipped(split.labels, len(split.classes), count, seed)
    changed: dict[str, np.ndarray] = {"label": labels}
    if split.votes is not None:
        changed["votes"] = votes = split.votes.copy()
        votes[rows, split.labels], votes[rows, labels] = split.votes[rows, labels], split.votes[rows, split.labels]
    return split.with_targets({}, changed)


def flipped(labels: np.ndarray, classes: int, count: int, seed: int) -> np.ndarray:
    """Return labels int[N] with `count` of them, none that is missing (-1), moved on by 1 to `classes` - 1 classes."""
    generator = np.random.default_rng([_DRAW, seed])
    order = generator.permutation(len(labels))  # one order for all counts: more noise changes these labels and others
    moves = generator.integers(1, classes, len(labels), dtype=labels.dtype)
    chosen = order[labels[order] >= 0][:count]
    changed = labels.copy()
    changed[chosen] = (labels[chosen] + moves[chosen]) % classes
    return changed
