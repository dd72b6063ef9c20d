"""Domain-adversarial training: features from which a discriminator can't tell the domain (Ganin et al. 2016, DANN).

Shapes: B examples of one domain, D features.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput


@jax.custom_vjp
def reverse_gradient(x: Array, weight: ArrayLike) -> Array:
    """Return x itself, of any shape; its gradient comes back times -weight (section 4.2, the gradient reversal layer).

    What follows minimises a loss that what came before maximises, in one backward pass.
    """
    return x


def _forward(x: Array, weight: Array) -> tuple[Array, Array]:
    return x, weight


def _backward(weight: Array, change: Array) -> tuple[Array, None]:
    return (-weight * change).astype(change.dtype), None


reverse_gradient.defvjp(_forward, _backward)


def reversal_weight(progress: ArrayLike, gamma: float = 10.0) -> Array:
    """Return 2 / (1 + exp(-gamma p)) - 1 for the part p of training that is over, in 0..1 -> float32[] (section 5.2.2).

    It rises from 0: while the discriminator is young, its gradient is noise to the features.
    """
    return jnp.tanh(0.5 * gamma * jnp.asarray(progress, jnp.float32))


class Discriminator(nn.Module):
    """Features float[B,D] -> log-odds float32[B] that an example is of the target domain.

    Two hidden layers with ReLU, as in the paper's larger networks (section 5.2.2), but 256 wide, not 1,024: the
    features here have a few hundred dimensions.
    """

    widths: Sequence[int] = (256, 256)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        x = features
        for i, width in enumerate(self.widths, start=1):
            x = nn.relu(nn.Dense(width, dtype=self.dtype, name=f"hidden_{i}")(x))
        return nn.Dense(1, dtype=jnp.float32, name="domain")(x)[:, 0]


def domain_loss(
    source: Array, target: Array, source_weights: ArrayLike = 1.0, target_weights: ArrayLike = 1.0
) -> Array:
    """Return the binary cross-entropy of log-odds float[B] of either domain -> float32[]; log 2 where the domains look
    alike.

    The mean of the two domains' means, of equal weight however many examples each has; the paper adds them, code
    that averages over a joint batch has half of that as well. Weights float[B] of mean 1 make some examples count more.
    """
    of_source = (source_weights * jax.nn.softplus(source.astype(jnp.float32))).mean()
    of_target = (target_weights * jax.nn.softplus(-target.astype(jnp.float32))).mean()
    return (of_source + of_target) / 2


def method(gamma: float = 10.0) -> Method:
    """Adapt by a discriminator on the features, behind a gradient reversal that grows over the run."""

    def transfer(inputs: MethodInputs) -> MethodOutput:
        weight = reversal_weight(inputs.progress, gamma)
        judge = lambda seen: inputs.apply_aux("discriminator", reverse_gradient(seen.features, weight))
        return MethodOutput(domain_loss(judge(inputs.source), judge(inputs.target)), inputs.loss_state)

    return Method(transfer, loss_params=lambda size: {"discriminator": (Discriminator(), size.features)})
