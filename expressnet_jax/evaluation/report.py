"""A result as a table for a terminal."""

from typing import Any

from expressnet_jax.bars import bar

_BAR = 20


def format_table(metrics: dict[str, Any], title: str = "") -> str:
    """Format `evaluate`'s figures as text: the table of emotions, their mean, and what a result is published with.

    A dash marks where a class that no example shows has no figure. Ends without a newline.
    """
    width = max(len("macro mean"), *map(len, metrics["classes"]))
    rows = [_class_row(name, figures, width) for name, figures in metrics["per_class"].items()]
    header = f"{'emotion':<{width}}   precision   recall      F1   support"
    rule = "─" * (len(header) + 3 + _BAR)
    lines = [title, ""] if title else []
    return "\n".join([*lines, header, rule, *rows, rule, _mean_row(metrics, width), "", *_summary(metrics)])


def format_outputs(outputs: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each further output with its metrics."""
    width = max(map(len, outputs))
    shown = lambda metrics: "   ".join(f"{name} {value:.3f}" for name, value in metrics.items() if name != "each")
    return [f"{name:<{width}}   {shown(metrics)}" for name, metrics in outputs.items()]


def _class_row(name: str, figures: dict[str, Any], width: int) -> str:
    shares = [f"{figures[key]:.3f}" if figures["support"] else "–" for key in ("precision", "recall", "f1")]
    cells = [*shares, f"{figures['support']:,}"]
    return f"{_row(name, cells, width)}   {bar(figures['f1'], _BAR)}".rstrip()


def _mean_row(metrics: dict[str, Any], width: int) -> str:
    counted = [figures for figures in metrics["per_class"].values() if figures["support"]]
    precision = sum(figures["precision"] for figures in counted) / len(counted)
    cells = [f"{precision:.3f}", f"{metrics['balanced_accuracy']:.3f}", f"{metrics['macro_f1']:.3f}"]
    return _row("macro mean", [*cells, f"{metrics['count']:,}"], width)


def _row(name: str, cells: list[str], width: int) -> str:
    precision, recall, f1, support = cells
    return f"{name:<{width}}   {precision:>9}   {recall:>6}   {f1:>5}   {support:>7}"


def _summary(metrics: dict[str, Any]) -> list[str]:
    lines = [
        f"accuracy            {_with_interval(metrics)}",
        f"balanced accuracy   {_percent(metrics['balanced_accuracy'])}",
        f"macro-F1            {_percent(metrics['macro_f1'])}   weighted F1 {_percent(metrics['weighted_f1'])}",
        f"calibration error   {_percent(metrics['ece'])}   log loss {metrics['log_loss']:.3f}",
    ]
    if "deduplicated" not in metrics:
        return lines
    return [*lines, f"deduplicated        {_deduplicated(metrics['count'], metrics['deduplicated'])}"]


def _deduplicated(count: int, fresh: dict[str, Any] | None) -> str:
    if fresh is None:
        return "every example has a near-duplicate in train; nothing is left to measure"
    others = f"balanced {100 * fresh['balanced_accuracy']:.2f} %, macro-F1 {100 * fresh['macro_f1']:.2f} %"
    left_out = f"{count - fresh['count']:,} of {count:,} left out: near-duplicates of training images"
    return f"\n{'':21}".join([_with_interval(fresh), others, left_out])


def _with_interval(metrics: dict[str, Any]) -> str:
    low, high = metrics["accuracy_interval"]
    return f"{_percent(metrics['accuracy'])}   95 % interval {100 * low:.2f} to {100 * high:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:6.2f} %"
