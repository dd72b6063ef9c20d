"""The training loop, read from top to bottom: mesh, data, program, state, restore, then step by step, then finish."""

import signal
import time
from pathlib import Path

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from expressnet_jax.data.audit import one_line
from expressnet_jax.data.pipeline import OrderedBatches
from expressnet_jax.errors import Interrupted, UserError
from expressnet_jax.evaluation.evaluate import collect, summarise
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.training.checkpoints import Checkpoints, describe
from expressnet_jax.training.mesh import check_batch, make_mesh
from expressnet_jax.training.run_folder import RunFolder
from expressnet_jax.training.setup import Data, image_shape, load_data, make_feeds, make_plan, make_program
from expressnet_jax.training.state import TrainState, init_state
from expressnet_jax.training.step import make_dispatch, make_predict
from expressnet_jax.training.writers import Console, MetricsFile, TensorBoard, Writers


def train(config: ConfigDict, workdir: Path) -> Data:
    """Trains to the end of the plan, or goes on with what `workdir` holds. The result is in its checkpoints.

    Raises:
      UserError: anything a user can mend; nothing is lost, the last checkpoint stays whole.
      Interrupted: after SIGINT or SIGTERM, with a checkpoint of the step it stopped at.
    """
    mesh = make_mesh(config.mesh.data, config.mesh.model)
    check_batch(config.train.batch_size, config.train.accumulate, mesh)
    data = load_data(config)
    plan = make_plan(config, len(data.chosen.train))
    program = make_program(config, data.chosen.train, plan)
    folder = RunFolder(workdir, config.to_dict())
    feed, select = make_feeds(config, data, plan, mesh)

    shape = image_shape(config)
    state = init_state(program.model, program.optimizer, shape, mesh, seed=config.seed, ema=config.optimizer.ema > 0)
    metadata = describe(config.to_dict(), data.prepared.classes, shape)
    checkpoints = Checkpoints(folder.path, metadata, keep=config.checkpoint.keep, metric=config.eval.metric)
    state = checkpoints.restore(state)
    step = int(state.step)

    console = Console(plan.total, step, config.train.batch_size)
    writers = [console, MetricsFile(folder.metrics, step)]
    if config.log.tensorboard:
        writers.append(TensorBoard(folder.path / "tensorboard", step))
    writers = Writers(writers)
    introduce(console, config, data, state, step)

    dispatch = make_dispatch(program.step)
    meter = Meter(config.train.batch_size, plan.per_epoch, step, checkpoints)
    with StopSignal() as stop:
        for batches in feed.start(step):
            state, metrics = dispatch(state, feed.table, batches)
            before, step = step, step + batches["label"].shape[0]
            meter.add(step, metrics)
            console.advance(step)
            due = lambda every, before=before, step=step: before // every != step // every or step == plan.total
            if due(plan.log_every) or due(plan.evaluate_every) or due(plan.save_every) or stop.signum:
                writers.write(meter.read())
            if due(plan.evaluate_every):
                figures = evaluate(program.model, state, select, data)
                writers.write({"step": step, "split": "validation", "epoch": step / plan.per_epoch, **figures})
                checkpoints.save_best(state, figures)
                meter.restart()
            if due(plan.save_every) or stop.signum:
                checkpoints.save(state)
            if stop.signum and step < plan.total:
                break
    writers.close()
    checkpoints.close()
    folder.close()
    if step < plan.total:
        raise Interrupted(stop.signum, step)
    return data


def introduce(console: Console, config: ConfigDict, data: Data, state: TrainState, step: int) -> None:
    """What a run is, in a few lines."""
    train, select = data.chosen.train, data.chosen.select
    say = console.say
    say(
        f"{config.model.name}: {parameter_count(state.params):,} parameters"
        f" on {jax.device_count()} x {jax.devices()[0].device_kind}"
    )
    say(f"{config.data.name}: {len(train):,} training pictures, {len(select):,} of {data.chosen.select_name} select")
    if data.audit is not None:
        say(one_line(data.audit))
    if data.chosen.dropped:
        say(f"data.drop_leaks: {data.chosen.dropped:,} leaking training pictures left out")
    if step:
        say(f"going on from step {step}")


def evaluate(model, state: TrainState, select: OrderedBatches, data: Data) -> dict[str, float]:
    """The figures that a run follows, on the selection split; the averaged weights where the run averages."""
    sharding = NamedSharding(state.step.sharding.mesh, P("data"))
    predict = make_predict(model, state.variables)
    on_mesh = lambda images: predict(jax.device_put(images, sharding))
    figures = summarise(*collect(on_mesh, select.batches()), data.prepared.classes, data.leaked)
    names = ("log_loss", "accuracy", "balanced_accuracy", "macro_f1")
    followed = {name.replace("log_loss", "loss"): float(figures[name]) for name in names}
    if figures.get("deduplicated"):
        followed["deduplicated_accuracy"] = float(figures["deduplicated"]["accuracy"])
    return followed


class Meter:
    """Training metrics between two log lines, read late so that the device never waits for Python."""

    def __init__(self, batch_size: int, per_epoch: float, step: int, checkpoints: Checkpoints):
        self.batch_size, self.per_epoch, self.checkpoints = batch_size, per_epoch, checkpoints
        self.pending, self.step, self.last_entry = [], step, {}
        self.timed_steps, self.started = 0, time.perf_counter()

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        self.pending.append(metrics)
        self.timed_steps += step - self.step
        self.step = step

    def restart(self) -> None:
        """Forgets the time so far: what was not training does not count."""
        self.timed_steps, self.started = 0, time.perf_counter()

    def read(self) -> dict[str, float | int | str]:
        """The means since the last call.

        Raises:
          UserError: a loss or gradient was not finite; names the first such step and the last good checkpoint.
        """
        fetched = jax.device_get(self.pending)
        self.pending = []
        columns = {name: np.concatenate([part[name] for part in fetched]) for name in fetched[0]}
        self._check(columns)
        seconds = time.perf_counter() - self.started
        entry = {"step": self.step, "split": "train", "epoch": self.step / self.per_epoch}
        entry |= {name: float(values.mean()) for name, values in columns.items()}
        entry["learning_rate"] = float(columns["learning_rate"][-1])
        entry["images_per_second"] = self.timed_steps * self.batch_size / seconds
        self.restart()
        return entry

    def _check(self, columns: dict[str, np.ndarray]) -> None:
        good = np.isfinite(columns["loss"]) & np.isfinite(columns["gradient_norm"])
        if good.all():
            return
        step = self.step - len(good) + int(good.argmin()) + 1
        self.checkpoints.wait()
        raise UserError(
            f"step {step}: the loss or its gradient is not finite; last good checkpoint:"
            f" {self.checkpoints.last_good()}; lower optimizer.learning_rate or set optimizer.clip, in a new --workdir"
        )


class StopSignal:
    """Turns SIGINT and SIGTERM into a wish to stop after the step at hand; a second one ends the process at once."""

    signum = 0

    def __enter__(self) -> "StopSignal":
        self.previous = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, signum: int, frame) -> None:
        self.signum = signum
        signal.signal(signum, self.previous[signum])

    def __exit__(self, *exception) -> None:
        for signum, handler in self.previous.items():
            signal.signal(signum, handler)
