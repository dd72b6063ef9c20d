"""The figures of a protocol: of every fold, and pooled over the predictions of all folds, as MEGC2019 has them.

WAR, the weighted average recall, is the accuracy; UAR, the unweighted one, the mean of the classes' recalls; UF1 the
mean of their F1 (See et al. 2019, MEGC 2019, section IV). Shapes: N examples, K classes, F folds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expressnet_jax.evaluation.metrics import classification_metrics, confusion_matrix, precision_recall_f1
from expressnet_jax.evaluation.seeds import across_seeds

NAMES = {"WAR": "accuracy", "UAR": "balanced_accuracy", "UF1": "macro_f1"}
_RESAMPLES = 2000


def fold_figures(
    probabilities: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return a classifier's figures: pooled, with intervals over people; by fold, with their mean and its interval.

    probabilities float[N,K], labels int[N], fold int[N]; groups [N], who is in each example. The figures of a fold are
    over the classes that it shows.
    """
    whole = classification_metrics(probabilities, labels, classes)
    intervals = bootstrap(labels, probabilities.argmax(1), groups, len(classes))
    pooled = {name: {"value": whole[key], "interval": intervals[name]} for name, key in NAMES.items()}
    rows = []
    for number in np.unique(fold).tolist():
        part = fold == number
        found = classification_metrics(probabilities[part], labels[part], classes)
        rows.append({"fold": number, "tests": int(part.sum())} | {name: found[key] for name, key in NAMES.items()})
    over = {name: across_seeds([row[name] for row in rows]) for name in NAMES}
    _, _, f1 = precision_recall_f1(np.asarray(whole["confusion"]))
    each = dict(zip(classes, map(float, f1), strict=True))
    return {"pooled": pooled, "f1": each, "across_folds": over, "folds": rows, "confusion": whole["confusion"]}


def bootstrap(
    labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray, num_classes: int, seed: int = 0
) -> dict[str, list[float]]:
    """Return the 95 % percentile interval of each pooled figure, over people drawn with replacement.

    People, not examples, are drawn, because a person's examples are alike (Field & Welsh 2007, cluster bootstrap).
    labels, predicted int[N]; groups [N].
    """
    who, person = np.unique(groups, return_inverse=True)
    confusions = np.stack(
        [confusion_matrix(labels[person == i], predicted[person == i], num_classes) for i in range(len(who))]
    )
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(who), np.full(len(who), 1 / len(who)), _RESAMPLES)
    figures = [_from_confusion(confusion) for confusion in np.tensordot(drawn, confusions, 1)]
    return {name: np.percentile([row[name] for row in figures], [2.5, 97.5]).tolist() for name in NAMES}


def _from_confusion(confusion: np.ndarray) -> dict[str, float]:
    _, recall, f1 = precision_recall_f1(confusion)
    support, predicted = confusion.sum(1), confusion.sum(0)
    return {
        "WAR": float(np.trace(confusion) / confusion.sum()),
        "UAR": float(recall[support > 0].mean()),
        "UF1": float(f1[support + predicted > 0].mean()),
    }


def over_seeds(found: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of every seed, and the mean of the pooled ones over seeds with Student's interval."""
    mean = {name: across_seeds([each["pooled"][name]["value"] for each in found.values()]) for name in NAMES}
    return {"across_seeds": mean, "seeds": {str(seed): dict(each) for seed, each in found.items()}}


def table(results: Mapping[str, Any]) -> str:
    """Return the results as Markdown: a line for each classifier, in percent."""
    what = f"{results['examples']:,} examples, {len(results['classes'])} classes"
    lines = [
        f"{results['data']}: {results['protocol']}, {what}; last weights, nothing chosen by a test fold",
        "",
        "| | " + " | ".join(NAMES) + " | WAR over folds |",
        "|---|" + "---|" * (len(NAMES) + 1),
    ]
    for name, row in results["rows"].items():
        for seed, each in row["seeds"].items():
            label = f"{name}, seed {seed}" if row["trained"] else name
            lines.append(_line(label, each))
        if len(row["seeds"]) > 1:
            mean = row["across_seeds"]
            cells = " | ".join(f"{100 * mean[key]['mean']:.1f}" for key in NAMES)
            lines.append(f"| {name}, mean of {len(row['seeds'])} seeds | {cells} | |")
    lines += ["", *_class_lines(results)]
    lines += ["", "In brackets: 95 % over people, by resampling them; over folds: the mean and half of its interval."]
    return "\n".join(lines) + "\n"


def _class_lines(results: Mapping[str, Any]) -> list[str]:
    """Return a table of the F1 of every class, pooled over folds; of several seeds the mean."""
    classes = results["classes"]
    lines = ["| F1, percent | " + " | ".join(classes) + " |", "|---|" + "---|" * len(classes)]
    for name, row in results["rows"].items():
        values = [np.mean([each["f1"][label] for each in row["seeds"].values()]) for label in classes]
        lines.append(f"| {name} | " + " | ".join(f"{100 * value:.1f}" for value in values) + " |")
    return lines


def _line(name: str, each: Mapping[str, Any]) -> str:
    over = each["across_folds"]["WAR"]
    half = "" if over["interval"] is None else f" ± {50 * (over['interval'][1] - over['interval'][0]):.1f}"
    cells = " | ".join(_interval(each["pooled"][key]) for key in NAMES)
    return f"| {name} | {cells} | {100 * over['mean']:.1f}{half} |"


def _interval(found: Mapping[str, Any]) -> str:
    low, high = (100 * bound for bound in found["interval"])
    return f"{100 * found['value']:.1f} ({low:.1f} to {high:.1f})"
