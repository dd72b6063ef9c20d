"""Section `fairness`: whether the model is as good for one group as for another.

Shapes: N examples, S shared classes, G groups.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT
from expressnet_jax.data.synthetic.variations import SWEEPS, draw_face
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.metrics import wilson_interval
from expressnet_jax.report.context import Context, progress
from expressnet_jax.report.examples import Examples
from expressnet_jax.report.subject import Subject

FEWEST = 30  # images of a group
KEY = "key"


def fairness_section(context: Context) -> dict[str, Any]:
    """Return the groups of every attribute in every data set that has it, and the sweeps over generated faces."""
    found = []
    for examples in context.data:
        rows = context.probabilities(context.subject, examples)
        for name, values in attribute_columns(context.attributes, examples).items():
            groups = group_metrics(examples.labels, rows.argmax(1), values, examples.classes)
            found.append({"attribute": name, "name": examples.name, "split": examples.split} | groups)
    return {"attributes": found, "generated": _generated_groups(context.subject, context.budget.people)}


def check_attributes(names: Sequence[str], data: Sequence[Examples]) -> None:
    """Raise UserError for an attribute that no data set has, or that has fewer than two groups."""
    for name in names:
        columns = [attribute_columns([name], examples) for examples in data]
        if not any(columns) and name.endswith(".csv"):
            raise UserError(
                f"--attributes {name}: no key in it is one of {', '.join(each.name for each in data)}, whose keys are"
                f" like {data[0].keys[0]}"
            )
        if not any(columns):
            valid = sorted({each for examples in data for each, column in examples.columns.items() if column.ndim == 1})
            raise UserError(
                f"--attributes: no column {name!r}; there are {', '.join(valid) or 'none'}; or give a CSV file"
            )
        for examples, found in zip(data, columns, strict=True):
            for column, values in found.items():
                if len(large_groups(values)) < 2:
                    raise UserError(
                        f"--attributes: {column} of {examples.name} has fewer than two groups of {FEWEST} images"
                    )


def attribute_columns(names: Sequence[str], examples: Examples) -> dict[str, np.ndarray]:
    """Return the attributes of a data set's examples: name -> str[N], empty text where nothing is known."""
    found: dict[str, np.ndarray] = {}
    for name in names:
        if name.endswith(".csv"):
            found |= _from_csv(Path(name), examples)
        elif (column := examples.columns.get(name)) is not None and column.ndim == 1:
            found[name] = column.astype(str)
    return found


def _from_csv(path: Path, examples: Examples) -> dict[str, np.ndarray]:
    """Return the columns of a CSV file with a column `key`, joined to the examples by it; none if no key is known."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--attributes {path}: can't be read ({error}); give a CSV file with a column key") from error
    if not rows or KEY not in rows[0]:
        raise UserError(f"--attributes {path}: has no column {KEY!r}; it joins a row to an image")
    known = {row[KEY]: row for row in rows}
    if not any(str(key) in known for key in examples.keys):
        return {}
    values = lambda name: np.array([known.get(str(key), {}).get(name) or "" for key in examples.keys])
    return {name: values(name) for name in rows[0] if name != KEY}


def large_groups(values: np.ndarray) -> list[str]:
    """Return the values of an attribute str[N] that FEWEST examples or more have, in order; empty text is none."""
    names, counts = np.unique(values, return_counts=True)
    return [str(name) for name, count in zip(names, counts, strict=True) if count >= FEWEST and name != ""]


def group_metrics(
    labels: np.ndarray, predicted: np.ndarray, values: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Return accuracy with interval, recall and positive rate of each group, and the largest gaps between groups.

    labels and predicted int[N], values str[N]. Accuracies by group and their gap are fairlearn's MetricFrame; groups of
    fewer than FEWEST are left out.
    """
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import accuracy_score

    large = large_groups(values)
    kept = np.isin(values, large)
    labels, predicted, values = labels[kept], predicted[kept], values[kept]
    frame = MetricFrame(metrics=accuracy_score, y_true=labels, y_pred=predicted, sensitive_features=values)
    groups = {}
    for name in large:
        own = values == name
        groups[name] = {"count": int(own.sum()), "accuracy": float(frame.by_group[name])}
        groups[name] |= _one_group(labels[own], predicted[own], classes)
    odds = equalized_odds(labels, predicted, values, classes)
    worst = max(odds, key=odds.__getitem__) if odds else None
    return {
        "groups": groups,
        "accuracy_gap": float(frame.difference()),
        "equalized_odds": odds,
        "equalized_odds_gap": odds[worst] if worst else None,
        "worst_class": worst,
        "left_out": int((~kept).sum()),
        "fewest": FEWEST,
    }


def equalized_odds(
    labels: np.ndarray, predicted: np.ndarray, values: np.ndarray, classes: Sequence[str]
) -> dict[str, float]:
    """Return for each class against the others the larger of the groups' largest differences in true- and
    false-positive rate (Hardt et al. 2016), of the classes that every group shows."""
    from fairlearn.metrics import equalized_odds_difference

    names = np.unique(values)
    return {
        each: float(equalized_odds_difference(labels == i, predicted == i, sensitive_features=values))
        for i, each in enumerate(classes)
        if all((labels[values == name] == i).any() for name in names)
    }


def _one_group(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return what is known of one group besides its accuracy."""
    from fairlearn.metrics import selection_rate

    hits = int((labels == predicted).sum())
    shown = np.unique(labels)
    return {
        "interval": list(wilson_interval(hits, len(labels))),
        "balanced_accuracy": float(np.mean([(predicted[labels == label] == label).mean() for label in shown])),
        "recall": {each: _recall(labels, predicted, i) for i, each in enumerate(classes)},
        "positive_rate": {each: float(selection_rate(labels == i, predicted == i)) for i, each in enumerate(classes)},
    }


def _generated_groups(subject: Subject, people: int) -> dict[str, Any]:
    """Return the accuracies of every sweep: each person with each expression at every value."""
    known = [name for name in BASIC if name in subject.classes]
    sweeps = {}
    for name, sweep in progress(list(SWEEPS.items()) if len(known) > 1 else [], "generated faces"):
        answers = np.stack([_answers(subject, people, known, name, value) for value in sweep.values])
        sweeps[name] = {"title": sweep.title, "axis": sweep.axis} | sweep_figures(answers, known, people, sweep.values)
    return {"people": people, "expressions": known, "sweeps": sweeps}


def sweep_figures(answers: np.ndarray, known: Sequence[str], people: int, values: Sequence[Any]) -> dict[str, Any]:
    """Return accuracies by value, their gap, the share of faces whose answer changes, and the equalised-odds gap.

    answers int[V,M] are positions in `known` of V values and M faces, a person's expressions one after the other.
    """
    labels = np.tile(np.arange(len(known)), people)
    hits = (answers == labels).sum(1)
    rows = [
        {"value": value, "accuracy": n / len(labels), "interval": list(wilson_interval(int(n), len(labels)))}
        for value, n in zip(values, hits.tolist(), strict=True)
    ]
    shares = [row["accuracy"] for row in rows]
    names = np.repeat(np.array([f"{i}" for i in range(len(values))]), len(labels))
    found = {"rows": rows, "lowest": min(shares), "highest": max(shares), "gap": max(shares) - min(shares)}
    found["changed"] = float((answers != answers[0]).any(0).mean())
    grouped = group_metrics(np.tile(labels, len(values)), answers.ravel(), names, known) if people >= FEWEST else {}
    found["equalized_odds_gap"] = grouped.get("equalized_odds_gap")
    found["worst_class"] = grouped.get("worst_class")
    return found


def _answers(subject: Subject, people: int, known: Sequence[str], what: str, value: Any) -> np.ndarray:
    size, _, channels = subject.image_shape
    emotions = [WITH_CONTEMPT.index(name) for name in known]
    faces = [
        draw_face(number, emotion, size, channels, what, value) for number in range(people) for emotion in emotions
    ]
    columns = [subject.classes.index(name) for name in known]
    return subject.probabilities(np.stack(faces))[:, columns].argmax(1)


def _recall(labels: np.ndarray, predicted: np.ndarray, label: int) -> float | None:
    own = labels == label
    return float((predicted[own] == label).mean()) if own.any() else None
