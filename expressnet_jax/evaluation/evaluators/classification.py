"""Metrics of a class that is not the main one. Shapes: N examples, K classes.

Outputs are probabilities float[N,K], targets labels float[N,1], -1 where an example has none.
"""

from collections.abc import Callable

import numpy as np

from expressnet_jax.evaluation.metrics import classification_metrics


def _figure(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the figure `name` of `classification_metrics`, over the examples that have a label."""

    def metric(output: np.ndarray, target: np.ndarray) -> float:
        labels = target[:, 0].astype(np.int64)
        known = labels >= 0
        if not known.any():
            return float("nan")
        classes = [str(number) for number in range(output.shape[1])]
        return float(classification_metrics(output[known], labels[known], classes)[name])

    return metric


METRICS = {name: _figure(name) for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")}
SELECTING = ("accuracy", "balanced_accuracy", "macro_f1")
