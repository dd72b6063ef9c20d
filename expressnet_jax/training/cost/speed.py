"""The speed of training between two log lines: images and milliseconds, waiting for input, share of a card's peak."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from expressnet_jax.accelerators.cards import card_of
from expressnet_jax.training.cost.step_flops import StepShapes, shape_of, written_flops
from expressnet_jax.training.step import TrainStep


class Speed:
    """The measured time of the steps since the last `restart`.

    Attributes:
      flops: of one step over all devices, as the network is written; 0 until they are counted.
      peak: FLOP a second of all devices together, as the maker states them; 0 where the card is not in the table, as on
        a CPU: then nothing is counted.
    """

    def __init__(self, batch_size: int, peak: float = 0.0):
        self.batch_size, self.peak, self.flops = batch_size, peak, 0.0
        self.counted: TrainStep | None = None
        self.restart()

    def count_flops(self, step: TrainStep, state: Any, table: Any, batches: Any) -> None:
        """Count the FLOP of a step that has not been counted yet, from its arguments' shapes; it is traced, not run."""
        if self.peak and step is not self.counted:
            shapes = StepShapes(step, *map(shape_of, (state, table, batches)))
            self.flops, self.counted = written_flops(shapes), step

    def restart(self) -> None:
        """Forget the time so far: what was not training does not count."""
        self.steps, self.waited, self.started = 0, 0.0, time.perf_counter()

    def timed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches and add up how long each took to come."""
        stream = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(stream, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def figures(self) -> dict[str, float]:
        """Return images_per_second, step_ms, input_wait_ms, and where they are known tflops_per_second and mfu.

        input_wait_ms is the part of a step that the loop waited for its batch; mfu the share of the peak (Chowdhery et
        al. 2022, PaLM, appendix B: model FLOPs utilisation, recomputation not counted).
        """
        seconds = max(time.perf_counter() - self.started, 1e-9)
        steps = max(self.steps, 1)
        found = {
            "images_per_second": self.steps * self.batch_size / seconds,
            "step_ms": 1000 * seconds / steps,
            "input_wait_ms": 1000 * self.waited / steps,
        }
        if self.flops:
            found["tflops_per_second"] = self.steps * self.flops / seconds / 1e12
            found["mfu"] = self.steps * self.flops / seconds / self.peak
        return found


def peak_of_devices(dtype: str) -> float:
    """Return the FLOP a second of all devices in "bfloat16" or "float32"; 0 where the card is not in the table."""
    card = card_of(jax.devices()[0].device_kind)
    return card.peak(dtype) * jax.device_count() if card else 0.0
