"""The command `expressnet export`: a checkpoint as ONNX, and what else it may leave as."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expressnet_jax.cli_args import data_dir, key_and_value
from expressnet_jax.data.commands import load_named
from expressnet_jax.errors import UserError

if TYPE_CHECKING:
    from expressnet_jax.training.checkpoints.reading import Checkpoint

LARGEST_TAU = 3  # at 1 all classes count alike


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text) makes a subparser."""
    sub = command("export", export, "Write a checkpoint as ONNX, proved equal in ONNX Runtime.")
    sub.add_argument("--checkpoint", required=True, help="a run's workdir or one of its checkpoints")
    sub.add_argument("--output", type=Path, help="the .onnx file; with --hub it may be left out")
    text = "write a folder for the Hugging Face hub: model card, ONNX, safetensors, configuration; nothing is uploaded"
    sub.add_argument("--hub", type=Path, metavar="FOLDER", help=text)
    text = "figures of `expressnet evaluate --json` for the card; again for more; default: the run's own evaluation"
    sub.add_argument("--results", type=Path, action="append", default=[], metavar="FILE", help=text)
    sub.add_argument("--input", choices=("uint8", "float"), default="uint8", help="type of the pixel values 0..255")
    sub.add_argument("--data", help="a prepared data set to compare on; default: generated images")
    sub.add_argument("--calibrate", metavar="SPLIT", help="of --data: make probabilities mean what they say there")
    text = "name what is rare in --data more often, TAU above 0, or less often, below 0; again for other outputs"
    sub.add_argument("--adjust", action="append", type=_tau, default=[], metavar="OUTPUT=TAU", help=text)
    sub.add_argument("--slim", type=Path, metavar="FOLDER", help="write a checkpoint of the weights alone, too")
    text = "write the weights by PyTorch's names, too (timm, torchvision), for networks that have them"
    sub.add_argument("--safetensors", type=Path, metavar="FILE", help=text)
    sub.add_argument("--names", default="", help="of --safetensors: timm, torchvision, ...; default: the first known")
    sub.add_argument("--int8", type=Path, metavar="FILE", help="write a version with 8-bit integers, too")
    sub.add_argument("--mirror", action="store_true", help="the mean over the image and its mirror image, in it")
    sub.add_argument("--attention", action="store_true", help="the file also gives the class activation map")
    data_dir(sub)


def export(arguments: argparse.Namespace) -> None:
    from expressnet_jax.export import hub
    from expressnet_jax.export.example_inputs import rows, takes_images
    from expressnet_jax.export.onnx_export import export_onnx
    from expressnet_jax.export.quantize import quantize
    from expressnet_jax.models.published.safetensors import write_safetensors
    from expressnet_jax.runtime.onnx_predict import HUB_FILE
    from expressnet_jax.training.checkpoints.inference import write_inference_checkpoint
    from expressnet_jax.training.checkpoints.published import as_published
    from expressnet_jax.training.checkpoints.reading import load_checkpoint

    _check(arguments)
    checkpoint = load_checkpoint(arguments.checkpoint)
    tensors = as_published(checkpoint, arguments.names) if arguments.safetensors else {}
    options = {"input": arguments.input, "attention": arguments.attention, "mirror": arguments.mirror}
    if arguments.int8 and not takes_images(checkpoint):
        raise UserError(f"--int8: is for networks of images; {checkpoint.path} takes {', '.join(checkpoint.inputs)}")
    figures = hub.find_figures(checkpoint, arguments.results) if arguments.hub else []
    if arguments.data:
        images, calibration = _examples(arguments, checkpoint)
        options |= {"images": rows(images, slice(256))} | calibration
    written = [arguments.output or arguments.hub / HUB_FILE]
    print(json.dumps(export_onnx(checkpoint, written[0], **options), indent=2, default=str))
    if arguments.int8:
        training = images[256:] if len(images) > 512 else images
        print(json.dumps(quantize(written[0], arguments.int8, training, images[:256]), indent=2))
        written.append(arguments.int8)
    if arguments.slim:
        write_inference_checkpoint(checkpoint, arguments.slim)
        written.append(arguments.slim)
    if arguments.safetensors:
        written.append(write_safetensors(arguments.safetensors, tensors))
    if arguments.hub:
        written += hub.write_hub_folder(checkpoint, written[0], arguments.hub, figures)
    print("wrote", ", ".join(str(path) for path in dict.fromkeys(written)))


def _check(arguments: argparse.Namespace) -> None:
    from expressnet_jax.runtime.onnx_predict import HUB_FILE

    if not arguments.output and not arguments.hub:
        raise UserError("--output: give the .onnx file that is to be written, or a folder with --hub")
    named = [arguments.output or arguments.hub / HUB_FILE, arguments.int8, arguments.slim, arguments.safetensors]
    paths = [path.absolute() for path in named if path]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise UserError(f"{twice}: the name of two outputs; give each its own")
    if arguments.slim and arguments.slim.exists():
        raise UserError(f"--slim {arguments.slim}: is there already; remove it or give another name")
    if arguments.hub:
        from expressnet_jax.export import hub

        hub.check_folder(arguments.hub)
    if arguments.results and not arguments.hub:
        raise UserError("--results: figures are for the card of --hub FOLDER; give it, too")
    if (arguments.calibrate or arguments.adjust or arguments.int8) and not arguments.data:
        raise UserError("--calibrate, --adjust and --int8 learn from images; give --data, too")


def _tau(text: str) -> tuple[str, float]:
    name, tau = key_and_value(text)
    if isinstance(tau, bool) or not isinstance(tau, int | float) or not abs(tau) <= LARGEST_TAU:
        raise argparse.ArgumentTypeError(f"{text!r}: write OUTPUT=TAU, a number from -{LARGEST_TAU} to {LARGEST_TAU}")
    return name, tau


def _examples(arguments: argparse.Namespace, checkpoint: "Checkpoint") -> tuple[Any, dict[str, Any]]:
    """Return some examples of --data as its network takes them, and with --calibrate and --adjust the options
    `temperature` and `logit_shift`."""
    import numpy as np

    from expressnet_jax.data.fields import check_vocabulary
    from expressnet_jax.export.example_inputs import takes_images
    from expressnet_jax.export.quantize import CALIBRATION
    from expressnet_jax.training.checkpoints.calibrate import find_calibrations, find_logit_shifts
    from expressnet_jax.training.network import make_inputs_reader

    prepared = load_named(arguments, arguments.data)
    name = next(iter(prepared.splits))
    split, most = prepared.split(name), CALIBRATION + 256 if takes_images(checkpoint) else 256
    chosen = split.subset(np.sort(np.random.default_rng(0).permutation(len(split))[:most]))
    check_vocabulary(checkpoint.inputs, chosen.targets)
    reader = make_inputs_reader(chosen, 256, checkpoint.shape, prepared.stored_size(name))
    images = reader.read(np.arange(len(chosen)))
    shifts = find_logit_shifts(checkpoint, prepared, dict(arguments.adjust)) if arguments.adjust else {}
    if not arguments.calibrate:
        return images, {"logit_shift": shifts}
    tta = "flip" if arguments.mirror else "none"
    found = find_calibrations(checkpoint, prepared.split(arguments.calibrate), tta, shifts)
    return images, {"temperature": {name: each.temperature for name, each in found.items()}, "logit_shift": shifts}
