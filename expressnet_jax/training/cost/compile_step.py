"""The training step compiled for a target that is not there, and the figures of the compiled program.

Shapes: S steps of a call, B batch, N examples.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from expressnet_jax.accelerators.counts import count
from expressnet_jax.accelerators.hlo import parse
from expressnet_jax.accelerators.report import step_figures
from expressnet_jax.accelerators.target import Target
from expressnet_jax.accelerators.topology import acting_as, lowering_platform, topology_devices
from expressnet_jax.training.cost.step_flops import StepShapes, shape_of, written_flops
from expressnet_jax.training.experiment import Experiment
from expressnet_jax.training.mesh import check_batch, make_mesh, replicated, state_shardings
from expressnet_jax.training.network import compute_dtype, image_shape
from expressnet_jax.training.state import state_shapes
from expressnet_jax.training.step import make_multi_step, num_steps


def compile_run(
    config: ConfigDict, build_experiment: Callable[[ConfigDict, Mesh], Experiment], target: Target
) -> dict[str, Any]:
    """Return the figures of the step of a config's first phase on `target`, as `step_figures` has them, with
    `batch_size` and `compile_seconds`.

    Raises:
      UserError: anything that would end the run at its beginning, but for its workdir.
    """
    devices = topology_devices(target)
    with acting_as(target.platform):
        mesh = make_mesh(config.mesh.data, config.mesh.model, devices)
        check_batch(config.train.batch_size, config.train.accumulate, mesh)
        experiment = build_experiment(config, mesh)
        held = experiment.plan.per_epoch * config.train.batch_size * math.prod(image_shape(config))
        if config.data.reader == "auto" and held <= target.card.memory / 5:  # as `choose_reader` has it there
            config.data.reader = "device"
        # Batches can only be made on devices that are there.
        feed, _ = build_experiment(config, make_mesh()).make_loaders()
        program = experiment.program
        state = state_shapes(program.init_fn, program.optimizer, config.optimizer.ema > 0, program.pretrained)
        shapes = StepShapes(program.phases[0][1], state, shape_of(feed.table), shape_of(next(iter(feed.start(0)))))
        figures = compile_step(shapes, mesh, target, compute_dtype(config.train.dtype))
    return figures | {"batch_size": config.train.batch_size}


def compile_step(shapes: StepShapes, mesh: Mesh, target: Target, dtype: str) -> dict[str, Any]:
    """Return the figures of S steps in one program, compiled for a mesh of the target's devices."""
    place = lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
    on_mesh = lambda tree, sharding: jax.tree.map(lambda x: place(x, sharding), tree)
    placed = jax.tree.map(place, shapes.state, state_shardings(shapes.state, mesh))
    batches = on_mesh(shapes.batches, NamedSharding(mesh, P(None, "data")))
    start = time.perf_counter()
    traced = make_multi_step(shapes.step).trace(placed, on_mesh(shapes.table, replicated(mesh)), batches, 0)
    compiled = traced.lower(lowering_platforms=(lowering_platform(target),)).compile()
    seconds = time.perf_counter() - start
    steps = num_steps(batches)
    counts = count(parse(compiled.as_text()), unknown_trips=steps)
    flops = written_flops(shapes) / mesh.size
    memory = _memory_figures(compiled.memory_analysis())
    figures = step_figures(target, counts, memory, steps=steps, flops=flops, dtype=dtype)
    return figures | {"compile_seconds": seconds}


def _memory_figures(stats: Any) -> dict[str, int]:
    """Return the bytes of a device that a compiled program holds, by what they are for."""
    return {
        "arguments": stats.argument_size_in_bytes,
        "results": stats.output_size_in_bytes - stats.alias_size_in_bytes,  # what is not written over an argument
        "temporary": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }
