"""The command `expressnet import`: published weights as the checkpoint of a run."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from expressnet_jax.cli_args import image_size, key_and_value
from expressnet_jax.errors import UserError, shorten

if TYPE_CHECKING:
    from expressnet_jax.training.checkpoints.published import Published

OPTION = "of the model, such as embedding=0; what the weights need is set without it"


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text) makes a subparser."""
    sub = command("import", _import_weights, "Make a checkpoint of published weights, to begin training with.")
    sub.add_argument("file", type=Path, help="a .safetensors file; a .pth file where PyTorch is installed")
    sub.add_argument("--model", required=True, help="the network that the weights are of, such as resnet18")
    sub.add_argument("--output", type=Path, required=True, metavar="RUN", help="the folder of the checkpoint")
    sub.add_argument("--size", type=image_size, default=0, help="pixels a side; default: as the weights were trained")
    sub.add_argument("--option", action="append", default=[], type=key_and_value, metavar="KEY=VALUE", help=OPTION)
    sub.add_argument("--classes", default="", help="take over the head, too: the names of its classes, as anger,fear")


def _import_weights(arguments: argparse.Namespace) -> None:
    from expressnet_jax.training.checkpoints.inference import write_inference_checkpoint
    from expressnet_jax.training.checkpoints.published import read_published

    classes = tuple(word.strip() for word in arguments.classes.split(",") if word.strip())
    if twice := [name for name, count in Counter(classes).items() if count > 1]:
        raise UserError(f"--classes: {twice[0]} is given more than once; classes need different names")
    options = dict(arguments.option)
    published = read_published(arguments.file, arguments.model, options, classes, arguments.size)
    write_inference_checkpoint(published.checkpoint, arguments.output)
    print("\n".join(_lines(arguments, published, classes)))


def _lines(arguments: argparse.Namespace, published: "Published", classes: Sequence[str]) -> list[str]:
    found, metadata = published.found, published.checkpoint.metadata
    head = f"{found.naming.head}, {len(found.head['bias'])} classes" if found.head else "none"
    lines = [f"{arguments.file}: {arguments.model} by the names of {found.naming.source}"]
    lines += [f"used    {len(found.used)} tensors, all that the backbone has"]
    lines += [f"head    {head}: {'taken over' if classes else 'left out'}"] if found.head else []
    lines += [f"unused  {shorten(found.unused)}"] if found.unused else []
    options = [f"--config.model.options.{name}={value}" for name, value in metadata["model"]["options"].items()]
    flags = [f"--config.init_from={arguments.output}", f"--config.model.name={arguments.model}", *options]
    note = "" if classes else "; its head is not trained"
    return [*lines, f"wrote {arguments.output}{note}; begin with it: {' '.join(flags)}"]
