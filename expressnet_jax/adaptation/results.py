"""The harness's runs as one set of figures and one table."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from expressnet_jax.adaptation.domains import Domains
from expressnet_jax.adaptation.report import ROLES, digest, list_examples
from expressnet_jax.environment import machine
from expressnet_jax.evaluation.seeds import across_seeds, percent_across

FIGURES = ("balanced_accuracy", "accuracy", "macro_f1")
_BOUNDS = ("checkpoint", "source_only", "supervised", "oracle")  # what is no unsupervised adaptation


class Comparison(NamedTuple):
    """What a harness compares.

    Attributes:
      overrides: config keys (train.epochs) and their values, for every run.
      weights: multiples of each method's default weight, tried with the first seed; `criterion` chooses between them.
    """

    source: str
    targets: Sequence[str]
    init_from: str
    methods: Sequence[str]
    seeds: int
    overrides: Mapping[str, Any]
    weights: Sequence[float] = (1.0,)
    criterion: str = "mutual_information"


def gather(rows: Mapping[str, Mapping[str, Any]], plan: Comparison, target: Mapping[str, Any]) -> dict[str, Any]:
    """Return all figures of one target, with the facts of `describe_target`.

    A gain is over `source_only` of the same seed, in held-out balanced accuracy; `best`
    is the unsupervised method with the largest mean gain."""
    base = rows.get("source_only", {}).get("runs", [])
    methods = {name: row if "error" in row else _summary(row, base) for name, row in rows.items()}
    gains = {
        name: row["gain"]["mean"]
        for name, row in methods.items()
        if name not in _BOUNDS and row.get("gain") is not None
    }
    return {
        "source": plan.source,
        **target,
        "init_from": str(plan.init_from),
        "seeds": plan.seeds,
        "criterion": plan.criterion,
        "weights": list(plan.weights),
        "overrides": dict(plan.overrides),
        "machine": machine(),
        "best": max(gains, key=gains.__getitem__, default=None),
        "methods": methods,
    }


def describe_target(name: str, domains: Domains) -> dict[str, Any]:
    """Return what every method is judged on: the shared classes, and the lists of images by number and SHA-256."""
    examples = {role: {"count": len(lines), "sha256": digest(lines)} for role, lines in list_examples(domains).items()}
    return {
        "target": name,
        "classes": list(domains.classes),
        "examples": examples,
        "left_out": domains.left_out,
    }


def _summary(row: Mapping[str, Any], base: list[dict[str, Any]]) -> dict[str, Any]:
    runs = row["runs"]
    summary: dict[str, Any] = {
        role: {name: across_seeds([run[role][name] for run in runs]) for name in FIGURES} for role in ROLES
    }
    summary["recall"] = {
        name: sum(run["heldout"]["per_class"][name]["recall"] for run in runs) / len(runs)
        for name in runs[0]["heldout"]["classes"]
    }
    summary["confusion"] = runs[0]["heldout"]["confusion"]
    summary |= {name: row[name] for name in ("weight", "tried") if name in row}
    paired = {run["seed"]: run["heldout"]["balanced_accuracy"] for run in base}
    differences = [run["heldout"]["balanced_accuracy"] - paired[run["seed"]] for run in runs if run["seed"] in paired]
    summary["gain"] = across_seeds(differences) if differences else None
    summary["per_seed"] = {str(run["seed"]): run["heldout"]["balanced_accuracy"] for run in runs}
    return summary


def format_table(figures: Mapping[str, Any]) -> str:
    """Return a Markdown table, a row for each method; percent, mean and half the width of the 95 % interval of the
    seeds."""
    seen, heldout = (figures["examples"][role]["count"] for role in ROLES)
    lines = [
        f"{figures['source']} to {figures['target']}: {', '.join(figures['classes'])}; {seen:,} images to adapt on,"
        f" {heldout:,} held out; {figures['seeds']} seeds",
        "",
        "| method | balanced, held out | gain | accuracy | macro-F1 | balanced, transductive | weight |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in figures["methods"].items():
        if "error" in row:
            lines.append(f"| {name} | not possible: {row['error']} | | | | | |")
            continue
        held, weight = row["heldout"], row.get("weight")
        cells = [percent_across(held[figure]) for figure in FIGURES]
        cells.insert(1, percent_across(row["gain"], "+"))
        cells.append(percent_across(row["transductive"]["balanced_accuracy"]))
        lines.append(f"| {name} | {' | '.join(cells)} | {'' if weight is None else f'{weight:g}'} |")
    return "\n".join([*lines, "", _legend(figures), "", *_recalls(figures), ""])


def _recalls(figures: Mapping[str, Any]) -> list[str]:
    """Explain the figures: the share of each class that is found, and how frequent the class is. An alignment of
    domains whose classes are not equally frequent moves frequent classes into rare ones."""
    rows = {name: row for name, row in figures["methods"].items() if "error" not in row}
    counts = [sum(row) for row in rows["checkpoint"]["confusion"]]
    head = [
        f"{name} ({100 * count / sum(counts):.0f} %)" for name, count in zip(figures["classes"], counts, strict=True)
    ]
    lines = [f"| recall, held out | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join(f'{100 * value:.0f}' for value in row['recall'].values())} |")
    return lines


def _legend(figures: Mapping[str, Any]) -> str:
    best, chosen = figures["best"], ""
    if len(figures["weights"]) > 1:
        chosen = f" Weights were chosen by `{figures['criterion']}` among {figures['weights']} with seed 0."
    led = f" Best without target labels: {best}." if best else ""
    return (
        "`checkpoint` is the source's network as it is, `source_only` trained on with the source for as many steps,"
        " `oracle` learned from the labels of all images to adapt on (its transductive figure is a training figure)."
        f" Gains are over `source_only` of the same seed.{chosen}{led}"
    )
