"""Mixing pairs of examples and their targets: mixup and cutmix."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.data.occlusion import box


def mix(key: Array, images: Array, targets: Any, mixup: float, cutmix: float) -> tuple[Array, Any]:
    """Mix each example with another of the batch, drawn by a random permutation.

    images float32[B,H,W,C], or clips float32[B,T,H,W,C] whose frames are mixed alike, and targets, a pytree of
    float32[B,...] -> the same shapes. `mixup` and `cutmix` are the alphas of their Beta(alpha, alpha); 0 switches one
    off, and when both are on a coin is thrown for each example. The share of the first example in the targets is the
    share of its pixels in the image, exactly.
    """
    if not mixup and not cutmix:
        return images, targets
    shape = (images.shape[0], *images.shape[-3:])
    key_pair, key_coin, key_mixup, key_cutmix = jax.random.split(key, 4)
    if mixup and cutmix:
        coin = jax.random.bernoulli(key_coin, 0.5, (shape[0], 1, 1, 1))
        weight = jnp.where(coin, _mixup(key_mixup, shape, mixup), _cutmix(key_cutmix, shape, cutmix))
    elif mixup:
        weight = _mixup(key_mixup, shape, mixup)
    else:
        weight = _cutmix(key_cutmix, shape, cutmix)
    partner = jax.random.permutation(key_pair, shape[0])
    share = weight.mean((1, 2, 3))
    if images.ndim == 5:
        weight = weight[:, None]
    return weight * images + (1 - weight) * images[partner], jax.tree.map(lambda x: _mixed(x, share, partner), targets)


def mix_alike(key: Array, values: Any, mixup: float) -> Any:
    """Mix each example with another of the batch, all values by one weight: a pytree of float32[B,...] -> the same.

    The weight is drawn from Beta(mixup, mixup) for each example (Zhang et al. 2018, eq. 2); 0 changes nothing.
    """
    if not mixup:
        return values
    key_pair, key_share = jax.random.split(key)
    batch = len(jax.tree.leaves(values)[0])
    partner = jax.random.permutation(key_pair, batch)
    share = jax.random.beta(key_share, mixup, mixup, (batch,))
    return jax.tree.map(lambda x: _mixed(x, share, partner), values)


def _mixed(target: Array, share: Array, partner: Array) -> Array:
    share = share.reshape(-1, *[1] * (target.ndim - 1))
    return share * target + (1 - share) * target[partner]


def _mixup(key: Array, shape: tuple[int, ...], alpha: float) -> Array:
    """float32[B,1,1,1]: the same weight for all pixels (Zhang et al. 2018, eq. 2, lambda drawn for each example)."""
    return jax.random.beta(key, alpha, alpha, (shape[0], 1, 1, 1))


def _cutmix(key: Array, shape: tuple[int, ...], alpha: float) -> Array:
    """float32[B,H,W,1]: 0 inside a box of share 1 - lambda centred anywhere, 1 outside (Yun et al. 2019, eq. 1, 2)."""
    batch, height, width, _ = shape
    key_lambda, key_place = jax.random.split(key)
    side = jnp.sqrt(1 - jax.random.beta(key_lambda, alpha, alpha, (batch,)))
    rows, columns = jnp.round(side * height), jnp.round(side * width)
    places = jax.random.uniform(key_place, (batch, 2))
    top = jnp.floor(places[:, 0] * height) - jnp.floor(rows / 2)
    left = jnp.floor(places[:, 1] * width) - jnp.floor(columns / 2)
    return 1.0 - box(shape, top, left, rows, columns)
