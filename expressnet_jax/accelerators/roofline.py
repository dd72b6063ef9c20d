"""The time that a card needs at least: its arithmetic, its memory, the starts of its kernels, its links."""

from typing import NamedTuple

from expressnet_jax.accelerators.cards import HOST_DEVICES, Card
from expressnet_jax.accelerators.counts import Collective

# Of a card's figures, what programs reach: a copy on an H200 ran at 4.3 of 4.8 TB/s; half the peak is what dense
# convolutions of these channel counts get, as an assumption.
MEMORY_SHARE, COMPUTE_SHARE = 0.9, 0.5


class StepTime(NamedTuple):
    """Seconds of a step by what bounds it. The largest of the four is the step's; exchanges that overlap are hidden."""

    compute: float
    memory: float
    launches: float
    links: float

    @property
    def bound(self) -> str:
        return max(self._fields, key=lambda name: getattr(self, name))

    @property
    def seconds(self) -> float:
        return max(self)


def step_time(
    card: Card,
    *,
    flops: float,
    dtype: str,
    moved: float,
    kernels: float,
    collectives: list[Collective],
    devices: int,
) -> StepTime:
    """Return the time of a step of one device that computes `flops`, moves `moved` bytes in so many kernels and takes
    part in these exchanges.

    In a ring of n devices, as fast as its slowest link, each sends 2 (n - 1) / n of an all-reduce's bytes, of other
    exchanges half of that (Patarasuk and Yuan 2009).
    """
    twice = lambda operation: 2 if operation == "all-reduce" else 1
    sent = sum(twice(each.operation) * each.starts * each.bytes for each in collectives) * (devices - 1) / devices
    return StepTime(
        flops / (COMPUTE_SHARE * card.peak(dtype)),
        moved / (MEMORY_SHARE * card.bandwidth),
        kernels * card.launch,
        sent / (card.link if devices <= HOST_DEVICES else card.network),
    )
