"""Which examples train and which select: never the test split, never a subject on both sides."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from expressnet_jax.data.audit import load_audit
from expressnet_jax.data.label_noise import with_flipped_labels
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.data.sampling import separate_unknown, subject_folds
from expressnet_jax.errors import UserError

# The keys of a config's section `data` that `select_splits` is given.
SETTINGS = (
    *("train_split", "validation_split", "holdout", "folds", "fold", "fold_seed", "fold_column", "drop_leaks"),
    "flip_labels",
)


class Splits(NamedTuple):
    """Training and selection examples, how many training examples were left out because they leak, and how many got
    another label on purpose."""

    train: Split
    select: Split
    train_name: str
    select_name: str
    dropped: int
    flipped: int = 0


def select_splits(
    prepared: Prepared,
    *,
    train_split: str = "auto",
    validation_split: str = "auto",
    holdout: float = 0.1,
    folds: int = 0,
    fold: int = 0,
    fold_seed: int = -1,
    fold_column: str = "",
    drop_leaks: bool = False,
    flip_labels: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Return the training and selection examples of a prepared data set.

    `validation_split="auto"` is the official validation split or, where there is none, a part held out of the training
    split (the share `holdout`, to the nearest 1/k, or fold number `fold` of `folds`), by subject where subjects are
    known. Folds are drawn by `fold_seed`, or by `seed` where that is -1; with `fold_column` they are those of the data
    set. Of the training examples the share `flip_labels` gets another class, drawn by `seed`; what selects keeps its
    labels. The test split is never used.

    Raises:
      UserError: an unknown or empty split, the test split asked for, one split asked to do both, one class only,
        leaks to drop but no audit.
    """
    train_split, validation_split = _named(prepared, train_split, validation_split, bool(folds or fold_column))
    _check_names(train_split, validation_split, folds)
    train = prepared.split(train_split)
    if validation_split == "holdout":
        numbers = fold_of(train, holdout, folds, seed if fold_seed < 0 else fold_seed, fold_column)
        train, select = _cut(train, numbers, fold)
        where = f"holdout of {train_split}"
    else:
        _check_no_folds(validation_split, {"fold": fold, "folds": folds, "fold_column": fold_column})
        select, where = prepared.split(validation_split), validation_split
    before = len(train)
    if drop_leaks:
        train = _without_leaks(prepared, train, train_split)
    _check(prepared.name, train, select)
    flipped = round(flip_labels * len(train))
    return Splits(with_flipped_labels(train, flipped, seed), select, train_split, where, before - len(train), flipped)


def unlearned(chosen: Splits) -> dict[str, int]:
    """Return the classes that examples select by and none trains, with how many examples of each select."""
    counts = [np.bincount(split.labels, minlength=len(split.classes)) for split in (chosen.train, chosen.select)]
    return {
        name: int(select)
        for name, train, select in zip(chosen.train.classes, *counts, strict=True)
        if select > train == 0
    }


def _named(prepared: Prepared, train: str, validation: str, by_fold: bool) -> tuple[str, str]:
    """Return the two splits with `auto` replaced by what the data set has."""
    if train == "auto":
        train = "train" if "train" in prepared.splits else "all"
    if validation == "auto":
        validation = "validation" if "validation" in prepared.splits and not by_fold else "holdout"
    return train, validation


def _check_names(train_split: str, validation_split: str, folds: int) -> None:
    if train_split == "test":
        raise UserError("data.train_split: the test split never trains; use train, all or auto")
    if validation_split == "test":
        raise UserError("data.validation_split: the test split never selects; use validation, holdout or auto")
    if validation_split == train_split:
        raise UserError(f"data.validation_split: {validation_split} is what trains; use validation, holdout or auto")
    if folds and folds < 2:
        raise UserError(f"data.folds: {folds}; 2 or more, or 0 for none")


def _check_no_folds(validation_split: str, given: Mapping[str, int | str]) -> None:
    if named := [name for name, value in given.items() if value]:
        raise UserError(
            f"data.{named[0]}: {validation_split} selects, so that there are no folds; use data.folds=5 or so with"
            " data.validation_split=auto"
        )


def _cut(split: Split, numbers: np.ndarray, fold: int) -> tuple[Split, Split]:
    """Return the examples outside of a fold and those in it; `numbers` int64[N] are the folds."""
    if fold not in numbers:
        raise UserError(f"data.fold: {fold} is not one of the folds {numbers.min()} to {numbers.max()}")
    chosen = numbers == fold
    return split.subset(np.flatnonzero(~chosen)), split.subset(np.flatnonzero(chosen))


def fold_of(split: Split, holdout: float, folds: int, seed: int, column: str = "") -> np.ndarray:
    """Return the fold int64[N] of each example: that of a column, or by subject where subjects are known.

    Raises:
      UserError: no such column, or fewer subjects, or examples, than folds.
    """
    if column:
        if column not in split.columns or not np.issubdtype(split.columns[column].dtype, np.integer):
            raise UserError(f"data.fold_column: the data set has no column {column!r} of whole numbers")
        return split.columns[column].astype(np.int64)
    if not folds and not 0 < holdout < 1:
        raise UserError(f"data.holdout: {holdout} is not a share between 0 and 1")
    if folds:
        return subject_folds(split.labels, split.subjects, folds, seed)
    parts = max(round(1 / holdout), 2)
    _check_holdout(split, holdout, parts)
    return subject_folds(split.labels, split.subjects, parts, seed)


def _check_holdout(split: Split, holdout: float, parts: int) -> None:
    count = len(split) if split.subjects is None else len(np.unique(separate_unknown(split.subjects)))
    if count >= parts:
        return
    whole = f"{count} {'example' if split.subjects is None else 'subject'}{'' if count == 1 else 's'}"
    least = f"use {math.ceil(100 / count) / 100:g} or more" if count > 1 else "prepare it with a validation split"
    raise UserError(f"data.holdout: {holdout:g} of {whole} is less than one; {least}")


def _without_leaks(prepared: Prepared, train: Split, name: str) -> Split:
    audit = load_audit(prepared)
    if audit is None:
        raise UserError(f"data.drop_leaks: run `expressnet audit {prepared.name}` first; it finds the leaks")
    leaks = audit["leaks"].get(name, [])
    return train.subset(np.flatnonzero(~np.isin(train.indices, leaks)))


def _check(name: str, train: Split, select: Split) -> None:
    for split, role in ((train, "training"), (select, "selection")):
        if len(split) == 0:
            raise UserError(f"{name}: the {role} split is empty")
    if len(np.unique(train.labels)) < 2:
        only = train.classes[train.labels[0]]
        raise UserError(f"{name}: every training example is {only!r}; a classifier needs two classes at least")
