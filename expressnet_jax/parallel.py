"""Work on all cores, its results in order and a bounded number of them ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from expressnet_jax.environment import available_cores

_Item = TypeVar("_Item")
Result = TypeVar("Result")


def parallel_map(work: Callable[[_Item], Result], items: Iterable[_Item]) -> Iterator[Result]:
    """Yield map(work, items) on one thread for each core, for work that lets go of the GIL (OpenCV, Pillow, NumPy,
    files)."""
    threads = available_cores()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def work_and_items(records: Iterable[Result]) -> tuple[Callable[[Any], Result], Iterable[Any]]:
    """Return what `InOrder` is made of; of any other iterable, its items, on which there is no work."""
    return (records.work, records.items) if isinstance(records, InOrder) else (lambda item: item, records)


class InOrder(Sequence[Result]):
    """map(work, items) whose results are made on all cores while they are asked for, from any place on."""

    def __init__(self, work: Callable[[_Item], Result], items: Sequence[_Item]) -> None:
        self.work, self.items = work, items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Result]:
        return parallel_map(self.work, self.items)

    def __getitem__(self, at: Any) -> Any:
        return InOrder(self.work, self.items[at]) if isinstance(at, slice) else self.work(self.items[at])
