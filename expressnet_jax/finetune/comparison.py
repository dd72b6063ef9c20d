"""Is the fine-tuned network better than the one it began with? Figures of both on held-out faces, and in words."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from expressnet_jax.data.duplicates import is_blank, near_pairs
from expressnet_jax.data.label_matching import labels_in
from expressnet_jax.data.prepared import Split
from expressnet_jax.data.scan import scan
from expressnet_jax.evaluation.metrics import classification_metrics
from expressnet_jax.training.checkpoints.evaluate_checkpoint import evaluate_checkpoint
from expressnet_jax.training.checkpoints.reading import Checkpoint

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1")


def compare(origin: Checkpoint, tuned: Checkpoint, train: Split, judged: Split) -> dict[str, Any]:
    """Compare both checkpoints on the held-out faces, and what changed on those whose class the first one knows too."""
    leaked = repeated(train, judged)
    after = evaluate_checkpoint(tuned, judged, leaked=leaked)
    report = {"repeated": len(leaked), "before": None, "after": after.figures}
    known = np.flatnonzero(labels_in(judged, origin.classes) >= 0)
    if not len(known):
        return report
    before = evaluate_checkpoint(origin, judged, leaked=leaked)
    was, now = (found.probabilities.argmax(1) == found.labels for found in (before, after))
    came, went = int((now[known] & ~was).sum()), int((was & ~now[known]).sum())
    same = classification_metrics(after.probabilities[known], after.labels[known], tuned.classes)
    change = {"came_right": came, "went_wrong": went, "p_value": sign_test(came, went)}
    return report | {"before": before.figures, "after_on_known": same, "change": change}


def repeated(train: Split, judged: Split) -> list[int]:
    """Return the held-out faces, as positions in their split, that have an equal or near-equal one in training: bursts,
    copies."""
    rows = scan({"train": train, "judged": judged})
    first, second = rows.distinct[: len(train)], rows.distinct[len(train) :]
    alike = np.zeros(len(rows.first), bool)  # of the distinct images: known from training
    alike[first] = True
    learned = alike.copy()
    comparable = np.flatnonzero(~is_blank(rows.thumbnails))
    for pairs in near_pairs(rows.thumbnails[comparable]):
        for a, b in ((pairs.first, pairs.second), (pairs.second, pairs.first)):
            alike[comparable[a[learned[comparable[b]]]]] = True
    return judged.indices[alike[second]].tolist()


def sign_test(came: int, went: int) -> float:
    """Return how often fair coins would be as one-sided as this: the exact McNemar test, two-sided."""
    tosses = came + went
    tail = sum(math.comb(tosses, k) for k in range(min(came, went) + 1))
    return min(1.0, 2 * tail / 2**tosses)


def table(report: Mapping[str, Any]) -> str:
    """Format before and after, and what the difference is worth."""
    after, before, heldout = report["after"], report["before"], report["heldout"]
    rows = {"fine-tuned": after}
    if before:
        same = before["count"] == after["count"]
        rows = {"before": before} | ({} if same else {"fine-tuned, the same": report["after_on_known"]}) | rows
    lines = [f"held out: {after['count']:,} faces ({heldout['split']})", ""]
    lines.append(f"{'':22}faces   accuracy   95 % interval   balanced   macro-F1")
    for name, found in rows.items():
        low, high = (100 * bound for bound in found["accuracy_interval"])
        accuracy, balanced, f1 = (100 * found[figure] for figure in FIGURES)
        lines.append(
            f"{name:<22}{found['count']:>5,}   {accuracy:6.1f} %   {low:5.1f} to {high:5.1f}   {balanced:6.1f} %"
            f"   {f1:6.1f} %"
        )
    return "\n".join([*lines, "", *words(report)])


def words(report: Mapping[str, Any]) -> list[str]:
    """Return what the figures can't say by themselves."""
    sentences, after = [], report["after"]
    if change := report.get("change"):
        sentences.append(_verdict(change, after))
    else:
        sentences.append("The checkpoint knew none of these classes: there is no before to compare with.")
    if report["heldout"]["chose_the_epoch"]:
        sentences.append(
            "These faces chose the epoch as well, which flatters; a folder test/ next to train/ would not."
        )
    if report["repeated"]:
        rest = after["deduplicated"]
        left = f"without them {100 * rest['accuracy']:.1f} % of {rest['count']:,}" if rest else "nothing else is left"
        sentences.append(f"{report['repeated']:,} of them have an equal or near-equal face in training; {left}.")
    return sentences


def _verdict(change: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    counted = f"{change['came_right']:,} came right, {change['went_wrong']:,} went wrong"
    counted += f" (sign test p = {change['p_value']:.2g})"
    if change["p_value"] >= 0.05:
        low, high = after["accuracy_interval"]
        return (
            f"{counted}: too few to tell from chance; the interval is {100 * (high - low):.0f} points wide, and more"
            " held-out faces narrow it."
        )
    if change["came_right"] > change["went_wrong"]:
        return f"{counted}: better than chance explains."
    return f"{counted}: worse. Keep the checkpoint, or give more images or a lower --learning_rate."
