"""Losses of domain adaptation against the papers' formulas, written once more in NumPy, SciPy and PyTorch.

Shapes: B batch, D features, K classes.
"""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.metrics.pairwise import rbf_kernel

from expressnet_jax.adaptation.cdan import entropy_weights, multilinear_map
from expressnet_jax.adaptation.coral import coral
from expressnet_jax.adaptation.dann import domain_loss
from expressnet_jax.adaptation.entropy import entropy
from expressnet_jax.adaptation.mcc import mcc
from expressnet_jax.adaptation.mmd import mmd
from expressnet_jax.adaptation.safn import stepwise_feature_norm
from expressnet_jax.adaptation.self_training import (
    flexible_thresholds,
    pseudo_labels,
    self_training_loss,
    update_shares,
)
from expressnet_jax.adaptation.shot import centroid_labels, information_maximisation
from expressnet_jax.adaptation.swd import classifier_discrepancy, random_directions, sliced_wasserstein
from expressnet_jax.adaptation.tent import affine_mask, mean_entropy
from expressnet_jax.models.registry import create_model, models_of
from weights import SMALLER

KEY = jax.random.key(0)

# Op by op, each of these would take a dozen compilations.
mmd = jax.jit(mmd, static_argnames="octaves")
sliced_wasserstein = jax.jit(sliced_wasserstein, static_argnames="projections")
random_directions = jax.jit(random_directions, static_argnames=("dimensions", "count"))
coral, mcc, entropy, mean_entropy, entropy_weights = map(jax.jit, (coral, mcc, entropy, mean_entropy, entropy_weights))
stepwise_feature_norm, self_training_loss = map(jax.jit, (stepwise_feature_norm, self_training_loss))
information_maximisation, classifier_discrepancy = map(jax.jit, (information_maximisation, classifier_discrepancy))
centroid_labels, update_shares = map(jax.jit, (centroid_labels, update_shares))


def normal(*shape, seed=0, scale=1.0, shift=0.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale + shift).astype(np.float32)


def softmax(logits):
    e = np.exp(np.float64(logits) - np.max(logits, -1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def slope(function, x, size=1e-5):
    """Central differences of a NumPy function, float64, of the shape of x."""
    x, result = np.float64(x), np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = size
        result[place] = (function(x + step) - function(x - step)) / (2 * size)
    return result


SOURCE, TARGET = normal(6, 4, seed=1), normal(6, 4, seed=2, scale=2.0, shift=0.5)
LOGITS, OTHERS = normal(8, 5, seed=3, scale=2.0), normal(8, 5, seed=4, scale=2.0)

# Every loss with a gradient, in the form (float[B,C], float[B,C]) -> float32[], to be held to what all have in common.
PAIRS = {
    "mmd": mmd,
    "coral": coral,
    "domain": lambda a, b: domain_loss(a[:, 0], b[:, 0], entropy_weights(jax.nn.softmax(a))),
    "cdan": lambda a, b: jnp.square(multilinear_map(a, jax.nn.softmax(b))).mean(),
    "mcc": lambda a, b: mcc(a) + mcc(b),
    "mcd": lambda a, b: classifier_discrepancy(jax.nn.softmax(a), jax.nn.softmax(b)),
    "swd": lambda a, b: sliced_wasserstein(jax.nn.softmax(a), jax.nn.softmax(b), KEY),
    "safn": lambda a, b: stepwise_feature_norm(jnp.concatenate([a, b])),
    "self_training": lambda a, b: self_training_loss(a, b, 0.3),
    "shot": lambda a, b: information_maximisation(a) + information_maximisation(b),
    "tent": lambda a, b: mean_entropy(a) + mean_entropy(b),
}
GRADIENTS = {name: jax.jit(jax.value_and_grad(loss, (0, 1))) for name, loss in PAIRS.items()}
ROWS = np.eye(5, dtype=np.float32)[np.zeros(8, int)]
DEGENERATE = {
    "all zero": (0 * ROWS, 0 * ROWS),
    "all equal": (ROWS * 0 + 0.7, ROWS * 0 + 0.7),
    "equal and large": (ROWS * 0 + 1234.567, ROWS * 0 + 1234.567),
    "one class, certainly": (200 * ROWS, 200 * ROWS),
    "certain of different classes": (1e4 * ROWS, 1e4 * ROWS[:, ::-1]),
    "certain, all classes": (300 * np.eye(8, 5, dtype=np.float32), 300 * np.eye(8, 5, k=-3, dtype=np.float32)),
    "one example of its own": (np.where(np.arange(8)[:, None] == 0, 100, 0) * ROWS, 0 * ROWS),
    "hardly any spread": (1e-20 * LOGITS, 1e-20 * OTHERS),
}


@pytest.mark.parametrize("inputs", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("name", PAIRS)
def test_degenerate_batches_give_finite_values_and_gradients(name, inputs):
    value, gradients = GRADIENTS[name](*map(jnp.asarray, inputs))
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() and np.abs(gradient).max() < 1e5 for gradient in gradients)


@pytest.mark.parametrize("name", PAIRS)
def test_losses_compile_and_compute_in_float32_whatever_comes_in(name):
    halves = jnp.asarray(LOGITS, jnp.bfloat16), jnp.asarray(OTHERS, jnp.bfloat16)
    value, gradients = GRADIENTS[name](*halves)
    assert (value.dtype, value.shape) == (jnp.float32, ())
    assert [gradient.dtype for gradient in gradients] == [jnp.bfloat16] * 2
    if name not in ("mcd", "swd", "cdan", "domain"):  # their softmax, which is not theirs, is in bfloat16 here
        full, _ = GRADIENTS[name](*(half.astype(jnp.float32) for half in halves))
        np.testing.assert_allclose(value, full, rtol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_losses_move_what_they_are_for(name):
    _, (first, second) = GRADIENTS[name](jnp.asarray(LOGITS), jnp.asarray(OTHERS))
    conditions = name in ("cdan", "self_training")  # the second argument is a condition, a teacher
    assert np.abs(first).max() > 1e-4 and (np.abs(second).max() > 1e-4) != conditions


def test_losses_of_single_examples_are_finite():
    one, other = jnp.asarray(LOGITS[:1]), jnp.asarray(OTHERS[:1])
    for name in ("mmd", "coral", "mcc", "shot"):
        value, gradients = GRADIENTS[name](one, other)
        assert all(np.isfinite(x).all() for x in (value, *gradients)), name


def mmd_of(source, target, bandwidth, octaves=(-2, -1, 0, 1, 2)):
    """Gretton et al. 2012, eq. 3, sum by sum."""
    source, target = np.float64(source), np.float64(target)
    kernel = lambda x, y: np.mean([rbf_kernel(x, y, 1 / (2.0**o * bandwidth)) for o in octaves], axis=0)

    def within(x):
        pairs, values = list(itertools.permutations(range(len(x)), 2)), kernel(x, x)
        return sum(values[i, j] for i, j in pairs) / len(pairs)

    return within(source) + within(target) - 2 * kernel(source, target).mean()


def mean_distance(*samples):
    distances = cdist(*[np.concatenate(samples).astype(np.float64)] * 2, "sqeuclidean")
    return distances[~np.eye(len(distances), dtype=bool)].mean()


@pytest.mark.parametrize("count", [6, 3])
def test_mmd_is_the_unbiased_statistic_of_gretton(count):
    source = SOURCE[:count]
    expected = mmd_of(source, TARGET, mean_distance(source, TARGET))
    np.testing.assert_allclose(mmd(source, TARGET), expected, rtol=1e-5)
    expected = mmd_of(source, TARGET, mean_distance(source, TARGET), (0, 3))
    np.testing.assert_allclose(mmd(source, TARGET, (0, 3)), expected, rtol=1e-5)


def test_mmd_is_symmetric_and_knows_neither_place_nor_scale():
    value = mmd(SOURCE, TARGET)
    np.testing.assert_allclose(mmd(TARGET, SOURCE), value, rtol=3e-6)  # sums in another order
    np.testing.assert_allclose(mmd(100 * SOURCE, 100 * TARGET), value, rtol=1e-5)
    np.testing.assert_allclose(mmd(SOURCE + 1000, TARGET + 1000), value, rtol=2e-3)


def test_mmd_of_one_distribution_is_zero_on_average():
    """Over all ways to deal one sample out to two domains it is so exactly, with the bandwidth of the whole."""
    sides = [(list(side), [i for i in range(6) if i not in side]) for side in itertools.combinations(range(6), 3)]
    values = jax.vmap(mmd)(*(SOURCE[np.array(side)] for side in zip(*sides, strict=True)))
    assert np.std(values) > 0.01
    np.testing.assert_allclose(values.mean(), 0, atol=1e-6)


def test_mmd_grows_with_the_distance_between_domains():
    values = [float(mmd(SOURCE, normal(6, 4, seed=2, shift=shift))) for shift in (0, 1, 3)]
    assert values[0] < values[1] < values[2]


def test_the_gradient_of_mmd_holds_the_bandwidth():
    bandwidth = mean_distance(SOURCE, TARGET)
    held = slope(lambda x: mmd_of(x, TARGET, bandwidth), SOURCE)
    moving = slope(lambda x: mmd_of(x, TARGET, mean_distance(x, TARGET)), SOURCE)
    assert np.abs(held - moving).max() > 1e-3
    np.testing.assert_allclose(jax.grad(mmd)(SOURCE, TARGET), held, atol=1e-6)


def test_coral_is_equation_1_of_sun():
    ones = np.ones((1, 6))
    covariance = lambda x: (x.T @ x - (ones @ x).T @ (ones @ x) / 6) / 5
    gap = covariance(np.float64(SOURCE)) - covariance(np.float64(TARGET))
    np.testing.assert_allclose(coral(SOURCE, TARGET), np.linalg.norm(gap, "fro") ** 2 / (4 * 4**2), rtol=1e-5)
    gap = np.cov(SOURCE[:3].T) - np.cov(TARGET.T)
    np.testing.assert_allclose(coral(SOURCE[:3], TARGET), (gap**2).sum() / 64, rtol=1e-5)


def test_coral_is_symmetric_and_compares_neither_means_nor_axes():
    value = coral(SOURCE, TARGET)
    rotation = np.linalg.qr(normal(4, 4))[0]
    np.testing.assert_allclose(coral(TARGET, SOURCE), value, rtol=1e-6)
    np.testing.assert_allclose(coral(SOURCE @ rotation, TARGET @ rotation), value, rtol=1e-5)
    np.testing.assert_allclose(coral(SOURCE + 1000, TARGET - 1000), value, rtol=2e-3)
    np.testing.assert_allclose(coral(SOURCE, SOURCE[::-1] + 3), 0, atol=1e-10)


def test_multilinear_map_is_the_outer_product_of_each_example():
    p = softmax(LOGITS).astype(np.float32)
    features = normal(8, 3)
    expected = [np.kron(f, g) for f, g in zip(features, p, strict=True)]
    np.testing.assert_allclose(multilinear_map(features, p), expected, rtol=1e-6)
    features, p = jnp.asarray(features, jnp.bfloat16), jnp.asarray(p, jnp.bfloat16)
    assert multilinear_map(features, p).dtype == jnp.float32


def test_entropy_weights_are_those_of_long_and_have_mean_one():
    p = softmax(LOGITS)
    expected = 1 + np.exp(-scipy.stats.entropy(p, axis=-1))
    np.testing.assert_allclose(entropy_weights(p.astype(np.float32)), expected / expected.mean(), rtol=1e-5)
    p = np.array([[1, 0], [0.5, 0.5]], np.float32)
    np.testing.assert_allclose(entropy_weights(p), [4 / 3.5, 3 / 3.5], rtol=1e-6)
    assert not np.any(jax.jit(jax.grad(lambda p: entropy_weights(p)[0]))(p))


def weights_of_mcc(logits, temperature):
    """Jin et al. 2020, uncertainty reweighting: B (1 + exp(-H_i)) / sum (1 + exp(-H))."""
    certainty = 1 + np.exp(-scipy.stats.entropy(softmax(logits / temperature), axis=-1))
    return len(logits) * certainty / certainty.sum()


def mcc_of(logits, temperature, weights):
    p, classes = softmax(logits / temperature), logits.shape[1]
    total = 0.0
    for j in range(classes):
        row = [sum(w * y[j] * y[k] for w, y in zip(weights, p, strict=True)) for k in range(classes)]
        total += sum(row[k] / sum(row) for k in range(classes) if k != j)
    return total / classes


@pytest.mark.parametrize("temperature", [2.5, 1.0])
def test_mcc_is_the_class_confusion_of_jin(temperature):
    expected = mcc_of(LOGITS, temperature, weights_of_mcc(LOGITS, temperature))
    np.testing.assert_allclose(mcc(LOGITS, temperature), expected, rtol=1e-5)


def test_the_gradient_of_mcc_holds_the_weights():
    weights = weights_of_mcc(LOGITS, 2.5)
    held = slope(lambda x: mcc_of(x, 2.5, weights), LOGITS)
    moving = slope(lambda x: mcc_of(x, 2.5, weights_of_mcc(x, 2.5)), LOGITS)
    assert np.abs(held - moving).max() > 1e-4
    np.testing.assert_allclose(jax.grad(mcc)(LOGITS), held, atol=1e-6)


def test_mcc_is_zero_for_certain_predictions_and_largest_for_uniform_ones():
    np.testing.assert_allclose(mcc(200 * np.eye(5, dtype=np.float32)), 0, atol=1e-6)
    np.testing.assert_allclose(mcc(np.zeros((3, 5), np.float32)), 4 / 5, rtol=1e-6)
    np.testing.assert_allclose(mcc(200 * ROWS), 0, atol=1e-6)  # four classes without an example


def test_classifier_discrepancy_is_the_mean_absolute_difference():
    p, q = softmax(LOGITS), softmax(OTHERS)
    expected = np.mean([np.abs(a - b).sum() / 5 for a, b in zip(p, q, strict=True)])
    p, q = np.float32(p), np.float32(q)
    np.testing.assert_allclose(classifier_discrepancy(p, q), expected, rtol=1e-5)
    np.testing.assert_allclose(classifier_discrepancy(q, p), expected, rtol=1e-5)
    assert classifier_discrepancy(p, p) == 0 < classifier_discrepancy(p, p[::-1])


def test_sliced_wasserstein_is_the_best_assignment_on_each_line():
    p, q = softmax(LOGITS).astype(np.float32), softmax(OTHERS).astype(np.float32)
    costs = []
    for line in np.float64(random_directions(KEY, 5, 7)).T:
        cost = cdist((p @ line)[:, None], (q @ line)[:, None], "sqeuclidean")
        costs.append(cost[linear_sum_assignment(cost)].mean())
    np.testing.assert_allclose(sliced_wasserstein(p, q, KEY, 7), np.mean(costs), rtol=1e-4)


def test_sliced_wasserstein_bounds_the_earth_mover_of_scipy():
    """The first distance is at most the second (Jensen), and for a shift along the line they are equal."""
    p, q = softmax(LOGITS).astype(np.float32), softmax(OTHERS).astype(np.float32)
    line = np.asarray(random_directions(KEY, 5, 1))[:, 0]
    first = scipy.stats.wasserstein_distance(p @ line, q @ line)
    assert 0 < first <= np.sqrt(sliced_wasserstein(p, q, KEY, 1)) * (1 + 1e-5)
    shifted = p + 0.3 * line
    first = scipy.stats.wasserstein_distance(p @ line, shifted @ line)
    np.testing.assert_allclose(sliced_wasserstein(p, shifted, KEY, 1), first**2, rtol=1e-4)


def test_sliced_wasserstein_is_symmetric_and_compares_samples():
    p, q = softmax(LOGITS).astype(np.float32), softmax(OTHERS).astype(np.float32)
    assert sliced_wasserstein(p, p[::-1], KEY) < 1e-12 < sliced_wasserstein(p, q, KEY)
    np.testing.assert_allclose(sliced_wasserstein(p, q, KEY), sliced_wasserstein(q, p, KEY), rtol=1e-6)
    assert sliced_wasserstein(p, q, KEY, 4) != sliced_wasserstein(p, q, jax.random.key(1), 4)


def test_directions_are_even_over_the_sphere():
    """Of a unit vector's square, each of K directions then sees 1 / K on average: E v v^T = I / K."""
    v = np.asarray(random_directions(KEY, 4, 20000))
    np.testing.assert_allclose(np.linalg.norm(v, axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(v @ v.T / 20000, np.eye(4) / 4, atol=0.01)


@pytest.mark.parametrize("step", [1.0, 0.3])
def test_stepwise_norm_lengthens_every_feature_by_the_same_pull(step):
    value, gradient = jax.value_and_grad(stepwise_feature_norm)(TARGET, step)
    np.testing.assert_allclose(value, step**2, rtol=1e-5)
    old = np.linalg.norm(np.float64(TARGET), axis=1)
    loss = lambda x: np.mean((old + step - np.linalg.norm(x, axis=1)) ** 2)
    np.testing.assert_allclose(gradient, slope(loss, TARGET), atol=1e-5)
    longer = np.linalg.norm(TARGET - 0.1 * gradient, axis=1)
    assert np.all(longer > old)


def test_a_zero_feature_has_no_direction_to_grow_in():
    gradient = jax.grad(stepwise_feature_norm)(np.float32([[0, 0], [3, 4]]))
    np.testing.assert_allclose(gradient, [[0, 0], [-0.6, -0.8]], rtol=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize("thresholds", [0.0, 0.6, np.float32([0.9, 0.5, 0.3, 0.7, 0.99])])
def test_self_training_is_equation_4_of_fixmatch(thresholds):
    torch = pytest.importorskip("torch")
    each = torch.nn.functional.cross_entropy(
        torch.tensor(LOGITS), torch.tensor(OTHERS).argmax(-1), reduction="none"
    ).numpy()
    p = softmax(OTHERS)
    needed = np.broadcast_to(thresholds, 5)
    kept = np.array([row.max() >= needed[row.argmax()] for row in p])
    assert kept.any() and kept.all() == (np.max(thresholds) == 0)
    np.testing.assert_allclose(self_training_loss(LOGITS, OTHERS, thresholds), (kept * each).sum() / 8, rtol=1e-5)
    labels, confident = pseudo_labels(OTHERS, thresholds)
    np.testing.assert_array_equal(labels, p.argmax(-1))
    np.testing.assert_array_equal(confident, kept)


def test_nothing_confident_is_no_loss_and_no_gradient():
    value, gradient = jax.value_and_grad(self_training_loss)(LOGITS, 0.01 * OTHERS)
    assert value == 0 and not gradient.any()


def test_flexible_thresholds_are_those_of_flexmatch():
    """Counted over a whole unlabelled set of N images, without warm-up, with M(x) = x / (2 - x)."""
    logits = normal(200, 5, scale=2.0) + np.float32([2, 1, 0, 0, -9])
    p = softmax(logits)
    learned = np.array([np.sum((p.max(-1) > 0.8) & (p.argmax(-1) == k)) for k in range(5)])
    assert learned[4] == 0 < learned[3] < learned[1] < learned[0]
    beta = learned / learned.max()
    shares = update_shares(np.zeros(5, np.float32), logits, 1.0, 0.8)
    np.testing.assert_allclose(shares, learned / 200, rtol=1e-6)
    np.testing.assert_allclose(flexible_thresholds(shares, 0.8), beta / (2 - beta) * 0.8, rtol=1e-5)


def test_the_most_frequent_class_has_the_fixed_threshold_and_so_have_all_before_any_label():
    np.testing.assert_allclose(flexible_thresholds(np.zeros(3)), 0.95, rtol=1e-6)
    np.testing.assert_allclose(flexible_thresholds([0.5, 0.5, 0.0]), [0.95, 0.95, 0], rtol=1e-6)
    np.testing.assert_allclose(flexible_thresholds([0.02, 0.01, 0], 0.9), [0.9, 0.3, 0], rtol=1e-5)


def test_shares_are_a_running_mean():
    certain = 50 * np.eye(3, dtype=np.float32)[[0, 0, 0, 1]]
    shares = update_shares(np.float32([0.2, 0.2, 0.2]), certain, 0.1)
    np.testing.assert_allclose(shares, [0.9 * 0.2 + 0.1 * 0.75, 0.9 * 0.2 + 0.1 * 0.25, 0.9 * 0.2], rtol=1e-6)
    np.testing.assert_allclose(update_shares(shares, 0 * certain, 0.5), shares / 2, rtol=1e-6)


def test_entropy_is_that_of_scipy():
    np.testing.assert_allclose(entropy(LOGITS), scipy.stats.entropy(softmax(LOGITS), axis=-1), rtol=1e-5)
    np.testing.assert_allclose(mean_entropy(LOGITS), scipy.stats.entropy(softmax(LOGITS), axis=-1).mean(), rtol=1e-5)
    np.testing.assert_allclose(entropy(np.zeros((1, 7), np.float32)), np.log(7), rtol=1e-6)


def test_information_maximisation_is_that_of_liang():
    """L_ent + L_div, where L_div = KL(mean prediction, uniform) - log K."""
    p = softmax(LOGITS)
    diverse = scipy.stats.entropy(p.mean(0), np.full(5, 0.2)) - np.log(5)
    expected = scipy.stats.entropy(p, axis=-1).mean() + diverse
    np.testing.assert_allclose(information_maximisation(LOGITS), expected, rtol=1e-5)


def test_information_is_largest_where_predictions_are_certain_and_balanced():
    np.testing.assert_allclose(information_maximisation(200 * np.eye(5, dtype=np.float32)), -np.log(5), rtol=1e-6)
    for alike in (0 * ROWS, 200 * ROWS, np.tile(LOGITS[:1], (8, 1))):
        np.testing.assert_allclose(information_maximisation(alike), 0, atol=1e-6)


def centroids_of(features, logits):
    """Liang et al. 2020, section 3.3, with the cosine distance of SciPy."""
    features, p = np.float64(features), softmax(logits)
    weighted = np.stack([(p[:, [k]] * features).sum(0) / p[:, k].sum() for k in range(p.shape[1])])
    labels = cdist(features, weighted, "cosine").argmin(1)
    taken = np.unique(labels)
    means = np.stack([features[labels == k].mean(0) for k in taken])
    return taken[cdist(features, means, "cosine").argmin(1)], labels


def test_centroid_labels_are_the_two_rounds_of_liang():
    for seed in range(5):
        features, logits = normal(60, 3, seed=seed), normal(60, 4, seed=seed + 50, scale=2.0)
        expected, first = centroids_of(features, logits)
        assert (expected != first).any() and (first != logits.argmax(1)).any()
        labels = centroid_labels(features, logits)
        np.testing.assert_array_equal(labels, expected)
        assert labels.dtype == jnp.int32


def test_centroid_labels_mend_what_the_classifier_mistakes_in_a_cluster():
    centres = 10 * np.eye(3, 6)
    features, truth = make_blobs(90, centers=centres, random_state=0)
    logits = np.where(np.arange(90)[:, None] % 3 == 0, normal(90, 3), 4 * np.eye(3)[truth]).astype(np.float32)
    assert (logits.argmax(1) == truth).mean() < 0.9
    np.testing.assert_array_equal(centroid_labels(np.float32(features), logits), truth)


def test_unknown_images_have_no_part_in_a_centre():
    features, logits = normal(60, 3), normal(60, 4, seed=50, scale=2.0)
    known = np.arange(60) % 3 > 0
    labels = centroid_labels(features, logits, known)
    np.testing.assert_array_equal(labels[known], centroid_labels(features[known], logits[known]))
    other = centroid_labels(np.where(known[:, None], features, -features), logits, known)
    np.testing.assert_array_equal(labels[known], other[known])


def test_a_class_that_nobody_predicts_is_given_to_nobody():
    features = normal(40, 3)
    logits = normal(40, 5) - np.float32([0, 0, 50, 0, 0])
    logits[:20, 2] = logits[:20].max(1) - 0.01  # weight enough to pull its centre among the images
    assert 2 not in logits.argmax(1) and 2 in centroids_of(features, logits)[1]  # the paper's own rule would have it
    assert 2 not in centroid_labels(features, logits)
    labels = centroid_labels(0 * features, 200 * np.eye(5, dtype=np.float32)[np.full(40, 3)])
    np.testing.assert_array_equal(labels, 3)


@pytest.mark.parametrize("name", models_of("image"))
def test_the_affine_mask_is_what_normalises_in_every_model(name):
    model = create_model(name, 7, **SMALLER.get(name, {}))
    variables = jax.eval_shape(model.init, KEY, jnp.zeros((1, 48, 48, 1)))
    layer = lambda path: jax.tree_util.keystr(path[:-1])
    expected = {layer(path) for path, _ in jax.tree_util.tree_leaves_with_path(variables.get("batch_stats", {}))}
    leaves = [path for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"])]
    expected |= {layer(path) for path in leaves if "norm" in path[-2].key}  # over channels: without statistics
    mask = affine_mask(variables["params"])
    assert jax.tree.structure(mask) == jax.tree.structure(variables["params"])
    taken = [layer(path) for path, chosen in jax.tree_util.tree_leaves_with_path(mask) if chosen]
    assert set(taken) == expected and len(taken) == 2 * len(expected)
    assert (len(taken) > 0) == (name != "plain_cnn")


def test_the_affine_mask_takes_every_kind_of_normalisation_and_nothing_else():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.LayerNorm(name="layer")(nn.Dense(4, name="scale")(x))  # a module of that name is none of it
            return nn.GroupNorm(2, use_bias=False, name="group")(x)

    mask = affine_mask(jax.eval_shape(Net().init, KEY, jnp.ones((2, 3)))["params"])
    assert mask == {
        "scale": {"kernel": False, "bias": False},
        "layer": {"scale": True, "bias": True},
        "group": {"scale": True},
    }
