"""Section `figures`: how good the model is, with intervals, by class, without near-duplicates, against another model.

Shapes: N examples, S shared classes.
"""

from typing import Any

import numpy as np

from expressnet_jax.evaluation.evaluate import summarise
from expressnet_jax.evaluation.seeds import read_run, summarise_runs
from expressnet_jax.report.comparison import compare_predictions
from expressnet_jax.report.context import Context
from expressnet_jax.report.examples import Examples
from expressnet_jax.report.subject import Subject

MAIN = ("count", "accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1", "log_loss", "ece")


def figures_section(context: Context) -> dict[str, Any]:
    """Return the figures of every data set, the comparison with `--against`, and several seeds where runs are given."""
    found: dict[str, Any] = {"data": [one_data_set(context, examples) for examples in context.data]}
    if context.runs:
        summary = summarise_runs({str(path): read_run(path) for path in context.runs})
        found["seeds"] = {key: summary[key] for key in ("across_seeds", "data", "split", "count")}
        found["seeds"]["seeds"] = [row["seed"] for row in summary["seeds"]]
    return found


def one_data_set(context: Context, examples: Examples) -> dict[str, Any]:
    """Return the metrics of one data set: `summarise`'s, what was left out, and what is known of how it was used."""
    rows = context.probabilities(context.subject, examples)
    metrics = summarise(rows, examples.labels, examples.index, examples.classes, examples.leaked)
    fresh = metrics.pop("deduplicated", None)
    metrics["deduplicated"] = {key: fresh[key] for key in MAIN} if fresh else None
    metrics |= {"name": examples.name, "split": examples.split, "audited": examples.leaked is not None}
    metrics |= {"left_out": examples.left_out, "model_classes_left_out": list(examples.model_classes_left_out)}
    metrics["use"] = _use_of_split(context.subject, examples)
    if context.other is not None:
        theirs = context.probabilities(context.other, examples)
        metrics["against"] = compare_predictions(rows, theirs, examples.labels, examples.classes)
        metrics["against"]["name"] = context.other.label
    return metrics


def _use_of_split(subject: Subject, examples: Examples) -> str:
    """Return how the training of a model used this split, as far as the file says, in one sentence."""
    trained = str(subject.facts.get("trained_on", "")).partition("@")[0]
    same_images = {"fer2013", "ferplus"}  # the same images, other labels
    if trained != examples.name and not {trained, examples.name} <= same_images:
        return f"another data set than the one trained on ({trained or 'unknown'})"
    if examples.split == "validation" and subject.facts.get("selected_on") == "holdout":
        return "not seen in training; a part held out of train selected the epoch"
    if examples.split == "validation" and subject.facts.get("kind") == "baseline":
        return "not seen in fitting and selected nothing"
    if examples.split == "validation":
        return "selected the epoch during training, so these figures flatter a little"
    if examples.split == "train":
        return "the model was trained on these images, so the figures are no measure of new ones"
    return "not seen in training and selected nothing" if examples.split == "test" else "of the data set trained on"


def accuracy(rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of examples whose likeliest class is the label; rows float[N,S], labels int[N]."""
    return float((rows.argmax(1) == labels).mean())
