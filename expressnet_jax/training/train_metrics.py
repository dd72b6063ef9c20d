"""Training metrics between two log lines, read late, and what ends a run whose numbers are not finite any more."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressnet_jax.errors import DivergedError
from expressnet_jax.training.checkpoints.manager import Checkpoints
from expressnet_jax.training.cost.speed import Speed
from expressnet_jax.training.state import TrainState


@jax.jit
def all_finite(tree) -> jax.Array:
    """Return bool[]: no NaN and no infinity in any array of a pytree."""
    return jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


class MetricAccumulator:
    """Training metrics between two log lines, read late so that the device never waits for Python."""

    def __init__(self, batch_size: int, per_epoch: float, step: int, checkpoints: Checkpoints):
        self.per_epoch, self.checkpoints = per_epoch, checkpoints
        self.step = step
        self.pending: list[Any] = []
        self.speed = Speed(batch_size)

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        self.pending.append(metrics)
        self.speed.steps += step - self.step
        self.step = step

    def read(self, state: TrainState) -> dict[str, float | int | str]:
        """Return the means since the last call. `state` is that after the last step.

        Raises:
          DivergedError: a loss, a gradient or a weight is not finite; names the first such step and the last good
            checkpoint. What comes after this call, an evaluation or a checkpoint, sees finite weights only.
        """
        fetched = jax.device_get(self.pending)
        self.pending = []
        self._check(np.concatenate([np.isfinite(np.stack([*part.values()])).all(0) for part in fetched]), state)
        names = {name: None for part in fetched for name in part}
        columns = {name: np.concatenate([part[name] for part in fetched if name in part]) for name in names}
        speed = self.speed.figures()
        entry: dict[str, float | int | str] = {"step": self.step, "split": "train", "epoch": self.step / self.per_epoch}
        entry |= {name: float(values.mean()) for name, values in columns.items()}
        if "learning_rate" in columns:
            entry["learning_rate"] = float(columns["learning_rate"][-1])
        self.speed.restart()
        return entry | speed

    def _check(self, good: np.ndarray, state: TrainState) -> None:
        """Check good bool[S]: whether every metric of a step is finite."""
        good[-1] &= bool(all_finite((state.params, state.batch_stats, state.ema)))
        if good.all():
            return
        step = self.step - len(good) + int(good.argmin()) + 1
        self.checkpoints.wait()
        raise DivergedError(
            f"step {step}: the loss, its gradient or a weight is not finite; last good checkpoint:"
            f" {self.checkpoints.last_good()}; lower optimizer.learning_rate or set optimizer.clip, in a new --workdir"
        )
