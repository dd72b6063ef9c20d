"""`expressnet bench model` and `predict`: how fast and how good networks and predictors answer."""

import argparse
from collections.abc import Callable
from typing import Any

from expressnet_jax.bench.lines import aligned
from expressnet_jax.cli_args import data_dir, image_size


def add_parts(part: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both parts; `part` makes one as `bench.commands` does."""
    text = "Each network's prediction, in JAX and in ONNX Runtime, and its training."
    _networks(part("model", _model, _model_table, text))

    text = "What the predictor answers on a data set: bare faces, faces that have to be found, milliseconds."
    _faces(part("predict", _predict, _predict_table, text))


def _networks(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--models", nargs="*", help="default: all networks of images")
    sub.add_argument("--size", type=image_size, default=48, help="pixels a side; default: 48")
    sub.add_argument("--channels", type=int, choices=(1, 3), default=1)
    sub.add_argument("--batch_size", type=int, default=64)
    sub.add_argument("--training", action=argparse.BooleanOptionalAction, default=True, help="a minute a network")


def _faces(sub: argparse.ArgumentParser) -> None:
    text = (
        "prepared data sets of cut faces, each with the classes that count after a colon where not all do"
        " (lfw_expression:anger,happiness,neutral); of each its validation split, or all; default: fer2013"
    )
    sub.add_argument("--data", nargs="+", default=["fer2013"], help=text)
    data_dir(sub)
    sub.add_argument("--models", nargs="+", help="default: all that are shipped")
    sub.add_argument("--detectors", nargs="*", default=(), help="default: all that are installed")


def _predict(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.predict import bench_predict
    from expressnet_jax.data.label_matching import match_labels
    from expressnet_jax.data.store import default_data_dir, load
    from expressnet_jax.inference.predictor import SHIPPED

    splits = {}
    for name, _, classes in (word.partition(":") for word in arguments.data):
        found = load(name, arguments.data_dir or default_data_dir())
        split = found.split("validation" if "validation" in found.splits else "all")
        splits[name] = match_labels(split, classes.split(","))[0] if classes else split
    return bench_predict(splits, arguments.models or list(SHIPPED), arguments.detectors)


def _predict_table(figures: dict[str, Any]) -> str:
    rows = [(data, f"{count:,} faces") for data, count in figures["examples"].items()]
    reference = figures["reference"]
    for name, found in figures["models"].items():
        rows += [
            (
                f"{name} on {data}",
                f"{on['accuracy']:.2%}, balanced {on['balanced_accuracy']:.2%}, macro-F1 {on['macro_f1']:.2%},"
                f" calibration error {on['ece']:.2%}",
            )
            for data, on in found["on"].items()
        ]
        rows += [
            (f"{name} on {data}, {output}", ", ".join(f"{metric} {value:.4g}" for metric, value in judged.items()))
            for data, on in found["on"].items()
            for output, judged in on.get("outputs", {}).items()
        ]
        rows.append(
            (
                f"{name}, cost",
                f"{found['milliseconds']:.2f} ms a face on one thread ({found['to_reference']:.2f} of"
                f" {reference['network']} at {reference['size']} pixels), {found['onnx_bytes'] / 1e6:.1f} MB",
            )
        )
    for name, found in figures["detectors"].items():
        shares = f"{found['accuracy']:.2%} of all, {found['found']:.2%} found"
        rows.append((f"found by {name}", f"{shares}, {found['milliseconds']:.1f} ms an image"))
    return aligned(rows)


def _model(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.model import bench_model
    from expressnet_jax.models.registry import models_of

    shape = {"size": arguments.size, "channels": arguments.channels}
    names, batch_size = arguments.models or models_of("image"), arguments.batch_size
    return bench_model(names, batch_size=batch_size, training=arguments.training, **shape)


def _model_table(figures: dict[str, Any]) -> str:
    heads = ("parameters", "MFLOP", "ONNX MB", "ONNX ms", "JAX ms", "ONNX images/s", "JAX images/s", "training")
    lines = [f"{'network':20s}" + "".join(f"{head:>15s}" for head in heads)]
    for name, found in figures["networks"].items():
        cells = (
            f"{found['parameters']:,}",
            f"{found['mflop']:,.0f}",
            f"{found['onnx_bytes'] / 1e6:.1f}",
            f"{found['onnx_latency_ms']:.2f}",
            f"{found['jax_latency_ms']:.2f}",
            f"{found['onnx_images_per_second']:,.0f}",
            f"{found['jax_images_per_second']:,.0f}",
            f"{found.get('training_images_per_second', float('nan')):,.0f}",
        )
        lines.append(f"{name:20s}" + "".join(f"{cell:>15s}" for cell in cells))
    return "\n".join(lines)
