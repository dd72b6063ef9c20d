"""Mixup and cutmix: distinct images whose targets say which image they are, so that each mixture can be retraced."""

from functools import cache

import jax
import numpy as np
import pytest

from expressnet_jax.data.mixing import mix


@cache
def mixed(mixup, cutmix, count=256):
    """The images, and what `mix` makes of them and of the identity matrix as targets."""
    images = np.random.default_rng(3).uniform(0, 255, (count, 12, 10, 1)).astype(np.float32)
    result, targets = jax.jit(lambda key, x, t: mix(key, x, t, mixup, cutmix))(jax.random.key(7), images, np.eye(count))
    return images, np.asarray(result), np.asarray(targets)


def cut_by_box(images, result, targets):
    """bool[B]: every pixel comes from a source as it is, and the share of the first is the target's, exactly."""
    own = (result == images).mean((1, 2, 3))
    from_either = [np.isin(image, images[target > 0]).all() for image, target in zip(result, targets, strict=True)]
    return from_either & np.isclose(own, targets.diagonal(), rtol=0, atol=1e-6)


def blended(images, result, targets):
    """bool[B]: the image is the sources' mean weighted by the target (Zhang et al. 2018, eq. 1)."""
    return np.isclose(result, np.tensordot(targets, images, 1), atol=1e-2).all((1, 2, 3))


def test_mixup_weights_images_as_targets_by_a_beta_draw():
    images, result, targets = mixed(mixup=0.4, cutmix=0.0)
    assert blended(images, result, targets).all()
    share = targets.diagonal()
    assert len(np.unique(share)) > 200
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
    assert abs(share.mean() - 0.5) < 0.08 and abs(share.var() - 1 / (4 * 1.8)) < 0.03


def test_cutmix_pastes_a_box_and_targets_hold_its_exact_area():
    images, result, targets = mixed(mixup=0.0, cutmix=1.0)
    assert cut_by_box(images, result, targets).all()
    pasted = (result != images)[..., 0]
    np.testing.assert_array_equal(pasted.sum((1, 2)), pasted.any(2).sum(1) * pasted.any(1).sum(1))
    assert (pasted.mean((1, 2)) > 0.3).mean() > 0.2


def test_with_both_on_each_example_gets_one_of_the_two():
    images, result, targets = mixed(mixup=1.0, cutmix=1.0)
    cut, blend = cut_by_box(images, result, targets), blended(images, result, targets)
    assert (cut | blend).all()
    assert (cut & ~blend).mean() > 0.35 and (blend & ~cut).mean() > 0.35


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.0, 0.0), (0.4, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_mixed_targets_still_sum_to_one_and_pixels_stay_in_range(mixup, cutmix):
    images, result, targets = mixed(mixup=mixup, cutmix=cutmix)
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(targets.sum(0).mean(), 1, atol=1e-6)
    assert result.min() >= 0 and result.max() <= 255
    assert np.array_equal(result, images) == (mixup == cutmix == 0)
