"""A trace of some steps of a run, as `jax.profiler` writes it: TensorBoard's profile page and Perfetto open it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from expressnet_jax.errors import UserError


def check_profile_steps(steps: Sequence[int]) -> None:
    """Raise UserError unless `steps` are none, or the first step to trace and the one after the last."""
    if len(steps) not in (0, 2) or (steps and not 0 <= steps[0] < steps[1]):
        raise UserError(
            f"log.profile_steps: {tuple(steps)}; give the first step and the one after the last, like (100, 110)"
        )


class StepProfile:
    """Traces the calls that take the steps from `steps[0]` up to `steps[1]`, into `folder`; without steps nothing.

    What a call compiles is traced with it, so the first steps of a run show little else.
    """

    def __init__(self, steps: Sequence[int], folder: Path):
        self.first, self.last = steps or (0, 0)
        self.folder, self.running = folder, False

    def __enter__(self) -> "StepProfile":
        return self

    def call(self, step: int, count: int) -> jax.profiler.StepTraceAnnotation:
        """Return the context of a call that takes `count` steps from `step` on; the trace begins where it is due."""
        if not self.running and step < self.last and step + count > self.first:
            jax.profiler.start_trace(str(self.folder))
            self.running = True
        return jax.profiler.StepTraceAnnotation("train", step_num=step)

    def end(self, step: int, state: Any) -> None:
        """End the trace where `step` is its last, once the devices have come to `state`."""
        if self.running and step >= self.last:
            jax.block_until_ready(state)
            self.stop()

    def stop(self) -> None:
        """Write what was traced so far."""
        if self.running:
            self.running, self.last = False, 0
            jax.profiler.stop_trace()

    def __exit__(self, *exception: Any) -> None:
        self.stop()
