"""The command `expressnet sweep`: a config with every combination of some values, in full or by halving."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from expressnet_jax.cli_args import data_dir, key_and_value
from expressnet_jax.errors import Interrupted


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text) makes a subparser."""
    sub = command("sweep", sweep, "Train a config with every combination of some values; resumable.")
    sub.add_argument("--config", required=True, help="a file of configs/, or FILE:ARGUMENT of its get_config")
    text = "values of a key, such as optimizer.learning_rate=0.01,0.02; again for another key"
    sub.add_argument("--grid", action="append", required=True, metavar="KEY=VALUE,VALUE", help=text)
    sub.add_argument("--output", required=True, type=Path, help="where runs and results go; what is there is kept")
    text = "successive halving: the best 1 of FACTOR continues at each rung; default: 2; without it all are trained"
    sub.add_argument("--halving", nargs="?", type=int, const=2, default=0, metavar="FACTOR", help=text)
    text = "of every run's config"
    sub.add_argument("--set", action="append", default=[], type=key_and_value, metavar="KEY=VALUE", help=text)
    data_dir(sub)


def sweep(arguments: argparse.Namespace) -> int:
    """Run the sweep. Exit status 0, or 128 + signal where a run was stopped."""
    from expressnet_jax.compile_cache import enable_compilation_cache
    from expressnet_jax.config import set_key
    from expressnet_jax.config_file import load_config
    from expressnet_jax.sweeps.grid import parse_grid
    from expressnet_jax.sweeps.harness import run_sweep

    grid, config = parse_grid(arguments.grid), load_config(arguments.config)
    if arguments.data_dir:
        config.data.dir = str(arguments.data_dir)
    for key, value in arguments.set:
        set_key(config, key, value)
    enable_compilation_cache()
    say = partial(print, flush=True)
    try:
        results = run_sweep(config, grid, arguments.output, halving=arguments.halving, say=say)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signum
    print("\n" + (arguments.output / "table.md").read_text(encoding="utf-8"))
    print(f"best: {arguments.output / 'runs' / results['best']}")
    print(f"wrote {arguments.output / 'results.json'}, table.md and sweep.png next to it")
    return 0
