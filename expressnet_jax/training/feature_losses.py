"""Losses on features: class centres that examples gather round and that keep apart, beside the classification loss.

The centres are no parameters: they follow the features by their own rule and lie in a state's memory. A soft target
(votes, mixup, cutmix) counts by its expectation: a loss is the mean over its classes, and an example moves each centre
by its share. Shapes: B batch, D features, K classes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.errors import UserError
from expressnet_jax.models.attention import max_first_argmax
from expressnet_jax.training.state import Beginning, begin

product = partial(jnp.matmul, precision="highest")  # accelerators would take shorter numbers


def center(features: Array, targets: Array, centres: Array) -> Array:
    """Half the squared distance to the centre of the own class: features float32[B,D], targets float[B,K], centres
    float32[K,D] -> float32[] (Wen et al. 2016, eq. 2; the mean over the batch where the paper has the sum)."""
    squared = jnp.square(features[:, None] - centres).sum(-1)
    return (targets * squared).sum(-1).mean() / 2


def island(features: Array, targets: Array, centres: Array, weight: float = 10.0) -> Array:
    """Center loss, and `weight` times the sum over ordered pairs of centres of 1 + cosine -> float32[] (Cai et al.
    2018, eq. 7).

    The pairs hold no feature: they act through the centres, which `move_apart` turns away from each other.
    """
    directions = _unit(centres)
    cosines = product(directions, directions.T)
    others = 1 - jnp.eye(len(centres))
    return center(features, targets, centres) + weight * (others * (cosines + 1)).sum()


def triplet_center(features: Array, targets: Array, centres: Array, margin: float = 0.5) -> Array:
    """max(0, margin + d(x, own centre) - d(x, nearest other centre)) for d = 1 - cosine -> float32[] (X. He et al.
    2018, triplet-center loss).

    Mean over the batch, never negative, and zero where every example is by the margin nearer to its own class. The
    paper's d is half the squared distance; angles need no margin for each network's length of features, and a centre
    that has not been seen yet, which is zero, is at a right angle to everything.
    """
    cosines = product(_unit(features), _unit(centres).T)
    own = jnp.eye(len(centres), dtype=bool)
    others = max_first_argmax(jnp.where(own, -jnp.inf, cosines[:, None]), (2,))  # [B,K]: but the class of the column
    return (targets * jnp.maximum(margin - cosines + others, 0)).sum(-1).mean()


def follow(features: Array, targets: Array, centres: Array, rate: float = 0.5) -> Array:
    """The centres after a batch, float32[K,D]: c <- c - rate * sum(c - x) / (1 + n) over the n examples of its class
    (Wen et al. 2016, eq. 4 and algorithm 1). A class without examples keeps its centre."""
    count = targets.sum(0)[:, None]
    return centres - rate * (count * centres - product(targets.T, features)) / (1 + count)


def move_apart(features: Array, targets: Array, centres: Array, rate: float = 0.5, weight: float = 10.0) -> Array:
    """`follow`, and away from the others by rate * weight / (K - 1) times the gradient of the sum of the cosines with
    them -> float32[K,D] (Cai et al. 2018).

    A class without examples keeps its centre here, too: nothing would hold it while the others push.
    """
    directions = _unit(centres)
    others = directions.sum(0) - directions
    across = others - (others * directions).sum(-1, keepdims=True) * directions
    length = jnp.linalg.norm(centres, axis=-1, keepdims=True)
    gradient = jnp.where(length > 0, across / jnp.where(length > 0, length, 1), 0)
    present = targets.sum(0)[:, None] > 0
    push = rate * weight / max(len(centres) - 1, 1) * gradient
    return follow(features, targets, centres, rate) - jnp.where(present, push, 0)


def _unit(x: Array) -> Array:
    """Rows of length one; zero stays zero, and the gradient there is finite."""
    squared = jnp.square(x).sum(-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.where(squared > 0, squared, 1))


class Distance(NamedTuple):
    """A loss (features, targets, centres) -> float32[], and what moves the centres: the same -> float32[K,D]."""

    loss: Callable[[Array, Array, Array], Array]
    move: Callable[[Array, Array, Array], Array]


def make_distance(
    name: str, *, center_rate: float = 0.5, island_weight: float = 10.0, margin: float = 0.5
) -> Distance | None:
    """`center`, `island`, `joint` (triplet-center), or None for `none`.

    Raises:
      UserError: another name.
    """
    apart = partial(move_apart, rate=center_rate, weight=island_weight)
    choices = {
        "none": None,
        "center": Distance(center, partial(follow, rate=center_rate)),
        "island": Distance(partial(island, weight=island_weight), apart),
        "joint": Distance(partial(triplet_center, margin=margin), partial(follow, rate=center_rate)),
    }
    if name not in choices:
        raise UserError(f"loss.distance: no {name!r}; one of {', '.join(choices)}")
    return choices[name]


def regularisation(params: Any) -> Array:
    """Half the squared norm of all kernels, those of the head among them -> float32[]; biases, scales and other
    parameters of one dimension are free, as they are of weight decay."""
    return sum(jnp.square(leaf.astype(jnp.float32)).sum() for leaf in jax.tree.leaves(params) if leaf.ndim > 1) / 2


class JointLoss(NamedTuple):
    """lambda_1 L_cls + lambda_2 L_reg + lambda_3 L_dist (He et al., eq. 1).

    The paper says of the terms only what they are for: larger distances between classes, smaller ones within. Here
    L_cls is the run's own loss, L_reg is `regularisation`, and L_dist is what `make_distance` gives.
    """

    distance: Distance | None = None
    classification_weight: float = 1.0
    regularisation_weight: float = 0.0
    distance_weight: float = 0.01

    def begin(self, model: nn.Module, image_shape: tuple[int, int, int]) -> Callable[[Array], Beginning]:
        """As `state.begin`; the memory is `centres` float32[K,D], all zero until their classes are seen."""

        def create(key: Array) -> Beginning:
            drawn = begin(model, image_shape)(key)
            shape = drawn.params["head"]["kernel"].T.shape
            return drawn._replace(memory={"centres": jnp.zeros(shape)} if self.distance else {})

        return create

    def __call__(
        self, classification: Array, features: Array, targets: Array, params: Any, memory: Mapping[str, Array]
    ) -> tuple[Array, Mapping[str, Array], dict[str, Array]]:
        """(L_cls float32[], features float[B,D], targets float[B,K], parameters, memory) -> (the whole loss float32[],
        the memory after the batch, metrics). The loss sees the centres as they were before the batch."""
        loss = self.classification_weight * classification
        if self.regularisation_weight:
            loss += self.regularisation_weight * regularisation(params)
        if self.distance is None:
            return loss, memory, {}
        features = features.astype(jnp.float32)
        distance = self.distance.loss(features, targets, memory["centres"])
        centres = self.distance.move(jax.lax.stop_gradient(features), targets, memory["centres"])
        return loss + self.distance_weight * distance, {"centres": centres}, {"distance": distance}
