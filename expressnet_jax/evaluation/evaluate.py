"""A predict function and batches in, honest figures out: every example once.

Predict is any callable uint8[B,H,W,C] -> probabilities float[B,K], in NumPy or JAX; of other inputs it takes an array
or a dict of arrays by name. A batch is a dict with `inputs` uint8[B,H,W,C], `label` int[B], `mask` bool[B] (False =
padding) and `index` int[B], the example's place in its split.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.metrics import classification_metrics
from expressnet_jax.io import write_json

__all__ = [
    "Predict",
    "batches_of",
    "collect",
    "collect_arrays",
    "collect_outputs",
    "evaluate",
    "summarise",
    "write_json",
]

Predict = Callable[[np.ndarray], ArrayLike]
Batch = dict[str, Any]


def evaluate(
    predict: Predict, batches: Iterable[Batch], classes: Sequence[str], leaked: ArrayLike | None = None
) -> dict[str, Any]:
    """Return the figures of `summarise` for the predictions of `collect`."""
    return summarise(*collect(predict, batches), classes, leaked)


def collect(predict: Predict, batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict every example once: probabilities float32[N,K], labels int64[N], index int64[N], in ascending index.

    Raises:
      UserError: if there is no example, one comes twice, or predict gives another number of rows than it got.
    """
    parts = [_real_rows(output, batch) for output, batch in _one_late(predict, batches)]
    probabilities, labels, index = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(index, kind="stable")
    probabilities, labels, index = probabilities[order], labels[order], index[order]
    repeated = index[1:][index[1:] == index[:-1]]
    if repeated.size:
        raise UserError(
            f"example {repeated[0]} comes twice in the evaluation batches; mask padding and go through once"
        )
    return probabilities, labels, index


def collect_arrays(function: Callable[[np.ndarray], Sequence[ArrayLike]], batches: Iterable[Batch]) -> list[np.ndarray]:
    """Return what any function uint8[B,H,W,C] -> some arrays [B,...] gives: each whole, in the order of the batches,
    without padding.

    Raises:
      UserError: if there is no example.
    """
    parts = [
        [np.asarray(array)[np.asarray(batch["mask"], bool)] for array in output]
        for output, batch in _one_late(function, batches)
    ]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def collect_outputs(
    predict: Callable[[np.ndarray], Mapping[str, ArrayLike]], names: Iterable[str], batches: Iterable[Batch]
) -> dict[str, np.ndarray]:
    """Like `collect_arrays` for a function that gives its arrays by name: those of `names`, each whole.

    Raises:
      UserError: if there is no example.
    """
    names = list(names)

    def outputs(images: np.ndarray) -> list[ArrayLike]:
        by_name = predict(images)  # once a batch, not once a name
        return [by_name[name] for name in names]

    return dict(zip(names, collect_arrays(outputs, batches), strict=True))


def summarise(
    probabilities: np.ndarray,
    labels: np.ndarray,
    index: np.ndarray,
    classes: Sequence[str],
    leaked: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return the official figures; with `leaked`, the same ones under "deduplicated" for what has no near-duplicate in
    train.

    probabilities float[N,K], labels int[N], index int[N] as `collect` gives them; leaked int[L], the examples of this
    split with a near-duplicate among the training images. "deduplicated" is None if nothing else is left.
    """
    figures = classification_metrics(probabilities, labels, classes)
    if leaked is not None:
        fresh = ~np.isin(index, np.asarray(leaked, np.int64))
        figures["deduplicated"] = None
        if fresh.any():
            figures["deduplicated"] = classification_metrics(probabilities[fresh], labels[fresh], classes)
    return figures


def batches_of(images: np.ndarray, labels: ArrayLike, batch_size: int) -> Iterator[Batch]:
    """Yield the images uint8[N,H,W,C], labels int[N] -> batches in order; the last is filled up with black, masked
    images.

    All batches have one shape, so a jitted predict compiles once.
    """
    labels = np.asarray(labels, np.int32)
    if len(images) != len(labels):
        raise UserError(f"{len(images)} images but {len(labels)} labels; give one label for each image")
    if batch_size < 1:
        raise UserError(f"batch size {batch_size} is too small; give 1 or more")
    return (_slice(images, labels, start, batch_size) for start in range(0, len(images), batch_size))


def _slice(images: np.ndarray, labels: np.ndarray, start: int, batch_size: int) -> Batch:
    image, label = images[start : start + batch_size], labels[start : start + batch_size]
    missing = batch_size - len(image)
    index = np.arange(start, start + batch_size, dtype=np.int32)
    return {
        "inputs": np.pad(image, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else image,
        "label": np.pad(label, (0, missing)) if missing else label,
        "mask": index < len(images),
        "index": index,
    }


def _one_late(function: Callable[[np.ndarray], Any], batches: Iterable[Batch]) -> Iterator[tuple[Any, Batch]]:
    """Yield every batch with what the function gives for it. JAX computes while Python continues, so reading a result
    one batch late keeps the device busy."""
    waiting = None
    for batch in batches:
        output = function(batch["inputs"])
        if waiting is not None:
            yield waiting
        waiting = (output, batch)
    if waiting is None:
        raise UserError("nothing to evaluate: no batch; check the split's name and that the data set is not empty")
    yield waiting


def _real_rows(output: ArrayLike, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and index of the rows that are no padding."""
    mask = np.asarray(batch["mask"], bool)
    probabilities = np.asarray(output, np.float32)
    if probabilities.ndim != 2 or len(probabilities) != len(mask):
        raise UserError(
            f"predict gave shape {probabilities.shape} for {len(mask)} images; it must give one row an image"
        )
    return probabilities[mask], np.asarray(batch["label"], np.int64)[mask], np.asarray(batch["index"], np.int64)[mask]
