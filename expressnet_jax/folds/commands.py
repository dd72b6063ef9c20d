"""The command `expressnet folds`: a config on people it has not seen, by a protocol of folds."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from expressnet_jax.cli_args import data_dir, key_and_value
from expressnet_jax.data.commands import load_named
from expressnet_jax.errors import Interrupted


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text) makes a subparser."""
    text = "Measure a config on people it was not trained on, fold by fold; resumable."
    sub = command("folds", folds, text)
    sub.add_argument("name", help="a prepared data set")
    sub.add_argument("--config", required=True, help="a file of configs/, or FILE:ARGUMENT of its get_config")
    sub.add_argument("--output", required=True, type=Path, help="where runs and results go; what is there is kept")
    which = sub.add_mutually_exclusive_group()
    which.add_argument("--folds", type=int, default=5, help="subject-exclusive folds; default: 5")
    which.add_argument("--leave-one-subject-out", action="store_true", help="a fold for each person")
    which.add_argument("--fold-column", default="", metavar="NAME", help="the data set's own folds, by their column")
    sub.add_argument("--seeds", type=_numbers, default=(0,), help="of the runs, with commas; default: 0")
    sub.add_argument("--no-linear", action="store_true", help="leave out the logistic regression on the same folds")
    text = "of every run's config"
    sub.add_argument("--set", action="append", default=[], type=key_and_value, metavar="KEY=VALUE", help=text)
    data_dir(sub)


def folds(arguments: argparse.Namespace) -> int:
    """Run the protocol. Exit status 0, or 128 + signal where a run was stopped."""
    from expressnet_jax.compile_cache import enable_compilation_cache
    from expressnet_jax.config import set_key
    from expressnet_jax.config_file import load_config
    from expressnet_jax.folds.figures import table
    from expressnet_jax.folds.harness import run_protocol
    from expressnet_jax.folds.protocol import make_protocol

    prepared, config = load_named(arguments, arguments.name), load_config(arguments.config)
    config.data.name = prepared.label
    if arguments.data_dir:
        config.data.dir = str(arguments.data_dir)
    for key, value in arguments.set:
        set_key(config, key, value)
    which = {"one_subject": arguments.leave_one_subject_out, "column": arguments.fold_column}
    protocol = make_protocol(prepared, config, folds=arguments.folds, **which)
    enable_compilation_cache()
    settings: dict[str, Any] = {"seeds": arguments.seeds, "linear": not arguments.no_linear}
    try:
        results = run_protocol(config, prepared, protocol, arguments.output, say=partial(print, flush=True), **settings)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signum
    print(f"\n{table(results)}\nwrote {arguments.output / 'results.json'}, table.md and folds.json next to it")
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write whole numbers with commas between them") from None
