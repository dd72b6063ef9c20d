"""The command `expressnet average`: one checkpoint from several."""

import argparse
from collections.abc import Callable
from pathlib import Path

from expressnet_jax.errors import UserError


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text) makes a subparser."""
    sub = command("average", average, "Make one checkpoint of the mean of several runs of one network.")
    sub.add_argument("checkpoints", nargs="+", type=Path, metavar="RUN", help="a run that began with another, after it")
    sub.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the checkpoint to write")
    sub.add_argument("--weights", default="", help="a number for each run, such as 1,3; default: all alike")


def average(arguments: argparse.Namespace) -> None:
    from expressnet_jax.training.checkpoints.average import average_checkpoints
    from expressnet_jax.training.checkpoints.inference import write_inference_checkpoint
    from expressnet_jax.training.checkpoints.reading import load_checkpoint

    weights = _weights(arguments.weights, len(arguments.checkpoints))
    checkpoints = [load_checkpoint(path) for path in arguments.checkpoints]
    write_inference_checkpoint(average_checkpoints(checkpoints, weights), arguments.output)
    parts = ", ".join(f"{weight:.0%} {each.path}" for weight, each in zip(weights, checkpoints, strict=True))
    print(f"wrote {arguments.output}: {parts}")


def _weights(given: str, count: int) -> list[float]:
    """Return the shares of so many runs, which sum to 1.

    Raises:
      UserError: fewer than two runs, another number of weights, or one that is no positive number.
    """
    if count < 2:
        raise UserError("average: give two runs or more")
    words = given.split(",") if given else ["1"] * count
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count or not all(0 < value < float("inf") for value in values):
        raise UserError(f"--weights: {given}; give {count} positive numbers, such as {','.join(['1'] * count)}")
    return [value / sum(values) for value in values]
