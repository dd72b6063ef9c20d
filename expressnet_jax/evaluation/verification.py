"""Do two images show the same person? The protocol of LFW (Huang et al. 2007), on pairs with people in folds.

Shapes: N images, D features, P pairs.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from expressnet_jax.errors import UserError


class Pairs(NamedTuple):
    """first, second int64[P]: places of the two images; same bool[P]; fold int64[P]: no person is in two folds."""

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    fold: np.ndarray


def make_pairs(people: np.ndarray, folds: int = 10, per_fold: int = 300, seed: int = 0) -> Pairs:
    """Draw in each fold up to `per_fold` pairs of one person and as many of two, from images of `people` [N]. There
    are fewer folds where not every one would have two people.

    Raises:
      UserError: too few people with two images to have such pairs in two folds.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, len(people)]))
    names, person = np.unique(people, return_inverse=True)
    folds = min(folds, len(names) // 2)
    fold_of = rng.permutation(len(names)) % max(folds, 1)
    parts = [_fold_pairs(person, np.flatnonzero(fold_of == fold), per_fold, rng) for fold in range(folds)]
    if sum(len(part) > 0 for part in parts) < 2:
        raise UserError(
            f"{len(names)} people are too few to verify: two folds with two people of two images each are needed;"
            " hold more people out"
        )
    rows = np.concatenate([np.c_[part, np.full(len(part), fold)] for fold, part in enumerate(parts) if len(part)])
    return Pairs(rows[:, 0], rows[:, 1], rows[:, 2] == 1, rows[:, 3])


def _fold_pairs(person: np.ndarray, members: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """int64[P,3]: first, second, same; as many of two people as of one."""
    images = np.flatnonzero(np.isin(person, members))
    one, other = np.triu_indices(len(images), k=1)
    same = person[images[one]] == person[images[other]]
    count = min(most, int(same.sum()), int((~same).sum()))
    chosen = [rng.permutation(np.flatnonzero(same == kind))[:count] for kind in (True, False)]
    rows = np.concatenate(chosen)
    return np.c_[images[one[rows]], images[other[rows]], same[rows]].astype(np.int64)


def listed_pairs(rows: Sequence[Sequence[str]], keys: Iterable[str]) -> Pairs:
    """Return the pairs of a pairs.txt: [person, number, person, number, fold] -> places among images with these `keys`,
    which end in PERSON_NUMBER and four digits (Aaron_Eckhart_0001.jpg).

    Raises:
      UserError: an image that is not there.
    """
    place = {key.rsplit("/", 1)[-1].rsplit(".", 1)[0]: i for i, key in enumerate(keys)}
    try:
        found = [
            (place[f"{a}_{int(i):04d}"], place[f"{b}_{int(j):04d}"], a == b, int(fold)) for a, i, b, j, fold in rows
        ]
    except KeyError as missing:
        raise UserError(f"pairs: no image {missing.args[0]} among the held-out people; prepare the set again") from None
    first, second, same, fold = np.array(found, np.int64).T
    return Pairs(first, second, same == 1, fold)


def similarities(features: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Return the cosines float64[P] of the features float[N,D] of each pair."""
    x = features.astype(np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return (x[pairs.first] * x[pairs.second]).sum(1)


def verification(scores: np.ndarray, pairs: Pairs) -> dict[str, Any]:
    """Return the accuracy on each fold at the threshold that is best on all others: mean and standard error; and the
    share of same pairs found where one different pair in a hundred, or in a thousand, is taken for the same."""
    folds = [fold for fold in np.unique(pairs.fold) if (pairs.fold == fold).any()]
    accuracies = []
    for fold in folds:
        test = pairs.fold == fold
        threshold = best_threshold(scores[~test], pairs.same[~test])
        accuracies.append(float(((scores[test] >= threshold) == pairs.same[test]).mean()))
    different = np.sort(scores[~pairs.same])
    found_at = lambda rate: float((scores[pairs.same] > np.quantile(different, 1 - rate)).mean())
    return {
        "verification": float(np.mean(accuracies)),
        "standard_error": float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))),
        "found_at_1_percent": found_at(0.01),
        "found_at_0.1_percent": found_at(0.001),
        "pairs": len(scores),
        "folds": len(folds),
    }


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """Return the threshold with the most pairs right where `scores >= threshold` means the same; half-way between
    scores."""
    order = np.argsort(scores, kind="stable")
    ordered, truth = scores[order], same[order]
    # Cut before position i: those before it are called different, the others the same.
    right = np.r_[0, np.cumsum(~truth)] + np.r_[np.cumsum(truth[::-1])[::-1], 0]
    possible = np.r_[True, ordered[1:] > ordered[:-1], True]
    cut = int(np.argmax(np.where(possible, right, -1)))
    ends = np.r_[ordered[0] - 1, ordered, ordered[-1] + 1]
    return float((ends[cut] + ends[cut + 1]) / 2)
