"""The command of `expressnet` about adaptation: adapt-bench."""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

from expressnet_jax.cli_args import data_dir, key_and_value


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `command` (name, function, text) makes a subparser."""
    sub = command("adapt-bench", adapt_bench, "Compare adaptation methods from one checkpoint, honestly; resumable.")
    sub.add_argument("--source", required=True, help="the data set that the checkpoint was trained on")
    sub.add_argument("--targets", required=True, type=_words, help="prepared data sets, with commas between them")
    sub.add_argument("--init_from", required=True, help="the source's checkpoint: a run's workdir or one of its own")
    sub.add_argument("--workdir", required=True, type=Path, help="where runs and results go; what is there is kept")
    sub.add_argument("--methods", type=_words, default=("all",), help="default: all; or names, with commas between")
    sub.add_argument("--seeds", type=int, default=3, help="default: 3")
    sub.add_argument("--weights", type=_numbers, default=(1.0,), help="multiples of a method's weight to try")
    sub.add_argument("--criterion", default="mutual_information", help="chooses the weight, without a target label")
    sub.add_argument(
        "--set", action="append", default=[], type=key_and_value, metavar="KEY=VALUE", help="of every run's config"
    )
    data_dir(sub)


def adapt_bench(arguments: argparse.Namespace) -> None:
    from expressnet_jax.adaptation import compare_methods
    from expressnet_jax.adaptation.registry import METHODS
    from expressnet_jax.compile_cache import enable_compilation_cache

    enable_compilation_cache()
    methods = tuple(name for name in METHODS if name != "supervised")
    overrides = dict(arguments.set)
    if arguments.data_dir:
        overrides["data.dir"] = str(arguments.data_dir)
    plan = compare_methods.Comparison(
        arguments.source,
        arguments.targets,
        arguments.init_from,
        methods if arguments.methods == ("all",) else arguments.methods,
        arguments.seeds,
        overrides,
        arguments.weights,
        arguments.criterion,
    )
    for path in compare_methods.adapt_bench(plan, arguments.workdir, log=functools.partial(print, flush=True)):
        print(f"wrote {path}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in _words(text))
