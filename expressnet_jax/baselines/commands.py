"""The command `expressnet baseline`: features made by hand and a shallow classifier, judged as a network is."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from expressnet_jax.cli_args import data_dir, image_size, key_and_value
from expressnet_jax.data.commands import load_named
from expressnet_jax.errors import UserError


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text, uses_jax) makes a subparser."""
    text = (
        "Judge the methods before deep networks on a data set: HOG, LBP or Gabor with an SVM or neighbours; of texts"
        " TF-IDF with logistic regression."
    )
    sub = command("baseline", baseline, text, uses_jax=False)
    sub.add_argument("name", help="a prepared data set")
    sub.add_argument(
        "--features", type=_words, default=("hog",), help="of images: hog, lbp, gabor, with commas; default: hog"
    )
    sub.add_argument(
        "--classifier", type=_words, default=("svm",), help="of images: svm, knn, with commas; default: svm"
    )
    sub.add_argument("--split", default="validation", help="to judge on; default: validation")
    sub.add_argument("--k", type=_numbers(int), default=(1, 15), help="neighbours, with commas; default: 1,15")
    text = "of the SVM, with commas: the best on a fifth held out of train is taken; default: 1e-5,1e-4,1e-3"
    sub.add_argument("--cost", type=_numbers(float), default=(1e-5, 1e-4, 1e-3), help=text)
    text = "of the features, such as hog.cell=6"
    sub.add_argument("--option", action="append", default=[], type=key_and_value, metavar="NAME.KEY=VALUE", help=text)
    sub.add_argument("--size", type=image_size, default=48, help="pixels a side of an image; default: 48")
    sub.add_argument("--seed", type=int, default=0, help="of what is held out; default: 0")
    sub.add_argument("--json", type=Path, help="write the figures here, row by row")
    data_dir(sub)


def baseline(arguments: argparse.Namespace) -> None:
    from expressnet_jax.baselines import run as baselines
    from expressnet_jax.baselines.features import LIBRARIES
    from expressnet_jax.baselines.text import run_text
    from expressnet_jax.environment import host
    from expressnet_jax.evaluation.report import format_table
    from expressnet_jax.io import write_json

    prepared = load_named(arguments, arguments.name)
    if prepared.holds not in ("images", "text"):
        raise UserError(f"{prepared.name}: holds {prepared.holds}; baselines are of images and of text")
    plan = baselines.Settings(
        arguments.features,
        arguments.classifier,
        _by_features(arguments.option),
        arguments.k,
        arguments.cost,
        arguments.size,
        arguments.seed,
    )
    figures: dict[str, Any] = {"data": prepared.name, "split": arguments.split, "examples": dict(prepared.splits)}
    figures |= {"size": plan.size, "seed": plan.seed, "machine": host(LIBRARIES), "rows": []}
    of_text = prepared.holds == "text"
    found = run_text(prepared, arguments.split) if of_text else baselines.run(plan, prepared, arguments.split)
    for row in found:
        print(format_table(row.figures, f"{title(row.facts)} on {prepared.name}, {arguments.split}"), flush=True)
        print()
        figures["rows"].append(row.summary())
        if arguments.json:
            write_json(arguments.json, figures)
    print(overview(figures["rows"]))
    if not of_text and "deduplicated" not in figures["rows"][0]:
        print(f"without near-duplicates of training images: first run expressnet audit {prepared.name}")
    if arguments.json:
        print(f"wrote {arguments.json}")


def title(facts: dict[str, Any]) -> str:
    """Return a title such as `hog + knn, k=15`."""
    setting = f"k={facts['k']}" if "k" in facts else f"cost={facts['cost']:g}"
    return f"{facts['features']} + {facts['classifier']}, {setting}"


def overview(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows' main figures as a table, per cent."""
    lines = [f"{'baseline':<24}{'dimensions':>11}{'accuracy':>10}{'balanced':>10}{'macro-F1':>10}{'deduplicated':>14}"]
    for row in rows:
        shares = [row[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")]
        cells = "".join(f"{100 * share:>10.2f}" for share in shares)
        fresh = f"{100 * row['deduplicated']['accuracy']:.2f}" if "deduplicated" in row else "–"
        lines.append(f"{title(row):<24}{row['dimensions']:>11,}{cells}{fresh:>14}")
    return "\n".join(lines)


def _by_features(pairs: Sequence[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = {}
    for path, value in pairs:
        name, dot, key = path.partition(".")
        if not dot:
            raise UserError(f"--option {path}: write NAME.KEY=VALUE, such as hog.cell=6")
        options.setdefault(name, {})[key] = value
    return options


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _numbers(kind: type) -> Callable[[str], tuple[Any, ...]]:
    def numbers(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(word) for word in _words(text))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: write numbers with commas between them") from None

    return numbers
