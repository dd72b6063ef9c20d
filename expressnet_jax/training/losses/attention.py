"""Losses on where a network looks.

Shapes: B batch, A attention heads, h x w places of a map, C channels, D features, K classes.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from expressnet_jax.models.network import Outputs
from expressnet_jax.training.losses.base import MIRRORED, Batch, Loss, LossContext, LossOutput

_TINY = 1e-8  # heads that are equal give a large loss, not an infinite one


def attention_diversity(attention: Array) -> Array:
    """Return the number of pairs of heads over the sum of their mean squared differences: float[B,A,h,w,C] ->
    float32[], 0 of a single head (the attention loss of Zhang et al. 2023, DDAMFN)."""
    attention = attention.astype(jnp.float32)
    pairs = list(combinations(range(attention.shape[1]), 2))
    if not pairs:
        return jnp.zeros(())
    differences = [jnp.square(attention[:, i] - attention[:, j]).mean() for i, j in pairs]
    return len(pairs) / (jnp.stack(differences).sum() + _TINY)


def attention_diversity_loss(context: LossContext) -> Loss:
    """Keep the attention heads of a network from looking at the same places; the paper's weight is 0.1."""

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        (attention,) = outputs.maps["head_attention"]
        return LossOutput(attention_diversity(attention), {}, state)

    return Loss(apply, maps=("head_attention",))


def attention_consistency(maps: Sequence[Array], mirrored: Sequence[Array], kernel: Array) -> Array:
    """Return the mean squared difference between the class activation maps of images and those of their mirror images,
    mirrored back -> float32[] (Zhang et al. 2022, EAC, section 3.3, as the authors' code has it).

    `maps` float[B,h,w,D] are what the features are means of, kernel float[D,K] is the head's, a constant to the
    gradient as there. Features that are means of several maps have a part of the kernel for each; every map counts the
    same.
    """
    parts = jnp.split(jax.lax.stop_gradient(kernel), np.cumsum([x.shape[-1] for x in maps])[:-1])
    activation = lambda x, part: jnp.einsum("bhwd,dk->bhwk", x.astype(jnp.float32), part)
    differences = [
        jnp.square(activation(here, part) - activation(there, part)[:, :, ::-1]).mean()
        for here, there, part in zip(maps, mirrored, parts, strict=True)
    ]
    return jnp.stack(differences).mean()


def attention_consistency_loss(context: LossContext) -> Loss:
    """Look at the same places of an image and of its mirror image, for every class; EAC's weight is 5.

    A network that fits wrong labels does so by a part of the face, where the two disagree; erasing
    (`augment.random_erasing`) keeps it from agreeing by another part.
    """

    def apply(outputs: Outputs, batch: Batch, params: Any, state: Any) -> LossOutput:
        head = params.get(f"head_{context.output}", params["head"])
        maps, mirrored = (outputs.maps[name] for name in ("activation_map", f"{MIRRORED}activation_map"))
        return LossOutput(attention_consistency(maps, mirrored, head["kernel"]), {}, state)

    return Loss(apply, maps=("activation_map",), mirrored=True)
