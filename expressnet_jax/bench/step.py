"""The training step against its ceilings, and against the same network in PyTorch.

Shapes: B batch, H height, W width, C channels.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from expressnet_jax.bench.interleaved import compare, interleave
from expressnet_jax.bench.roofline import bytes_ceiling, flops_ceiling
from expressnet_jax.bench.torch_baseline import TorchRival
from expressnet_jax.environment import machine
from expressnet_jax.errors import UserError
from expressnet_jax.models.layer_forms import conv_backend
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.mesh import check_batch, make_mesh
from expressnet_jax.training.network import compute_dtype
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import make_multi_step, make_train_step, supervised
from expressnet_jax.training.targets import class_fields, class_losses

CLASSES = 7


class Step:
    """A compiled training step with its state and one batch, to be run in blocks."""

    recipe: ClassVar = {"learning_rate": 0.01, "weight_decay": 5e-4, "label_smoothing": 0.1}  # SGD, Nesterov 0.9

    def __init__(
        self,
        name: str,
        *,
        size: int = 48,
        channels: int = 1,
        batch_size: int = 128,
        dtype: str = "auto",
        augment: Mapping[str, float] | None = None,
        steps_per_call: int = 1,
        model_options: Mapping[str, Any] | None = None,
        mesh: jax.sharding.Mesh | None = None,
    ):
        dtype = compute_dtype(dtype)
        self.dtype, self.batch_size, self.steps_per_call = dtype, batch_size, steps_per_call
        self.model = create_model(name, CLASSES, dtype=jnp.dtype(dtype), **(model_options or {}))
        mesh = mesh or make_mesh()
        check_batch(batch_size, 1, mesh)
        schedule = make_schedule("constant", self.recipe["learning_rate"], 1)
        optimizer = make_optimizer("sgd", schedule, weight_decay=self.recipe["weight_decay"])
        losses = class_losses(CLASSES, label_smoothing=self.recipe["label_smoothing"])
        options = dict(augment or {}) | {"mixup": 0.0, "cutmix": 0.0}
        step = make_train_step(supervised(self.model, losses, options, class_fields(CLASSES)), optimizer, schedule)
        crop = int(options.get("crop") or size)
        self.state = init_state(make_init_fn(self.model, (crop, crop, channels)), optimizer, mesh)
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (batch_size, size, size, channels), np.uint8)
        self.labels = rng.integers(0, CLASSES, batch_size).astype(np.int32)
        sharding = jax.NamedSharding(mesh, jax.P(None, "data"))
        repeated = lambda x: jax.device_put(np.broadcast_to(x, (steps_per_call, *x.shape)), sharding)
        self.batches = {"image": repeated(self.images), "expression": repeated(self.labels)}
        one = jax.tree.map(lambda x: x[0], self.batches)
        with conv_backend("xla"):
            written: Any = jax.jit(lambda *args: step(*args)).lower(self.state, one)
            self.flops = written.cost_analysis()["flops"]
        lowered = make_multi_step(step).lower(self.state, None, self.batches)
        start = time.perf_counter()
        self.compiled = lowered.compile()
        self.compile_seconds = time.perf_counter() - start

    def __call__(self, dispatches: int) -> tuple[float, float]:
        """(seconds of so many dispatches, loss of their first step)."""
        losses = []
        start = time.perf_counter()
        for _ in range(dispatches):
            self.state, metrics = self.compiled(self.state, None, self.batches)
            losses.append(metrics["loss"])
        jax.block_until_ready((self.state, losses))
        return time.perf_counter() - start, float(losses[0][0])

    def costs(self) -> dict[str, float]:
        """Return FLOPs of one step as the network is written (whatever is saved in computing it), bytes as compiled,
        and the most memory that it needs at once."""
        memory: Any = self.compiled.memory_analysis()
        costs: Any = self.compiled.cost_analysis()
        return {
            "flops_per_step": self.flops,
            "bytes_per_step": costs["bytes accessed"],
            "memory_bytes": memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes,
        }


def bench_step(
    name: str, *, against: str = "", rounds: int = 6, block_seconds: float = 4.0, ceilings: bool = True, **options
) -> dict[str, Any]:
    """Return the images a second of `Step(name, **options)`, its share of the machine's ceilings, and its ratio to a
    rival.

    Against "torch" the same network trains in PyTorch from the same weights on the same batch, in other processes that
    take turns with this one: as PyTorch comes, on a CPU with the allocator settings that this process has, and, where
    this process computes in float32, under bfloat16 autocast. The first losses must agree to 1e-4 where nothing is
    augmented and both compute in float32.

    Raises:
      UserError: no PyTorch, a network or an option that has no PyTorch twin, or first losses that differ.
    """
    if against == "torch" and not find_spec("torch"):
        raise UserError("--against torch: PyTorch is not installed; pip install torch")
    step = Step(name, **options)
    with ExitStack() as stack:
        rivals = TorchRival.start(stack, step, options.get("augment")) if against == "torch" else {}
        _, loss = step(1)
        for rival in rivals.values():
            rival.check_loss(loss)
        per_block = max(round(block_seconds / (step(2)[0] / 2)), 1)
        images = per_block * step.steps_per_call * step.batch_size
        rates: dict[str, Callable[[], float]] = {"jax": lambda: images / step(per_block)[0]}
        for title, rival in rivals.items():
            rates[title] = partial(lambda rival: images / rival(per_block * step.steps_per_call), rival)
        speeds = interleave(rates, rounds)
    medians = {title: float(np.median(values)) for title, values in speeds.items()}
    figures = {
        "network": name,
        "options": {"size": 48, "channels": 1, "batch_size": step.batch_size, **options, "dtype": step.dtype},
        "machine": machine(),
        "images_per_second": medians,
        "step_ms": 1000 * step.batch_size / medians["jax"],
        "compile_seconds": step.compile_seconds,
        **step.costs(),
        "against": {title: compare(speeds["jax"], speeds[title]) for title in rivals},
    }
    return figures | (_shares(figures, step) if ceilings else {})


def _shares(figures: dict[str, Any], step: Step) -> dict[str, Any]:
    flops, moved = flops_ceiling(step.dtype), bytes_ceiling()
    per_second = figures["images_per_second"]["jax"] / step.batch_size / jax.device_count()
    return {
        "ceiling": {"flops_per_second": flops, "bytes_per_second": moved},
        "mfu": figures["flops_per_step"] * per_second / flops,
        "bandwidth_share": figures["bytes_per_step"] * per_second / moved,
    }
