"""The labelled images that a report is computed on, in the classes that the model and the data set share.

Shapes: N examples, H height, W width, C channels, K classes of the model, S shared classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from expressnet_jax.data.audit import leaked_examples
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.label_matching import labels_in
from expressnet_jax.data.labels import canonical
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.errors import UserError, shorten

_PREFERRED = ("test", "validation", "all", "train")
FEWEST = 10


@dataclass(frozen=True)
class Examples:
    """Images with labels.

    Attributes:
      name, split: of the data set.
      identity: NAME@IDENTITY/SPLIT.
      images: uint8[N,H,W,C], as the model takes them.
      labels: int64[N] in `classes`.
      classes: the S class names, in the model's order.
      index: int64[N], the places in the split; `keys` str[N] their names.
      columns: what else the data set knows of each, [N,...].
      leaked: the places in the split that have a near-duplicate in train; None if the set was not audited.
      left_out: how many examples have a class that the model does not know.
    """

    name: str
    split: str
    identity: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    index: np.ndarray
    keys: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    leaked: Sequence[int] | None = None
    left_out: int = 0
    model_classes_left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, positions: np.ndarray) -> "Examples":
        """Return these examples only, in this order; `left_out` and `leaked` are of the whole."""
        columns = {name: column[positions] for name, column in self.columns.items()}
        parts = {name: getattr(self, name)[positions] for name in ("images", "labels", "index", "keys")}
        return replace(self, **parts, columns=columns)

    def sample(self, count: int) -> "Examples":
        """Return at most `count` examples with every class in its share, always the same ones."""
        if len(self) <= count:
            return self
        order = np.random.default_rng(0).permutation(len(self))
        by_class = order[np.argsort(self.labels[order], kind="stable")]
        return self.subset(np.sort(by_class[np.linspace(0, len(self) - 1, count).round().astype(int)]))


def load_examples(
    prepared: Prepared, name: str, classes: Sequence[str], shape: Sequence[int], split: str | None = None
) -> Examples:
    """Return a split of a prepared data set for a model of `classes` and images of `shape` (H, W, C).

    Without `split` it is the first of test, validation, all, train. Classes are matched by the taxonomy
    (`happy` is `happiness`); an answer is one of the classes that both know.

    Raises:
      UserError: no label, one class only, or fewer than two classes in common.
    """
    chosen = split or next((each for each in _PREFERRED if each in prepared.splits), next(iter(prepared.splits)))
    stored = prepared.split(chosen)
    if prepared.holds != "images" or prepared.facts.get("notes", {}).get("frames"):
        holds = prepared.holds if prepared.holds != "images" else "clips"
        raise UserError(f"--data {name}: holds {holds}; a report is about models of single images")
    if not len(stored) or (stored.labels < 0).all():
        raise UserError(f"--data {name}: its split {chosen} has no labels; a report needs labelled images")
    shared = _shared(stored.classes, classes, name)
    found = labels_in(stored, classes)
    kept = np.flatnonzero((found >= 0) & (stored.labels >= 0))
    _check_enough([classes[i] for i in found[kept]], f"--data {name}", chosen)
    part = stored.subset(kept)
    known = {column: part.columns[column] for column in part.columns if column not in ("label", "key")}
    place = {at: i for i, at in enumerate(shared.tolist())}
    return Examples(
        name=prepared.name,
        split=chosen,
        identity=f"{prepared.label}/{chosen}",
        images=decode_all(part, (shape[0], shape[1]), shape[2]),
        labels=np.array([place[label] for label in found[kept].tolist()]),
        classes=tuple(classes[i] for i in shared),
        index=part.indices,
        keys=part.keys,
        columns=_votes_shared(known, stored.classes, [classes[i] for i in shared]),
        leaked=leaked_examples(prepared, chosen),
        left_out=len(stored) - len(kept),
        model_classes_left_out=tuple(each for i, each in enumerate(classes) if i not in place),
    )


def _check_enough(names: Sequence[str], data: str, split: str) -> None:
    """Raise UserError unless the usable examples' class names are of two classes and FEWEST at least."""
    if len(set(names)) < 2:
        only = repr(names[0]) if names else "of a class that the model does not know"
        raise UserError(f"{data}: every usable image of {split} is {only}; a report needs two classes at least")
    if len(names) < FEWEST:
        raise UserError(f"{data}: {len(names)} usable images in {split}; a report needs {FEWEST} at least")


def restrict(probabilities: np.ndarray, own: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return probabilities float32[N,K] of a model's `own` classes as those of S `classes` alone, each row's sum 1.

    A class that the model does not know has the probability 0.
    """
    places = {_word(name): i for i, name in enumerate(own)}
    at = np.array([places.get(_word(name), -1) for name in classes])
    rows = np.where(at >= 0, probabilities[:, at], 0).astype(np.float32)
    return rows / np.maximum(rows.sum(1, keepdims=True), np.finfo(np.float32).tiny)


def _shared(own: Sequence[str], classes: Sequence[str], name: str) -> np.ndarray:
    """Return the positions int64[S] of the model's classes that the data set has too."""
    known = {_word(each) for each in own}
    shared = [i for i, each in enumerate(classes) if _word(each) in known]
    if len(shared) < 2:
        raise UserError(
            f"--data {name}: the model knows {shorten(classes)}, the data set {shorten(own)}; fewer than two in common"
        )
    return np.array(shared)


def _votes_shared(columns: dict[str, np.ndarray], own: Sequence[str], shared: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the votes in the order of the shared classes, each row's sum 1; a row without any is NaN."""
    if "votes" not in columns:
        return columns
    at = [[_word(each) for each in own].index(_word(each)) for each in shared]
    votes = np.asarray(columns["votes"], np.float64)[:, at]
    total = votes.sum(1, keepdims=True)
    return columns | {"votes": np.where(total > 0, votes / np.where(total > 0, total, 1), np.nan)}


def _word(name: str) -> str:
    """Return the taxonomy's word of a class name, or the name itself."""
    return canonical(name) or name
