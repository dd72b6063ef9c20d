"""Section `data`: what is wrong with the examples themselves, by the audit and by the model's own doubts.

Shapes: N examples, S classes.
"""

import warnings
from typing import Any

import numpy as np

from expressnet_jax.report.context import Context
from expressnet_jax.report.examples import Examples

LISTED = 20


def data_section(context: Context) -> dict[str, Any]:
    """Return class balance, the audit's findings, and likely label errors of every data set."""
    pairs = zip(context.data, context.audits, strict=True)
    return {"data": [one_data_set(context, examples, audit) for examples, audit in pairs]}


def one_data_set(context: Context, examples: Examples, audit: dict[str, Any] | None) -> dict[str, Any]:
    """Return what is known of one data set's examples."""
    counts = np.bincount(examples.labels, minlength=len(examples.classes))
    found: dict[str, Any] = {"name": examples.name, "split": examples.split, "count": len(examples)}
    found["classes"] = dict(zip(examples.classes, counts.tolist(), strict=True))
    found["imbalance"] = float(counts.max() / max(counts[counts > 0].min(), 1))
    found["audit"] = audit_summary(audit, examples.split) if audit else None
    rows = context.probabilities(context.subject, examples)
    found["label_errors"] = label_errors(rows, examples)
    return found


def audit_summary(report: dict[str, Any], split: str) -> dict[str, Any]:
    """Return the findings of `expressnet audit` that bear on one split."""
    within = lambda kind: report[kind]["within"].get(split, 0)
    return {
        "equal_groups": within("exact"),
        "near_equal": within("near"),
        "near_equal_in_train": len(report["leaked"].get(split, [])),
        "equal_in_train": len(report["leaked_exact"].get(split, [])),
        "equal_images_with_different_labels": report["conflicts"]["exact"],
        "blank": len(report["blank"].get(split, [])),
    }


def label_errors(rows: np.ndarray, examples: Examples) -> dict[str, Any]:
    """Return the examples whose label is probably wrong, by confident learning (Northcutt et al. 2021; cleanlab).

    rows float[N,S] must come from a model that was not trained on these labels. Classes without examples are left out.
    `worst` names the likeliest ones: key, label, what the model says, and the probability of the label.
    """
    from cleanlab.filter import find_label_issues

    shown, labels = np.unique(examples.labels, return_inverse=True)
    part = rows[:, shown].astype(np.float64)
    part /= part.sum(1, keepdims=True)
    with warnings.catch_warnings():  # of classes with few examples, which the report counts
        warnings.filterwarnings("ignore", "May not flag all label issues", UserWarning)
        ranked = find_label_issues(labels, part, return_indices_ranked_by="self_confidence", n_jobs=1)
    names = [examples.classes[i] for i in shown]
    worst = [
        {
            "key": str(examples.keys[i]),
            "label": names[labels[i]],
            "predicted": names[int(part[i].argmax())],
            "probability_of_label": float(part[i, labels[i]]),
        }
        for i in ranked[:LISTED]
    ]
    by_class = np.bincount(labels[ranked], minlength=len(names)) if len(ranked) else np.zeros(len(names), int)
    return {
        "count": len(ranked),
        "share": len(ranked) / len(labels),
        "by_class": dict(zip(names, by_class.tolist(), strict=True)),
        "worst": worst,
    }
