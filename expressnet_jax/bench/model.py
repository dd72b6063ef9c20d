"""Each network: milliseconds an image and images a second, compiled by JAX and in ONNX Runtime, and in training."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressnet_jax.bench.interleaved import interleave
from expressnet_jax.bench.step import Step
from expressnet_jax.config import default
from expressnet_jax.data.labels import BASIC
from expressnet_jax.environment import machine
from expressnet_jax.export.onnx_export import convert
from expressnet_jax.export.onnx_export import describe as describe_file
from expressnet_jax.models.inspect import forward_flops, parameter_count
from expressnet_jax.models.registry import create_model
from expressnet_jax.runtime.onnx_predict import OnnxPredictor
from expressnet_jax.training.checkpoints.reading import Checkpoint, describe
from expressnet_jax.training.step import make_predict_fn


def bench_model(
    names: Sequence[str],
    *,
    size: int = 48,
    channels: int = 1,
    batch_size: int = 64,
    rounds: int = 5,
    training: bool = True,
) -> dict[str, Any]:
    """Measure new networks of these names: latency of one image and throughput of a batch, all in turns.

    ONNX Runtime predicts on the CPU, with one thread (`latency`) and with one for each core (`throughput`); JAX on its
    default device. With `training` also a training step of a batch, which takes a minute a network to compile.
    """
    shape, rng = (size, size, channels), np.random.default_rng(0)
    one, many = (rng.integers(0, 256, (count, *shape), np.uint8) for count in (1, batch_size))
    blocks: dict[str, Callable[[], float]] = {}
    facts: dict[str, Any] = {}
    for name in names:
        checkpoint = untrained(name, shape)
        model, compiled = as_onnx(checkpoint), partial(make_predict_fn(checkpoint.model), checkpoint.variables)
        jitted = lambda images, compiled=compiled: jax.block_until_ready(compiled(images))
        blocks |= {
            f"{name}|onnx_latency_ms": timed(OnnxPredictor(model, name, threads=1), one),
            f"{name}|jax_latency_ms": timed(jitted, one),
            f"{name}|onnx_batch_ms": timed(OnnxPredictor(model, name), many),
            f"{name}|jax_batch_ms": timed(jitted, many),
        }
        if training:
            step = Step(name, size=size, channels=channels, batch_size=batch_size)
            blocks[f"{name}|training_batch_ms"] = partial(lambda step: 1000 * step(2)[0] / 2, step)
            step(1)
        facts[name] = {
            "parameters": parameter_count(checkpoint.variables["params"]),
            "mflop": forward_flops(checkpoint.model, shape) / 1e6,
            "onnx_bytes": len(model),
        }
    for title, values in interleave(blocks, rounds).items():
        name, figure = title.split("|")
        median = float(np.median(values))
        if figure.endswith("_batch_ms"):
            facts[name][figure.replace("_batch_ms", "_images_per_second")] = batch_size / median * 1000
        else:
            facts[name][figure] = median
    return {"image": list(shape), "batch_size": batch_size, "machine": machine(), "networks": facts}


def as_onnx(checkpoint: Checkpoint) -> bytes:
    """Return the file's content, not compared with JAX: nobody will use it."""
    return convert(checkpoint, describe_file(checkpoint, "uint8"))


def untrained(name: str, shape: tuple[int, ...]) -> Checkpoint:
    """Return what a checkpoint of this network would be before its first step."""
    model = create_model(name, len(BASIC))
    config = default()
    config.model.name = name
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *shape)))
    return Checkpoint(Path(name), 0, model, variables, describe(config.to_dict(), BASIC, shape))


def noise(model: OnnxPredictor) -> np.ndarray:
    """Return one image as the model takes it, uint8[1,H,W,C]."""
    return np.random.default_rng(0).integers(0, 256, (1, *model.image_shape), np.uint8)


def timed(predict: Callable, images: np.ndarray, seconds: float = 0.3) -> Callable[[], float]:
    """Return the milliseconds of one call, over about `seconds` of calls."""
    predict(images)

    def block() -> float:
        calls, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            predict(images)
            calls += 1
        return 1000 * spent / calls

    return block
