"""The command `expressnet export`: a checkpoint as ONNX, and what else it may leave as."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from expressnet_jax.cli_args import data_dir
from expressnet_jax.data.commands import load_named
from expressnet_jax.errors import UserError


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """`command` (name, function, text) makes a subparser."""
    sub = command("export", export, "Write a checkpoint as ONNX, proved equal in ONNX Runtime.")
    sub.add_argument("--checkpoint", required=True, help="a run's workdir or one of its checkpoints")
    sub.add_argument("--output", type=Path, required=True, help="the .onnx file")
    sub.add_argument("--input", choices=("uint8", "float"), default="uint8", help="type of the pixel values 0..255")
    sub.add_argument("--data", help="a prepared data set to compare on; default: generated images")
    sub.add_argument("--calibrate", metavar="SPLIT", help="of --data: make probabilities mean what they say there")
    sub.add_argument("--slim", type=Path, metavar="FOLDER", help="write a checkpoint of the weights alone, too")
    text = "write the weights by PyTorch's names, too (timm, torchvision), for networks that have them"
    sub.add_argument("--safetensors", type=Path, metavar="FILE", help=text)
    sub.add_argument("--int8", type=Path, metavar="FILE", help="write a version with 8-bit integers, too")
    sub.add_argument("--mirror", action="store_true", help="the mean over the image and its mirror image, in it")
    sub.add_argument("--attention", action="store_true", help="the file also gives the class activation map")
    data_dir(sub)


def export(arguments: argparse.Namespace) -> None:
    import numpy as np

    from expressnet_jax.export.example_inputs import rows, takes_images
    from expressnet_jax.export.onnx_export import export_onnx
    from expressnet_jax.export.quantize import CALIBRATION, quantize
    from expressnet_jax.models.published.safetensors import write_safetensors
    from expressnet_jax.training.checkpoints.inference import write_inference_checkpoint
    from expressnet_jax.training.checkpoints.published import as_published
    from expressnet_jax.training.checkpoints.reading import load_checkpoint
    from expressnet_jax.training.evaluate_checkpoint import find_temperatures
    from expressnet_jax.training.network import make_inputs_reader

    checkpoint = load_checkpoint(arguments.checkpoint)
    tensors = as_published(checkpoint) if arguments.safetensors else {}
    options = {"input": arguments.input, "attention": arguments.attention, "mirror": arguments.mirror}
    if arguments.int8 and not takes_images(checkpoint):
        raise UserError(f"--int8: is for networks of images; {checkpoint.path} takes {', '.join(checkpoint.inputs)}")
    if (arguments.calibrate or arguments.int8) and not arguments.data:
        raise UserError("--calibrate and --int8 learn from images; give --data, too")
    if arguments.data:
        prepared = load_named(arguments, arguments.data)
        name = next(iter(prepared.splits))
        split = prepared.split(name)
        order = np.random.default_rng(0).permutation(len(split))[
            : CALIBRATION + 256 if takes_images(checkpoint) else 256
        ]
        chosen = split.subset(np.sort(order))
        images = make_inputs_reader(chosen, 256, checkpoint.shape, prepared.stored_size(name)).read(
            np.arange(len(chosen))
        )
        options["images"] = rows(images, slice(256))
        if arguments.calibrate:
            options["temperature"] = find_temperatures(
                checkpoint, prepared.split(arguments.calibrate), tta="flip" if arguments.mirror else "none"
            )
    proof = export_onnx(checkpoint, arguments.output, **options)
    print(json.dumps(proof, indent=2, default=str))
    if arguments.int8:
        training = images[256:] if len(images) > 512 else images
        proof = quantize(arguments.output, arguments.int8, training, images[:256])
        print(json.dumps(proof, indent=2))
    if arguments.slim:
        write_inference_checkpoint(checkpoint, arguments.slim)
    if arguments.safetensors:
        write_safetensors(arguments.safetensors, tensors)
    written = (arguments.output, arguments.int8, arguments.slim, arguments.safetensors)
    print("wrote", ", ".join(str(path) for path in written if path))
