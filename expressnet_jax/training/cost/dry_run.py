"""What a run would need, reported before it begins: memory, arithmetic and time of its step on these devices."""

import time
from collections.abc import Callable
from itertools import islice

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from expressnet_jax.cluster import is_main_process
from expressnet_jax.data.fields import named_examples
from expressnet_jax.training.experiment import Experiment
from expressnet_jax.training.loop import new_state, set_up
from expressnet_jax.training.step import make_multi_step, num_steps

_TIMED = 3  # dispatches, after a first one that is not


def dry_run(config: ConfigDict, build_experiment: Callable[[ConfigDict, Mesh], Experiment]) -> list[str]:
    """Compile the first phase's step for the configured mesh, take a few, and return what was measured; the process
    that leads does. Writes nothing.

    Raises:
      UserError: anything that would end the run at its beginning, but for its workdir.
    """
    mesh, experiment = set_up(config, build_experiment)
    loader, _ = experiment.make_loaders()
    state = new_state(config, experiment, mesh)
    stream = loader.start(0)
    batches = next(stream)
    start = time.perf_counter()
    lowered = make_multi_step(experiment.program.phases[0][1]).lower(state, loader.table, batches, config.seed)
    compiled = lowered.compile()
    compiling = time.perf_counter() - start
    steps = num_steps(batches)
    state, _ = jax.block_until_ready(compiled(state, loader.table, batches, config.seed))
    more = [each for each in islice(stream, _TIMED) if num_steps(each) == steps]  # a run's last dispatch may be shorter
    start = time.perf_counter()
    for each in more:
        state, _ = compiled(state, loader.table, each, config.seed)
    jax.block_until_ready(state)
    seconds = (time.perf_counter() - start) / (steps * len(more)) if more else None
    return describe(config, experiment, mesh, compiled, steps, compiling, seconds) if is_main_process() else []


def describe(
    config: ConfigDict,
    experiment: Experiment,
    mesh: Mesh,
    compiled,
    steps: int,
    compiling: float,
    seconds: float | None,
) -> list[str]:
    """Return lines for a person. `compiled` takes `steps` steps; `seconds` of one of them, or None where the run is too
    short to time it."""
    total = experiment.plan.total
    what = named_examples(list(experiment.inputs or ["image"]))
    lines = [f"a step of {config.train.batch_size} {what} on {mesh.size} devices, compiled in {compiling:.0f} s"]
    memory = compiled.memory_analysis()
    if memory is not None:
        held, between = memory.argument_size_in_bytes, memory.temp_size_in_bytes
        new = memory.output_size_in_bytes - memory.alias_size_in_bytes  # what is not written over an argument
        lines.append(
            f"memory of each device: {_size(held + new + between)}, of which {_size(held)} state and batch and"
            f" {_size(between)} on the way"
        )
    cost = compiled.cost_analysis() or {}
    if cost.get("flops", 0) > 0:
        lines.append(
            f"arithmetic of each device: {cost['flops'] / steps / 1e9:,.1f} GFLOP a step, as the compiler counts"
        )
    if seconds is None:
        lines.append(f"{total:,} steps: too few to time")
    else:
        lines.append(
            f"{1000 * seconds:,.0f} ms a step: {total:,} steps take about {_time(total * seconds)}, evaluations and"
            " checkpoints not counted"
        )
    if len(experiment.program.phases) > 1:
        lines.append(f"this is the first of {len(experiment.program.phases)} phases, which compile one by one")
    return lines


def _size(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**29 else f"{count / 2**20:.1f} MiB"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
