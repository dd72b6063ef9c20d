"""`expressnet bench table`, `zoo` and `ablation`: the tables of the READMEs, from the JSON of runs and benchmarks."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path("configs/results")


def add_parts(parts: Any, part: Callable[..., argparse.ArgumentParser]) -> None:
    """Add all parts; `part` makes one as `bench.commands` does."""
    text = "The networks of configs/zoo.py in one table: how good, how large and how fast each is."
    sub = part("zoo", _zoo, _zoo_table, text)
    sub.add_argument("runs", nargs="*", type=Path, help="finished runs that are new in the table")
    sub.set_defaults(json=RESULTS / "zoo_fer2013.json")

    text = "Runs that change one thing of a common recipe, in one table: what each is worth, over the same seeds."
    sub = part("ablation", _ablation, _ablation_table, text)
    sub.add_argument("runs", nargs="*", type=Path, help="finished runs; the first ever given is the common recipe")
    sub.set_defaults(json=RESULTS / "ablation_fer2013.json")

    text = "The table of bench/README.md, from the JSON that the other parts have written."
    sub = parts.add_parser("table", help=text, description=text)
    sub.add_argument("folder", type=Path, nargs="?", default=RESULTS, help=f"default: {RESULTS}")
    sub.set_defaults(measure=lambda arguments: arguments.folder, table=_table, json=None)


def _zoo(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.results_file import read_growing
    from expressnet_jax.bench.zoo import add_runs

    return add_runs(read_growing(arguments.json, "networks"), arguments.runs)


def _zoo_table(figures: dict[str, Any]) -> str:
    from expressnet_jax.bench.zoo_table import tables

    return tables(figures, RESULTS)


def _ablation(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.ablation import add_runs
    from expressnet_jax.bench.results_file import read_growing

    return add_runs(read_growing(arguments.json, "changes"), arguments.runs)


def _ablation_table(figures: dict[str, Any]) -> str:
    from expressnet_jax.bench.ablation import table

    return table(figures)


def _table(folder: Path) -> str:
    from expressnet_jax.bench.table import table
    from expressnet_jax.errors import UserError

    if not any(folder.glob("bench_*.json")):
        raise UserError(f"{folder}: no bench_*.json there; expressnet bench PART --json {folder}/bench_PART.json")
    return table(folder)
