"""Conditional domain-adversarial training: the discriminator sees the features class by class (Long et al. 2018, CDAN).

Its loss, its schedule and the reversal are those of `dann`. Shapes: B batch, D features, K classes.
"""

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.adaptation.dann import Discriminator, domain_loss, reversal_weight, reverse_gradient
from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput, ModelOutputs


def multilinear_map(features: Array, probabilities: Array) -> Array:
    """Return the outer product of each example's two vectors: float[B,D], float[B,K] -> float32[B,D*K] (section 3.2).

    What the discriminator takes instead of features. Probabilities are a condition, constant to the gradient, as in the
    code of the paper's authors: the class is not to be changed in order to hide the domain. The paper's random
    projection for D x K above 4,096 is left out: models here have up to 9,000, which is a small matrix.
    """
    condition = jax.lax.stop_gradient(probabilities.astype(jnp.float32))
    products = features.astype(jnp.float32)[:, :, None] * condition[:, None, :]
    return products.reshape(len(features), -1)


def entropy_weights(probabilities: Array) -> Array:
    """Return the weights of one domain's examples in the domain loss, for CDAN+E: float[B,K] -> float32[B] of mean 1.

    Proportional to 1 + exp(-H(p)): examples of which the classifier is certain come first (section 3.3). Constant to
    the gradient; in the authors' code it flows, reversed, so that doubt is minimised as well, for which there are
    other losses here.
    """
    p = jax.lax.stop_gradient(probabilities.astype(jnp.float32))
    weights = 1 + jnp.exp(-jax.scipy.special.entr(p).sum(-1))
    return weights / weights.mean()


def method(entropy: bool = True, gamma: float = 10.0) -> Method:
    """Adapt by a discriminator on features and predictions together; `entropy` makes it CDAN+E."""

    def transfer(inputs: MethodInputs) -> MethodOutput:
        weight = reversal_weight(inputs.progress, gamma)

        def judge(seen: ModelOutputs) -> tuple[Array, Array | float]:
            p = jax.nn.softmax(seen.logits)
            joint = reverse_gradient(multilinear_map(seen.features, p), weight)
            return inputs.apply_aux("discriminator", joint), entropy_weights(p) if entropy else 1.0

        (source, source_weights), (target, target_weights) = judge(inputs.source), judge(inputs.target)
        return MethodOutput(domain_loss(source, target, source_weights, target_weights), inputs.loss_state)

    return Method(transfer, loss_params=lambda size: {"discriminator": (Discriminator(), size.features * size.classes)})
