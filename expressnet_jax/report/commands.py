"""The command `expressnet report`: how good a model is, where it breaks, why, and for whom, as one page."""

import argparse
from collections.abc import Callable
from pathlib import Path

from expressnet_jax.cli_args import data_dir
from expressnet_jax.data.commands import load_named

NAMES = "figures,calibration,pairs,robustness,explanation,fairness,data,cost"


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text, uses_jax) makes a subparser."""
    text = (
        "Write one page on how good a model is, where it breaks, why, and for whom, and its figures as JSON. Resumable."
    )
    sub = command("report", report, text)
    sub.add_argument(
        "--model", required=True, help="a shipped model, an ONNX file, a checkpoint, or a baseline: hog+svm"
    )
    text = "prepared data sets, with commas, each NAME or NAME:SPLIT; the first one is what robustness is measured on"
    sub.add_argument("--data", required=True, type=_words, metavar="NAME[:SPLIT],...", help=text)
    sub.add_argument(
        "--output", required=True, type=Path, help="the folder of the report; finished parts are used again"
    )
    text = "another model, to compare with: McNemar's test, and mCE relative to its errors"
    sub.add_argument("--against", metavar="MODEL", help=text)
    sub.add_argument("--checkpoint", help="what an ONNX file was exported from, for maps that need gradients")
    text = "columns of the data sets, or CSV files with a column key, with commas: groups for fairness"
    sub.add_argument("--attributes", type=_words, default=(), metavar="COLUMN|FILE.csv,...", help=text)
    text = "annotators' votes as given: fer2013new.csv, or a table of key and counts a class"
    sub.add_argument("--votes", type=Path, metavar="FILE.csv", help=text)
    sub.add_argument("--runs", type=_paths, default=(), metavar="WORKDIR,...", help="runs that differ in their seed")
    sub.add_argument("--sections", type=_words, default=_words(NAMES), help=f"only these; default: {NAMES}")
    sub.add_argument(
        "--cache", type=Path, help="where predictions and corrupted images are kept; default: OUTPUT/cache"
    )
    sub.add_argument(
        "--quick", action="store_true", help="samples of the images: minutes in place of a quarter of an hour"
    )
    data_dir(sub)


def report(arguments: argparse.Namespace) -> None:
    from expressnet_jax.report.run import Request, check_sections, run_report

    check_sections(arguments.sections)
    data = []
    for each in arguments.data:
        name, _, split = each.partition(":")
        data.append((load_named(arguments, name), split or None))
    request = Request(
        model=arguments.model,
        data=data,
        output=arguments.output,
        against=arguments.against,
        checkpoint=arguments.checkpoint,
        attributes=arguments.attributes,
        runs=arguments.runs,
        votes=arguments.votes,
        sections=arguments.sections,
        cache=arguments.cache,
        quick=arguments.quick,
    )
    for path in run_report(request).values():
        print(f"wrote {path}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(word) for word in _words(text))
