"""The order of the examples: what it promises a run that stops, resumes, or moves to other hosts."""

import numpy as np
import pytest
from scipy.stats import chisquare

from expressnet_jax.data.sampling import Balanced, Uniform, permutation, process_slice, subject_folds
from expressnet_jax.errors import UserError

LABELS = np.repeat([0, 1, 2, 4], [500, 300, 30, 170])  # class 3 has no example


def stream(sampler, steps):
    return np.concatenate([sampler.indices(step) for step in range(steps)])


@pytest.mark.parametrize(("examples", "batch"), [(10, 4), (7, 7), (12, 4), (3, 8), (1, 2)])
def test_uniform_brings_every_example_once_an_epoch_without_a_gap(examples, batch):
    epochs = stream(Uniform(examples, batch, seed=3), 20)[: 20 * batch // examples * examples].reshape(-1, examples)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(examples), (len(epochs), 1)))


def test_uniform_shuffles_anew_by_epoch_and_by_seed():
    epochs = stream(Uniform(50, 10, seed=0), 15).reshape(3, 50)
    other = stream(Uniform(50, 10, seed=1), 5)
    orders = [tuple(order) for order in (*epochs, other, np.arange(50))]
    assert len(set(orders)) == 5


def test_every_place_is_equally_likely_in_the_first_batch():
    seen = np.bincount(np.concatenate([Uniform(20, 5, seed).indices(0) for seed in range(800)]), minlength=20)
    assert chisquare(seen).pvalue > 1e-3


@pytest.mark.parametrize("sampler", [Uniform(10, 4, 5), Balanced(LABELS, 4, 5)])
def test_a_batch_depends_on_seed_and_step_only(sampler):
    forward = [sampler.indices(step) for step in range(40)]
    permutation.cache_clear()
    fresh = type(sampler)(*vars(sampler).values()) if isinstance(sampler, Uniform) else Balanced(LABELS, 4, 5)
    for step in (39, 0, 17, 17, 3):
        np.testing.assert_array_equal(fresh.indices(step), forward[step])
    assert forward[0].dtype == np.int64 and forward[0].shape == (4,)


def test_a_batch_can_be_written_to_without_changing_the_next():
    sampler = Uniform(8, 8, 0)
    first = sampler.indices(0)
    first[:] = -1
    np.testing.assert_array_equal(np.sort(sampler.indices(0)), np.arange(8))


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_slices_of_all_processes_are_the_batch(processes):
    batch = Uniform(100, 16, 0).indices(3)
    slices = [process_slice(batch, i, processes) for i in range(processes)]
    assert {len(part) for part in slices} == {16 // processes}
    np.testing.assert_array_equal(np.concatenate(slices), batch)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_balanced_draws_classes_by_their_size_to_the_power_one_minus_strength(strength):
    drawn = stream(Balanced(LABELS, 50, seed=1, strength=strength), 400)
    size = np.bincount(LABELS)[[0, 1, 2, 4]].astype(float)
    expected = size ** (1 - strength) / (size ** (1 - strength)).sum()
    seen = np.bincount(LABELS[drawn], minlength=5)
    assert seen[3] == 0
    assert chisquare(seen[[0, 1, 2, 4]], expected * len(drawn)).pvalue > 1e-3


def test_balanced_draws_evenly_within_a_class():
    drawn = stream(Balanced(LABELS, 50, seed=2, strength=1.0), 400)
    rare = np.bincount(drawn[LABELS[drawn] == 2], minlength=830)[800:830]
    assert chisquare(rare).pvalue > 1e-3


def subjects(rng, sizes):
    names = np.repeat([f"s{i}" for i in range(len(sizes))], sizes)
    return names[rng.permutation(len(names))]


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_no_subject_is_in_two_folds_and_folds_are_as_even_as_subjects_allow(folds):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 30, 40)
    names = subjects(rng, sizes)
    fold = subject_folds(rng.integers(0, 7, len(names)), names, folds)
    assert all(len(set(fold[names == name])) == 1 for name in set(names))
    filled = np.bincount(fold, minlength=folds)
    assert filled.sum() == len(names) and np.ptp(filled) <= sizes.max()


def test_as_many_folds_as_subjects_leaves_one_subject_out():
    names = np.array(["a", "b", "b", "c", "a"])
    fold = subject_folds(np.zeros(5, int), names, 3)
    assert len(set(fold)) == 3


def test_examples_of_unknown_subjects_are_spread_and_not_one_large_subject():
    names = np.array(["a"] * 10 + [""] * 80 + ["b"] * 10)
    fold = subject_folds(np.zeros(100, int), names, 5)
    assert np.bincount(fold).tolist() == [20] * 5
    assert len(set(fold[:10])) == len(set(fold[90:])) == 1


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_without_subjects_classes_are_spread_evenly(folds):
    fold = subject_folds(LABELS, None, folds)
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for label in np.unique(LABELS):
        assert np.ptp(np.bincount(fold[label == LABELS], minlength=folds)) <= 1


@pytest.mark.parametrize("known", [True, False])
def test_folds_are_drawn_by_seed(known):
    rng = np.random.default_rng(0)
    names = subjects(rng, np.full(30, 4)) if known else None
    labels = rng.integers(0, 7, 120)
    first, again, other = (subject_folds(labels, names, 5, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_too_many_folds_are_refused():
    with pytest.raises(UserError, match="4 folds need as many subjects; there are 2"):
        subject_folds(np.zeros(6, int), ["a", "b"] * 3, 4)
    with pytest.raises(UserError, match="4 folds need as many examples; there are 3"):
        subject_folds(np.zeros(3, int), None, 4)
