"""Adaptation without source images: certain and diverse predictions, labels by clusters (Liang et al. 2020, SHOT).

Shapes: N target images, B batch, D features, K classes.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from expressnet_jax.adaptation.entropy import entropy
from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput
from expressnet_jax.models.network import unit
from expressnet_jax.training.losses.classification import cross_entropy


def information_maximisation(logits: Array) -> Array:
    """Return mean entropy less entropy of the mean prediction, of logits float[B,K] -> float32[] (section 3.2).

    From 0, where all predictions are the same, down to -log K, where each is certain and all classes are equally
    frequent. It presumes classes that are about balanced: others are pushed that way.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    log_mean = jax.nn.logsumexp(log_p, axis=0) - jnp.log(len(log_p))  # log of a mean of probabilities may underflow
    return entropy(logits).mean() + (jnp.exp(log_mean) * log_mean).sum()


def centroid_labels(features: Array, logits: Array, known: ArrayLike = True) -> Array:
    """Return the labels by the nearest class centre, in cosine, of features float[N,D] and logits float[N,K] ->
    int32[N].

    Images that are not `known` bool[N] count in no centre.

    The centres are means weighted by the predicted probabilities, then, once more, means of the images nearest to
    each (section 3.3; two rounds). A class that nobody belongs to before a round gets nobody in it: the mean would be
    of what it is not. N is the whole target set: centres of a batch are noise.
    """
    features = features.astype(jnp.float32)
    known = jnp.broadcast_to(jnp.asarray(known), features.shape[:1])
    p = jax.nn.softmax(logits.astype(jnp.float32))
    member = lambda labels: jax.nn.one_hot(labels, p.shape[-1]) * known[:, None]
    first = _nearest(features, p * known[:, None], member(p.argmax(-1)))
    return _nearest(features, member(first), member(first))


def _nearest(features: Array, weights: Array, members: Array) -> Array:
    """Return the centre nearest to each image, of centres weighted by float32[N,K], of classes that have `members`
    [N,K]."""
    centres = jnp.matmul(weights.T, features, precision="highest")  # the cosine does not see the divisor
    cosines = jnp.matmul(unit(features), unit(centres).T, precision="highest")
    taken = (members > 0).any(0)
    return jnp.where(taken, cosines, -jnp.inf).argmax(-1).astype(jnp.int32)


def method(labels: float = 0.3) -> Method:
    """Adapt without the source: the head stays, the features learn certain and diverse predictions and, `labels` times
    as much, the labels of the nearest centre. The features of the whole target are remembered from when each image last
    came."""

    def transfer(inputs: MethodInputs) -> MethodOutput:
        features, logits = inputs.target
        known = inputs.loss_state["features"].at[inputs.index].set(jax.lax.stop_gradient(features))
        come = known.any(-1)  # the others have not been in a batch yet
        nearest = centroid_labels(known, jax.lax.stop_gradient(inputs.head_logits(known)), come)[inputs.index]
        taught = cross_entropy(logits, jax.nn.one_hot(nearest, logits.shape[-1])).mean()
        return MethodOutput(information_maximisation(logits) + labels * taught, {"features": known})

    return Method(
        transfer,
        labelled="",
        loss_state=lambda size: {"features": jnp.zeros((size.examples, size.features))},
        trainable=lambda params: jax.tree_util.tree_map_with_path(lambda path, _: path[0].key != "head", params),
    )
