"""Several trained networks as one, which answers with their mean."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.network import Inputs, Network, Outputs


class Ensemble(Network):
    """Average the outputs of networks of the same inputs and heads (Hansen and Salamon 1990).

    Probabilities are averaged where a head is one of `classes`, values elsewhere; logits are not, since a network that
    is sure of itself would outvote the others. The features are those of all, one after the other.

    Attributes:
      members: the networks; their variables are named `members_0`, `members_1` and so on.
      classes: the heads that give the logits of a class.
    """

    members: tuple[Network, ...] = ()
    classes: tuple[str, ...] = ()

    def setup(self) -> None:
        """Leave out the encoders and heads of a network: the members have their own."""

    def features(self, inputs: Inputs, train: bool = False) -> Array:
        """Return float32[B, the sum of all D]."""
        return jnp.concatenate([member.features(inputs, train) for member in self.members], -1)

    def __call__(self, inputs: Inputs, train: bool = False) -> Outputs:
        every = [member(inputs, train) for member in self.members]
        return Outputs(
            jnp.concatenate([outputs.features for outputs in every], -1),
            {name: self._mean(name, [outputs.heads[name] for outputs in every]) for name in self.heads},
        )

    def _mean(self, name: str, outputs: Sequence[Array]) -> Array:
        """Return the mean float32[B,...]; of a class as the logits whose softmax is the mean probability."""
        if name not in self.classes:
            return jnp.mean(jnp.stack(outputs), 0)
        return jax.nn.logsumexp(jax.nn.log_softmax(jnp.stack(outputs)), 0) - jnp.log(len(outputs))
