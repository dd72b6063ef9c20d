"""The images of both domains, in the classes that they share.

The target's labels are looked at for two things only: which classes it has, and, in `supervised`, to learn from them.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from expressnet_jax.data import selection
from expressnet_jax.data.label_matching import labels_in
from expressnet_jax.data.labels import shared_classes
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.errors import UserError, shorten
from expressnet_jax.training.checkpoints.data_identity import Learned
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.train_data import find_prepared, load_data

KNOWN_PEOPLE = "of people that the identity pretraining knows"
_SPLIT_SEED = 0  # of the held-out target images: the same ones for every seed of a run


class Domains(NamedTuple):
    """Source and target in the same K classes.

    Attributes:
      train, select: the source's images to learn from and to validate on.
      adapt_split: the target images that a method adapts on (transductive figures are of these).
      test_split: the target images that it never sees.
      left_out: how many target images are left out, by their class, or because an identity run knows who it is.
      source_data, target_data: the prepared sets that they are of, for the run's record.
    """

    classes: tuple[str, ...]
    train: Split
    select: Split
    adapt_split: Split
    test_split: Split
    left_out: dict[str, int]
    source_data: Learned
    target_data: Learned


def load_domains(config: ConfigDict, origin: Checkpoint) -> Domains:
    """Return both data sets of a config, restricted to `adapt.classes` or all that they share.

    Raises:
      UserError: no target, a target that is not prepared, too small or without a common class, a class that the source
        or the checkpoint does not know.
    """
    if not config.adapt.target:
        raise UserError(
            "adapt.target: give the name of a prepared data set, as in --config.adapt.target=lfw_expression"
        )
    data = load_data(config)
    source, chosen = data.prepared, data.chosen
    target = find_prepared(config, config.adapt.target, key="adapt.target")
    classes = _common_classes(source, target, config.adapt.classes, origin)
    aimed = selection.select_splits(target, holdout=config.adapt.holdout, seed=_SPLIT_SEED)
    people = {person for run in origin.lineage for person in run.get("people", ())}
    adapt_split, adapt_out = _restrict(aimed.train, classes, people)
    test_split, test_out = _restrict(aimed.select, classes, people)
    left_out = dict(adapt_out + test_out)
    if min(len(adapt_split), len(test_split)) < 2:
        raise UserError(
            f"adapt.target: {target.name} has {len(adapt_split)} images of {', '.join(classes)} to adapt on and"
            f" {len(test_split)} to hold out; prepare more"
        )
    train, select = (_restrict(s, classes, ())[0] for s in (chosen.train, chosen.select))
    learned = data.learned._replace(examples=train, select=select)
    adapted = Learned(target, aimed.train_name, adapt_split, test_split, labelled=False)
    return Domains(classes, train, select, adapt_split, test_split, left_out, learned, adapted)


def _common_classes(source: Prepared, target: Prepared, wanted: Sequence[str], origin: Checkpoint) -> tuple[str, ...]:
    """Return the classes of a run in the source's order. Of a folder's own words, only equal ones are the same."""
    present = [_present(prepared) for prepared in (source, target)]
    shared = shared_classes(*present)
    if missing := [name for name in wanted if name not in shared]:
        raise UserError(f"adapt.classes: {missing[0]} is not in both; the shared ones are {', '.join(shared)}")
    classes = tuple(name for name in shared if name in wanted) if wanted else shared
    if len(classes) < 2:
        raise UserError(f"adapt.classes: {', '.join(classes)} alone; give two or more of {', '.join(shared)}")
    if unknown := [name for name in classes if name not in origin.classes]:
        raise UserError(
            f"init_from: {origin.path} does not know {unknown[0]}; it knows {shorten(origin.classes)};"
            f" train it on {source.name} first, or leave the class out with adapt.classes"
        )
    return classes


def labelled_examples(split: Split, per_class: int, seed: int) -> Split:
    """Return `per_class` images of every class, drawn by the seed; all for 0.

    Raises:
      UserError: a class with fewer images.
    """
    if not per_class:
        return split
    counts = np.bincount(split.labels, minlength=len(split.classes))
    if (counts < per_class).any():
        scarce = int(counts.argmin())
        raise UserError(
            f"adapt.labels_per_class: {per_class}, but there are {counts[scarce]} images of {split.classes[scarce]};"
            " give fewer, or leave the class out with adapt.classes"
        )
    order = np.random.Generator(np.random.Philox(key=[seed, per_class])).permutation(len(split))
    chosen = [order[split.labels[order] == k][:per_class] for k in range(len(split.classes))]
    return split.subset(np.sort(np.concatenate(chosen)))


def _present(prepared: Prepared) -> list[str]:
    """Return the classes that have images, in the data set's order."""
    counts = [split["per_class"] for split in prepared.facts["splits"].values()]
    return [name for name in prepared.classes if any(count.get(name, 0) for count in counts)]


def _restrict(split: Split, classes: tuple[str, ...], people: Collection[str]) -> tuple[Split, Counter[str]]:
    """Return the split in these classes and without these people, and how many images that leaves out of what."""
    labels = labels_in(split, classes)
    taken = labels >= 0
    left_out = Counter(split.classes[label] for label in split.labels[~taken])
    if people and split.subjects is not None:
        familiar = taken & np.isin(split.subjects, list(people))
        left_out[KNOWN_PEOPLE] += int(familiar.sum())
        taken &= ~familiar
    kept = np.flatnonzero(taken)
    return split.subset(kept).relabelled(classes, labels[kept]), left_out
