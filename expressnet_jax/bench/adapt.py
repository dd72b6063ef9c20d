"""Adaptation steps against plain training of the same network, counted in source images: an adaptation moves two
streams, so half is what the images alone would leave.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from expressnet_jax.adaptation.default_config import adaptation_config
from expressnet_jax.adaptation.loss_program import adaptation, make_adaptation_init_fn
from expressnet_jax.adaptation.method import Size
from expressnet_jax.adaptation.registry import make_method
from expressnet_jax.bench.interleaved import compare, interleave
from expressnet_jax.environment import machine
from expressnet_jax.training.mesh import check_batch, make_mesh
from expressnet_jax.training.network import make_model
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.state import init_state
from expressnet_jax.training.step import make_multi_step, make_train_step
from expressnet_jax.training.targets import class_losses
from expressnet_jax.training.validate import check_model

CLASSES, EXAMPLES = 7, 8192
PLAIN = "source_only"


class _AdaptationStep:
    """A compiled step of a method on one batch of either domain, augmented as in a run."""

    def __init__(self, name: str, network: str, size: int, batch_size: int):
        config, method, mesh = adaptation_config("source", "target", name, size), make_method(name), make_mesh()
        check_batch(batch_size, 1, mesh)
        config.model.name, shape = network, (size, size, 1)
        check_model(config, shape)
        model = make_model(config, CLASSES)
        features = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *shape), np.float32))["params"]["head"]
        domains = Size(EXAMPLES, features["kernel"].shape[0], CLASSES)
        losses = class_losses(CLASSES)
        loss_program = adaptation(model, method, losses, config.augment.to_dict(), total=1000, size=domains)
        schedule = make_schedule("constant", 1e-3, 1)
        optimizer = make_optimizer("sgd", schedule, weight_decay=5e-4)
        step = make_train_step(loss_program, optimizer, schedule, ema=config.optimizer.ema, trainable=method.trainable)
        self.state = init_state(make_adaptation_init_fn(model, shape, method, domains), optimizer, mesh, ema=True)
        rng = np.random.default_rng(0)
        sharding = jax.NamedSharding(mesh, jax.P(None, "data"))
        batch = {
            "image": rng.integers(0, 256, (1, batch_size, *shape), np.uint8),
            "expression": rng.integers(0, CLASSES, (1, batch_size)).astype(np.int32),
            "index": np.arange(batch_size, dtype=np.int32)[None],
        }
        parts = {"source": bool(method.labelled), "target": method.unlabelled}
        self.batches = jax.device_put({part: batch for part, used in parts.items() if used}, sharding)
        self.dispatch = make_multi_step(step)
        self(1)

    def __call__(self, steps: int) -> float:
        """Seconds of so many steps."""
        start = time.perf_counter()
        for _ in range(steps):
            self.state, _ = self.dispatch(self.state, None, self.batches)
        jax.block_until_ready(self.state)
        return time.perf_counter() - start


def bench_adapt(
    methods: Sequence[str],
    *,
    network: str = "expressnet_small",
    size: int = 48,
    batch_size: int = 64,
    rounds: int = 4,
    block_seconds: float = 2.0,
) -> dict[str, Any]:
    """Return the source images a second of each method (target images where it has no source) and the ratio to plain
    training.

    Plain training has the same network, batch and augmentation, and takes turns with the methods.
    """
    steps = {name: _AdaptationStep(name, network, size, batch_size) for name in dict.fromkeys((PLAIN, *methods))}
    counts = {name: max(round(block_seconds / (step(2) / 2)), 1) for name, step in steps.items()}
    blocks: dict[str, Callable[[], float]] = {
        name: partial(lambda name: counts[name] * batch_size / steps[name](counts[name]), name) for name in steps
    }
    speeds = interleave(blocks, rounds)
    return {
        "network": network,
        "size": size,
        "batch_size": batch_size,
        "machine": machine(),
        "images_per_second": {name: float(np.median(values)) for name, values in speeds.items()},
        "to_plain": {name: compare(speeds[name], speeds[PLAIN]) for name in steps if name != PLAIN},
    }
