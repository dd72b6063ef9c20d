"""Wrong labels on purpose: how many, which ones, what they become, and what stays."""

import numpy as np
import pytest
from scipy.stats import chisquare

from expressnet_jax.config import default
from expressnet_jax.config_values import check_values
from expressnet_jax.data.label_noise import flipped, with_flipped_labels
from expressnet_jax.data.prepared import Split
from expressnet_jax.data.selection import select_splits
from expressnet_jax.errors import UserError

CLASSES = ("anger", "fear", "happiness", "neutral")


def split_of(count, seed=0, votes=True):
    labels = np.random.default_rng(seed).integers(0, 4, count).astype(np.int32)
    columns = {"label": labels, "key": np.arange(count).astype(str), "valence": np.linspace(-1, 1, count)}
    if votes:
        columns["votes"] = np.where(np.eye(4)[labels] > 0, 0.7, 0.1).astype(np.float32)
    return Split(["nowhere"], CLASSES, columns, np.arange(count), count)


def test_so_many_labels_become_any_other_class_equally_often():
    labels = np.full(9000, 2, np.int32)
    changed = flipped(labels, 4, 6000, seed=3)
    counts = np.bincount(changed, minlength=4)
    assert counts[2] == 3000 and changed.dtype == np.int32 and (labels == 2).all()
    assert chisquare(counts[[0, 1, 3]]).pvalue > 0.01


def test_more_noise_changes_the_same_labels_and_others():
    labels = split_of(200).labels
    few, many, other = (flipped(labels, 4, count, seed) for count, seed in ((20, 0), (60, 0), (20, 1)))
    at = few != labels
    assert at.sum() == 20 and (few[at] == many[at]).all() and (many != labels).sum() == 60
    np.testing.assert_array_equal(few, flipped(labels, 4, 20, 0))
    assert (few != other).any()


def test_a_missing_label_stays_missing():
    labels = np.array([-1, 0, -1, 1, -1], np.int32)
    changed = flipped(labels, 2, 5, seed=0)
    np.testing.assert_array_equal(changed, [-1, 1, -1, 0, -1])


def test_votes_follow_and_further_targets_stay():
    split = split_of(50)
    noisy = with_flipped_labels(split, 15, seed=0)
    assert (noisy.labels != split.labels).sum() == 15
    np.testing.assert_array_equal(noisy.votes.argmax(1), noisy.labels)
    np.testing.assert_allclose(noisy.votes.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(noisy.columns["valence"], split.columns["valence"])
    assert with_flipped_labels(split, 0, seed=0) is split
    assert with_flipped_labels(split_of(50, votes=False), 15, seed=0).votes is None


def test_what_selects_keeps_its_labels():
    class Shelf:
        name, splits, parts = "faces", {"train": 40, "validation": 20}, {}

        def split(self, name):
            return split_of(self.splits[name], seed=len(name))

    chosen = select_splits(Shelf(), flip_labels=0.3, seed=5)
    assert chosen.flipped == 12 == (chosen.train.labels != split_of(40, seed=5).labels).sum()
    np.testing.assert_array_equal(chosen.select.labels, split_of(20, seed=10).labels)
    held = select_splits(Shelf(), validation_split="holdout", holdout=0.25, flip_labels=0.5)
    np.testing.assert_array_equal(held.select.labels, split_of(40, seed=5).labels[held.select.indices])


def test_more_than_all_labels_are_refused():
    config = default()
    config.data.flip_labels = 1.5
    with pytest.raises(UserError, match=r"data.flip_labels: 1.5; it must be at least 0 and at most 1"):
        check_values(config)
