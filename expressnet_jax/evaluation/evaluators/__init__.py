"""EVALUATORS: kind of field -> its metrics by name. A new metric is one function and one line in its kind's file.

An evaluator compares an output with a target over a whole split; an example whose target is missing (-1, NaN) counts
nothing.
"""

from collections.abc import Callable, Mapping

import numpy as np

from expressnet_jax.data.fields import Field
from expressnet_jax.evaluation.evaluators import classification, multilabel, points, regression

Metric = Callable[[np.ndarray, np.ndarray], float]

EVALUATORS: dict[str, Mapping[str, Metric]] = {
    "class": classification.METRICS,
    "vector": regression.METRICS,
    "points": points.METRICS,
    "multilabel": multilabel.METRICS,
}
# What can select the best checkpoint: of these the highest wins.
SELECTING = {
    "class": classification.SELECTING,
    "vector": regression.SELECTING,
    "points": points.SELECTING,
    "multilabel": multilabel.SELECTING,
}


def evaluate_output(output: np.ndarray, target: np.ndarray, field: Field) -> dict[str, float]:
    """Return every metric of an output's kind: output and target float[N,...] -> metric name -> value.

    Outputs are as the network gives them, of a class probabilities; the target of a class is a label int[N]. A metric
    that no example says anything about is NaN.
    """
    flat = lambda x: np.asarray(x, np.float64).reshape(len(x), -1)
    return {name: float(metric(flat(output), flat(target))) for name, metric in EVALUATORS[field.kind].items()}


def value_metrics(output: np.ndarray, target: np.ndarray, field: Field) -> dict[str, dict[str, float]]:
    """Return every metric for each named value by itself: value name -> metric name -> value; none for a class."""
    if field.kind == "class":
        return {}
    columns = [(name, slice(i, i + 1)) for i, name in enumerate(field.names)]
    return {name: known(evaluate_output(output[:, at], target[:, at], field)) for name, at in columns}


def known(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that some example says something about."""
    return {name: value for name, value in metrics.items() if np.isfinite(value)}
