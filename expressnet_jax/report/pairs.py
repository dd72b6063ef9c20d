"""Section `pairs`: the expressions that are taken for one another, by the model and by annotators.

Shapes: N examples, S classes.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import entr
from scipy.stats import spearmanr

from expressnet_jax.evaluation.metrics import confusion_matrix, wilson_interval
from expressnet_jax.report.context import Context
from expressnet_jax.report.examples import Examples

LISTED = 8
_AGREEMENT = ((0.0, 0.5), (0.5, 0.65), (0.65, 0.8), (0.8, 0.95), (0.95, 1.01))  # share of the commonest vote
CLEAR = 0.8  # at least 8 of 10 annotators


def pairs_section(context: Context) -> dict[str, Any]:
    """Return the confused pairs of every data set, and the comparison with annotators where there are votes."""
    return {"data": [one_data_set(context, examples) for examples in context.data]}


def one_data_set(context: Context, examples: Examples) -> dict[str, Any]:
    """Return the pairs of one data set, the most confused first."""
    rows = context.probabilities(context.subject, examples).astype(np.float64)
    votes = examples.columns.get("votes")
    found: dict[str, Any] = {"name": examples.name, "split": examples.split, "count": len(examples)}
    found["pairs"] = confused_pairs(rows.argmax(1), examples.labels, examples.classes, votes)[:LISTED]
    agreement = examples.columns.get("agreement")
    found["annotators"] = against_votes(rows, votes, examples.labels, agreement) if votes is not None else None
    return found


def confused_pairs(
    predicted: np.ndarray, labels: np.ndarray, classes: Sequence[str], votes: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Return how often two classes are taken for one another, each pair once, the most confused first.

    `confusion` is the mean of both directions' shares, `first_as_second` of the first class's examples that are called
    the second. `annotators` is the same with the mean share of votes float[N,S] in place of answers.
    """
    counts = confusion_matrix(labels, predicted, len(classes))
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    voted = _vote_shares(votes, labels, len(classes)) if votes is not None else None
    present = np.flatnonzero(counts.sum(1))
    rows = []
    for a, b in combinations(present.tolist(), 2):
        row = {"first": classes[a], "second": classes[b], "confusion": float((share[a, b] + share[b, a]) / 2)}
        row |= {"first_as_second": float(share[a, b]), "second_as_first": float(share[b, a])}
        row |= {"errors": int(counts[a, b] + counts[b, a])}
        row["annotators"] = float((voted[a, b] + voted[b, a]) / 2) if voted is not None else None
        rows.append(row)
    return sorted(rows, key=lambda row: -row["confusion"])


def _vote_shares(votes: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return float64[S,S]: the mean share of the votes for each class, over the examples of each label."""
    shares = np.zeros((num_classes, num_classes))
    for label in np.unique(labels):
        shares[label] = np.nanmean(votes[labels == label], axis=0)
    return shares


def against_votes(
    rows: np.ndarray, votes: np.ndarray, labels: np.ndarray, agreement: np.ndarray | None = None
) -> dict[str, Any]:
    """Return whether the model doubts where annotators do.

    rows and votes float[N,S]; agreement float[N] is the commonest answer's share of all votes, by default of those for
    the S classes. `spearman` is the rank correlation of the entropies of answer and votes, with its p-value under
    independence; `by_agreement` the accuracy by the share of the commonest vote; `clear` where that is 0.8.
    """
    known = np.isfinite(votes).all(1)
    agreement = (votes.max(1) if agreement is None else agreement)[known]
    rows, votes, labels = rows[known], votes[known], labels[known]
    if len(labels) < 3:
        return {"count": len(labels)}
    right = rows.argmax(1) == labels
    correlation = spearmanr(entr(rows).sum(1), entr(votes).sum(1))
    clear = agreement >= CLEAR - 1e-9
    return {
        "count": len(labels),
        "spearman": float(correlation.statistic),
        "p_value": float(correlation.pvalue),
        "kullback_leibler": float(kullback_leibler(votes, rows).mean()),
        "by_agreement": [_share(low, high, agreement, right) for low, high in _AGREEMENT],
        "clear": {"count": int(clear.sum()), **_with_interval(right[clear])},
        "unclear": {"count": int((~clear).sum()), **_with_interval(right[~clear])},
    }


def kullback_leibler(votes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return sum votes log(votes / rows) of float[N,S] each, float64[N] in nats; no probability is below 1e-7."""
    rows = np.maximum(rows, 1e-7)
    return -entr(votes).sum(1) - (votes * np.log(rows)).sum(1)


def _share(low: float, high: float, agreement: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    inside = (agreement >= low - 1e-9) & (agreement < high - 1e-9)
    return {"from": low, "to": min(high, 1.0), "count": int(inside.sum()), **_with_interval(right[inside])}


def _with_interval(right: np.ndarray) -> dict[str, Any]:
    if not len(right):
        return {"accuracy": None, "interval": None}
    return {"accuracy": float(right.mean()), "interval": list(wilson_interval(int(right.sum()), len(right)))}
