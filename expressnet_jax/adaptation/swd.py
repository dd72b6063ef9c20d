"""Discrepancies of two classifiers on the same images, which the heads maximise and the backbone minimises.

Shapes: B batch, K classes, P projections.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.adaptation.dann import reverse_gradient
from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput
from expressnet_jax.training.losses.classification import cross_entropy


def classifier_discrepancy(first: Array, second: Array) -> Array:
    """Return the mean absolute difference of probabilities float[B,K] -> float32[] (Saito et al. 2018, MCD, section
    3)."""
    return jnp.abs(first.astype(jnp.float32) - second.astype(jnp.float32)).mean()


def sliced_wasserstein(first: Array, second: Array, key: Array, projections: int = 128) -> Array:
    """Return the squared 2-Wasserstein distance of probabilities float[B,K], mean over random lines -> float32[].

    Lee et al. 2019, SWD, section 3: on a line the best transport pairs the sorted values. Unlike MCD it compares the
    two as samples: it is zero as soon as they hold the same rows, in whatever order.
    """
    directions = random_directions(key, first.shape[-1], projections)
    sort = lambda x: jnp.sort(jnp.matmul(x.astype(jnp.float32), directions, precision="highest"), axis=0)
    return jnp.square(sort(first) - sort(second)).mean()


def random_directions(key: Array, dimensions: int, count: int) -> Array:
    """Return unit vectors, evenly over the sphere, as the columns of float32[K,P]."""
    vectors = jax.random.normal(key, (dimensions, count))
    return vectors / jnp.linalg.norm(vectors, axis=0)


def _second_head(discrepancy: Callable[[Array, Array, Array], Array]) -> Callable[[MethodInputs], MethodOutput]:
    """Train two heads that learn the source's labels and disagree on the target, where the features make them agree.

    Both sides of the contest in one backward pass, by a gradient reversal between backbone and heads, where the papers
    take turns.
    """

    def transfer(inputs: MethodInputs) -> MethodOutput:
        second = lambda features: inputs.apply_aux("second_head", features)
        on_source = cross_entropy(second(inputs.source.features), inputs.targets).mean()
        features = reverse_gradient(inputs.target.features, 1.0)
        apart = discrepancy(jax.nn.softmax(inputs.head_logits(features)), jax.nn.softmax(second(features)), inputs.key)
        return MethodOutput(on_source - apart, inputs.loss_state)

    return transfer


def _with_second_head(discrepancy: Callable[[Array, Array, Array], Array]) -> Method:
    head = lambda size: {"second_head": (nn.Dense(size.classes), size.features)}
    return Method(_second_head(discrepancy), loss_params=head)


def mcd_method() -> Method:
    """Adapt by maximum classifier discrepancy."""
    return _with_second_head(lambda first, second, key: classifier_discrepancy(first, second))


def method(projections: int = 128) -> Method:
    """Adapt by sliced Wasserstein discrepancy."""
    return _with_second_head(lambda first, second, key: sliced_wasserstein(first, second, key, projections))
