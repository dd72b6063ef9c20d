"""The training loop, read from top to bottom: mesh, data, program, state, restore, then step by step, then finish."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from expressnet_jax.cluster import (
    CollectiveError,
    StopSignal,
    check_joined,
    check_same_config,
    is_main_process,
    raise_on_all,
)
from expressnet_jax.config_differences import differences
from expressnet_jax.config_values import check_values
from expressnet_jax.data.pipeline import TrainLoader, ZippedLoaders
from expressnet_jax.environment import process_seconds
from expressnet_jax.errors import Interrupted
from expressnet_jax.metric_writers import Console, MetricsFile, Writers, log_line
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.layer_forms import use_matmul_conv
from expressnet_jax.models.published.files import is_weights_file
from expressnet_jax.trackers import open_trackers
from expressnet_jax.training.checkpoints.data_identity import (
    check_same_set,
    in_words,
    record_of,
    recorded,
    write_trained_on,
)
from expressnet_jax.training.checkpoints.manager import Checkpoints
from expressnet_jax.training.checkpoints.reading import describe, find_checkpoint, shape_of
from expressnet_jax.training.cost.profiling import StepProfile, check_profile_steps
from expressnet_jax.training.cost.speed import peak_of_devices
from expressnet_jax.training.experiment import Evaluate, Experiment
from expressnet_jax.training.mesh import check_batch, make_mesh
from expressnet_jax.training.network import compute_dtype, image_shape
from expressnet_jax.training.program import StepCounts, active_at
from expressnet_jax.training.state import TrainState, init_state
from expressnet_jax.training.step import make_multi_step, num_steps
from expressnet_jax.training.targets import selecting_metric
from expressnet_jax.training.train_data import find_prepared
from expressnet_jax.training.train_metrics import MetricAccumulator
from expressnet_jax.training.workdir import OF_A_HOST, Workdir, disk_errors


def train(
    config: ConfigDict,
    workdir: Path,
    build_experiment: Callable[[ConfigDict, Mesh], Experiment],
    until: int = 0,
    began: float | None = None,
) -> Experiment:
    """Train to the end of the plan; resume what `workdir` holds. The result is in its checkpoints.

    `build_experiment` makes the experiment, whatever is learned: that of `classification` is the common one. With
    `until`, the training pauses with a checkpoint after so many steps; a later call resumes it. The run's time counts
    from second `began` of this process, by default from this call.

    Raises:
      UserError: anything a user can fix; nothing is lost, the last checkpoint stays whole.
      Interrupted: after SIGINT or SIGTERM, with a checkpoint of the step it stopped at.
    """
    began = process_seconds() if began is None else began
    mesh, experiment = set_up(config, build_experiment, workdir)
    plan = experiment.plan

    with ExitStack() as stack:
        stack.enter_context(disk_errors(workdir))
        records = [each.record for each in experiment.data]
        folder = _open_workdir(stack, config, workdir, experiment, records)
        loader, evaluate = experiment.make_loaders()

        state = new_state(config, experiment, mesh)
        metadata = _describe(config, experiment) | {"trained_on": records}
        kept = {"keep": config.checkpoint.keep, "metric": selecting_metric(config)}
        log = log_line if is_main_process() else lambda line: None
        checkpoints = stack.enter_context(Checkpoints(folder.path, metadata, log=log, **kept))
        state = checkpoints.restore(state)
        step = int(state.step)
        _check_length(step, plan.total, workdir)
        console = Console(plan.total, step, config.train.batch_size, hidden=not is_main_process())
        writers = stack.enter_context(closing(_open_writers(config, folder, console, step, began)))
        _log_run_summary(config, experiment, state, log)
        if folder.before == []:
            log("its earlier checkpoints don't say what they were trained on; from now on they do")

        profile = stack.enter_context(StepProfile(config.log.profile_steps, folder.path / "profile"))
        if not until or step < until:
            _run_steps(config, experiment, state, loader, evaluate, checkpoints, writers, console, profile, until)
    return experiment


def _check_length(step: int, total: int, workdir: Path) -> None:
    """Raise CollectiveError for a checkpoint beyond the plan: of a run that is older than the records of its data."""
    if step > total:
        raise CollectiveError(
            f"--workdir {workdir}: has a checkpoint of step {step}, but this data makes {total} steps; give"
            " another --workdir, or the first data"
        )


def _describe(config: ConfigDict, experiment: Experiment) -> dict[str, Any]:
    """Return the metadata of a run's checkpoints, but for what it is trained on."""
    shape = shape_of(experiment.inputs) if experiment.inputs else image_shape(config)
    facts = config.to_dict(), experiment.classes, shape, experiment.lineage
    return describe(*facts, experiment.program.model, experiment.outputs, experiment.inputs)


def _run_steps(
    config: ConfigDict,
    experiment: Experiment,
    state: TrainState,
    loader: TrainLoader | ZippedLoaders,
    evaluate: Evaluate,
    checkpoints: Checkpoints,
    writers: Writers,
    console: Console,
    profile: StepProfile,
    until: int = 0,
) -> None:
    """Train from `state` to step `until` or the end of the plan; log, evaluate and save where it is due.

    Raises:
      Interrupted: after SIGINT or SIGTERM, once a checkpoint of this step is on disk.
    """
    plan, step = experiment.plan, int(state.step)
    calls = _make_calls(experiment, state)
    meter = _new_meter(config, plan, step, checkpoints)
    seed = jax.device_put(np.int32(config.seed), state.step.sharding)
    with StopSignal() as stop:
        for batches in meter.speed.timed(loader.start(step)):
            phase, multi_step = active_at(calls, step)
            meter.speed.count_flops(phase, state, loader.table, batches)
            # A call that has to wait for an array of the host would stall the device at every step.
            with profile.call(step, num_steps(batches)), jax.transfer_guard("disallow"):
                state, metrics = multi_step(state, loader.table, batches, seed)
            before, step = step, step + num_steps(batches)
            meter.add(step, metrics)
            profile.end(step, state)
            console.advance(step)
            stopping = stop.after_call()  # looked at once: what stops the run is what was saved for
            ending = bool(stopping) or 0 < until <= step
            due = lambda every, before=before, step=step: before // every != step // every or step == plan.total
            if due(plan.log_every) or due(plan.evaluate_every) or due(plan.save_every) or ending:
                writers.write(meter.read(state))
            if due(plan.evaluate_every):
                _evaluate(evaluate, state, plan, step, checkpoints, writers)
                meter.speed.restart()
            if due(plan.save_every) or ending:
                checkpoints.save(state)
            if ending:
                break
        _leave(checkpoints, stop.late(), step)


def _new_meter(config: ConfigDict, plan: StepCounts, step: int, checkpoints: Checkpoints) -> MetricAccumulator:
    meter = MetricAccumulator(config.train.batch_size, plan.per_epoch, step, checkpoints)
    meter.speed.peak = peak_of_devices(compute_dtype(config.train.dtype))
    return meter


def _make_calls(experiment: Experiment, state: TrainState) -> list[tuple[int, tuple[Any, Any]]]:
    """Return each phase with its compiled form, by the step from which on it serves."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    return [(first, (phase, make_multi_step(phase, shardings))) for first, phase in experiment.program.phases]


def _leave(checkpoints: Checkpoints, signum: int, step: int) -> None:
    """Leave the loop: raise Interrupted where a signal asked for it, in the last step as well, so that nothing else
    begins; the checkpoint is on disk by then."""
    if signum:
        checkpoints.wait()
        raise Interrupted(signum, step)


def _evaluate(
    evaluate: Evaluate, state: TrainState, plan: StepCounts, step: int, checkpoints: Checkpoints, writers: Writers
) -> None:
    """Log the figures of a state on the selection split, and keep it if it is the best so far."""
    figures = evaluate(state)
    writers.write({"step": step, "split": "validation", "epoch": step / plan.per_epoch, **figures})
    checkpoints.save_best(state, figures)


def _open_workdir(
    stack: ExitStack, config: ConfigDict, workdir: Path, experiment: Experiment, records: Sequence[Mapping[str, Any]]
) -> Workdir:
    """Return the run's folder until `stack` ends, on every process once the leading one has written what is learned
    from."""
    with raise_on_all():
        folder = stack.enter_context(closing(Workdir(workdir, config.to_dict(), is_main_process(), records)))
        if is_main_process() and not folder.before:
            is_run = config.init_from and not is_weights_file(config.init_from)
            write_trained_on(folder.path, experiment.data, find_checkpoint(config.init_from) if is_run else None)
    folder.seen_by_all()
    return folder


def set_up(
    config: ConfigDict, build_experiment: Callable[[ConfigDict, Mesh], Experiment], workdir: Path | None = None
) -> tuple[Mesh, Experiment]:
    """Return the mesh and the experiment of a config, checked on all processes before anything is compiled or written.

    That a run in `workdir` began with another data set is said before what that set may not be good enough for.

    Raises:
      UserError: anything that a user can fix.
    """
    check_joined()
    check_values(config)
    check_profile_steps(config.log.profile_steps)
    mesh = make_mesh(config.mesh.data, config.mesh.model)
    check_batch(config.train.batch_size, config.train.accumulate, mesh)
    check_same_config(config.to_dict(), partial(differences, free=OF_A_HOST))
    with raise_on_all():
        if workdir and (before := recorded(workdir)):
            prepared = find_prepared(config, config.data.name, config.data.source, key="data.name")
            check_same_set(workdir, before[0], record_of(prepared))
        experiment = build_experiment(config, mesh)
    check_same_config({"data": [f"{each.prepared.label}:{each.rows}" for each in experiment.data]}, other_data)
    return mesh, experiment


def other_data(first: Mapping[str, list[str]], own: Mapping[str, list[str]]) -> list[str]:
    """Return what another process reads where the first one reads something else; each may have its own data folder."""
    pairs = zip(first["data"], own["data"], strict=False)
    return [f"data was {one}, now {another}" for one, another in pairs if one != another]


def new_state(config: ConfigDict, experiment: Experiment, mesh: Mesh) -> TrainState:
    """Return the state that a run begins with."""
    program, averaged = experiment.program, config.optimizer.ema > 0
    return init_state(
        program.init_fn, program.optimizer, mesh, seed=config.seed, ema=averaged, pretrained=program.pretrained
    )


def _open_writers(config: ConfigDict, folder: Workdir, console: Console, step: int, began: float) -> Writers:
    """Return the console, metrics.jsonl and the wanted trackers; the run's clock continues where the file ends. Only
    the process that leads has any."""
    if not is_main_process():
        return Writers([])
    metrics_file = MetricsFile(folder.metrics, step)
    writers = [console, metrics_file, *open_trackers(config.to_dict(), folder.path, step)]
    return Writers(writers, metrics_file.seconds - began)


def _log_run_summary(config: ConfigDict, experiment: Experiment, state: TrainState, log: Callable[[str], None]) -> None:
    """Log what a run is, in a few lines."""
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    log(
        f"{config.model.name}: {parameter_count(state.params):,} parameters"
        f" on {jax.device_count()} x {jax.devices()[0].device_kind}{processes}"
    )
    if use_matmul_conv():
        log("tuned for the CPU: convolutions as products, settings of cpu.py (EXPRESSNET_TUNE=0 does without)")
    for each in experiment.data:
        log(f"data: {in_words(each.record)}")
    for line in experiment.summary:
        log(line)
    if config.init_from:
        log(f"begins with {config.init_from}")
    if step := int(state.step):
        total = experiment.plan.total
        log(f"resuming from step {step}" if step < total else f"finished before, at step {step}: nothing to train")
