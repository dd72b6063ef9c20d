"""Which examples each fold tests: of people that it never trains on, the same for every seed and every network.

OUTPUT/folds.json        what the folds are, each with its people and the SHA-256 of its list
OUTPUT/lists/fold00.txt  the keys of the examples that fold 0 tests, one a line
Shapes: N examples of the split that is folded, F folds.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.data.sampling import separate_unknown, subject_folds
from expressnet_jax.data.selection import fold_of
from expressnet_jax.errors import UserError
from expressnet_jax.io import write_bytes, write_json

LISTS, FACTS = "lists", "folds.json"
_DRAWN_BY = 0  # the seed of drawn folds; the seeds of the runs have no part in it


class Protocol(NamedTuple):
    """Folds of one split of a data set.

    Attributes:
      name: in words.
      split: what is folded.
      fold: int64[N], the fold that tests each example.
      settings: the keys of a config's section `data` that make a run hold out fold i, but for `fold` itself.
    """

    name: str
    split: Split
    fold: np.ndarray
    settings: dict[str, Any]

    @property
    def numbers(self) -> list[int]:
        """The folds in order."""
        return np.unique(self.fold).tolist()

    def tested(self, number: int) -> np.ndarray:
        """Return the positions int64[n] in the split of what a fold tests."""
        return np.flatnonzero(self.fold == number)


def make_protocol(
    prepared: Prepared, config: ConfigDict, *, folds: int = 5, one_subject: bool = False, column: str = ""
) -> Protocol:
    """Return `folds` subject-exclusive folds, a fold a person with `one_subject`, or the official ones of a column.

    Raises:
      UserError: the data set doesn't say who is who, has fewer people than folds, or no such column.
    """
    wanted = config.data.train_split
    name = ("train" if "train" in prepared.splits else "all") if wanted == "auto" else wanted
    split = prepared.split(name)
    settings: dict[str, Any] = {"train_split": name, "validation_split": "holdout", "fold_seed": _DRAWN_BY}
    if column:
        fold = fold_of(split, 0.5, 0, 0, column)
        return Protocol(f"official folds ({column})", split, fold, settings | {"fold_column": column, "folds": 0})
    if split.subjects is None:
        raise UserError(f"{prepared.name}: doesn't say who is in an example, so that people could be on both sides")
    unknown = int((np.asarray(split.subjects) == "").sum())
    if one_subject and unknown:
        raise UserError(f"{prepared.name}: doesn't say who is in {unknown:,} examples; give --folds instead")
    people = len(np.unique(separate_unknown(split.subjects)))
    folds = people if one_subject else folds
    if folds < 2:
        raise UserError(f"--folds {folds}: {prepared.name} has {people} people; give from 2 to that")
    fold = subject_folds(split.labels, split.subjects, folds, _DRAWN_BY)
    words = "leave one subject out" if one_subject else f"{folds} subject-exclusive folds"
    return Protocol(words, split, fold, settings | {"fold_column": "", "folds": folds})


def check_classes(protocol: Protocol) -> None:
    """Raise UserError for a fold whose training examples are of one class alone."""
    split = protocol.split
    for number in protocol.numbers:
        labels = np.unique(split.labels[protocol.fold != number])
        if len(labels) < 2:
            raise UserError(
                f"fold {number}: every example that it trains on is {split.classes[labels[0]]!r}, and a classifier"
                " needs two classes; give other --folds, or more people"
            )


def write_protocol(protocol: Protocol, prepared: Prepared, folder: Path) -> dict[str, Any]:
    """Write the folds' lists and what they are; return the latter.

    Raises:
      UserError: the folder holds other folds.
    """
    facts = {"data": prepared.label, "protocol": protocol.name, "split": protocol.settings["train_split"]}
    facts |= {"examples": len(protocol.split), "folds": list(_describe(protocol))}
    path = folder / FACTS
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(facts)):
        raise UserError(f"{folder}: holds the results of other folds or other data; give another --output")
    for number in protocol.numbers:
        write_bytes(folder / LISTS / f"fold{number:02d}.txt", _list_of(protocol, number))
    write_json(path, facts)
    return facts


def _describe(protocol: Protocol) -> Iterator[dict[str, Any]]:
    for number in protocol.numbers:
        tested, subjects = protocol.tested(number), protocol.split.subjects
        people = [] if subjects is None else np.unique(subjects[tested]).tolist()
        digest = hashlib.sha256(_list_of(protocol, number)).hexdigest()
        yield {"fold": number, "people": people, "tests": len(tested), "sha256": digest}


def _list_of(protocol: Protocol, number: int) -> bytes:
    return "".join(f"{key}\n" for key in protocol.split.keys[protocol.tested(number)]).encode()
