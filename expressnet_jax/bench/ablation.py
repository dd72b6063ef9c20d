"""What each part of a recipe is worth: runs that differ in one thing from a common recipe, over the same seeds.

A row stays in the file when its runs are gone, so the table grows over as many sessions as it takes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expressnet_jax.config import flatten
from expressnet_jax.config_differences import with_defaults
from expressnet_jax.evaluation.seeds import across_seeds, percent_across, read_run, recipe, seed_figures

WHOLE = "nothing"  # the row of the runs of the common recipe
HEAD = (
    "| changed | seeds | accuracy | difference | balanced | difference | macro-F1 | difference |\n"
    "|---|---|---|---|---|---|---|---|"
)
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1")


def add_runs(known: Mapping[str, Any], runs: Sequence[Path]) -> dict[str, Any]:
    """Return the file's content with these runs: `recipe`, every key of the common recipe, and `changes`, a row for
    each.

    The first run that a file ever gets says what the common recipe is. A row holds the figures of each seed.

    Raises:
      UserError: a run has not finished.
    """
    figures = {"recipe": dict(known.get("recipe", {})), "changes": dict(known.get("changes", {}))}
    for path in runs:
        run = read_run(path)
        keys = flatten(recipe(run["config"]))
        figures["recipe"] = figures["recipe"] or keys
        row = figures["changes"].setdefault(changed(figures["recipe"], keys), {"machine": run["machine"], "seeds": {}})
        seed = seed_figures(run)
        del seed["confusion"]
        row["seeds"][str(run["seed"])] = seed
    return figures


def changed(shared: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    """Return where a run leaves the common recipe, as flags say it: `augment.flip=0`, or `nothing`."""
    common, own = with_defaults(shared), with_defaults(keys)
    changes = {key: own.get(key) for key in own.keys() | common.keys() if own.get(key) != common.get(key)}
    return ", ".join(f"{key}={_short(value)}" for key, value in sorted(changes.items())) or WHOLE


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(figures: Mapping[str, Any]) -> str:
    """Return Markdown, a line for each change: percent, mean over its seeds with half of Student's 95 % interval.

    A difference is taken seed by seed from the common recipe's run of the same seed, where there is one.
    """
    whole = figures["changes"].get(WHOLE, {"seeds": {}})["seeds"]
    lines = [HEAD]
    for name, row in figures["changes"].items():
        cells = [name if name == WHOLE else f"`{name}`", ", ".join(sorted(row["seeds"], key=int))]
        for figure in FIGURES:
            cells.append(percent_across(across_seeds([seed[figure] for seed in row["seeds"].values()])))
            pairs = [seed[figure] - whole[key][figure] for key, seed in row["seeds"].items() if key in whole]
            cells.append(percent_across(across_seeds(pairs), "+") if pairs and name != WHOLE else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
