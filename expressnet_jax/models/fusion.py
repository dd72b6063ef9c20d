"""Join the features of several inputs, and stand in for inputs that are missing. A fusion is one module and one line.

Shapes: B batch, M inputs, D_i features of input i, W width, A heads.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.poster import Poster

Features = Mapping[str, Array]


class Concatenate(nn.Module):
    """Put the features of all inputs side by side: {name: float[B,D_i]} -> float[B,sum D_i]."""

    @nn.compact
    def __call__(self, features: Features, train: bool = False) -> Array:
        return jnp.concatenate([features[name] for name in sorted(features)], axis=-1)


class Gated(nn.Module):
    """Add what every input says, each unit weighted by a gate that sees all inputs: {name: float[B,D_i]} -> float[B,W].

    h_i = tanh(W_i x_i), z_i = sigmoid(V_i [x_1, ..., x_M]), the sum of z_i h_i (Arevalo et al. 2017, Gated multimodal
    units, section 3.1).
    """

    width: int = 128

    @nn.compact
    def __call__(self, features: Features, train: bool = False) -> Array:
        everything = Concatenate()(features)
        total = jnp.zeros(())
        for name in sorted(features):
            said = nn.tanh(nn.Dense(self.width, use_bias=False, name=f"value_{name}")(features[name]))
            total = total + nn.sigmoid(nn.Dense(self.width, name=f"gate_{name}")(everything)) * said
        return total


class CrossAttention(nn.Module):
    """Let every input look at all inputs, then put them side by side: {name: float[B,D_i]} -> float[B,M*W].

    Each input is projected to a token of W values; the tokens attend to each other with A heads and keep what they were
    (Vaswani et al. 2017, eq. 1, and section 3.1 for the residual; after Tsai et al. 2019, Multimodal Transformer).
    """

    width: int = 64
    heads: int = 4

    @nn.compact
    def __call__(self, features: Features, train: bool = False) -> Array:
        names = sorted(features)
        tokens = jnp.stack([nn.Dense(self.width, name=f"token_{name}")(features[name]) for name in names], axis=1)
        split = lambda x: x.reshape(-1, len(names), self.heads, self.width // self.heads).transpose(0, 2, 1, 3)
        query, key, value = (split(nn.Dense(self.width, use_bias=False, name=n)(tokens)) for n in ("q", "k", "v"))
        weight = nn.softmax(query @ key.transpose(0, 1, 3, 2) / jnp.sqrt(self.width / self.heads), axis=-1)
        seen = (weight @ value).transpose(0, 2, 1, 3).reshape(-1, len(names), self.width)
        return (tokens + nn.Dense(self.width, name="out")(seen)).reshape(-1, len(names) * self.width)


FUSIONS: dict[str, Callable[[], nn.Module]] = {
    "concatenate": Concatenate,
    "gated": Gated,
    "cross_attention": CrossAttention,
    "poster": Poster,
}


def joins_tokens(fusion: str) -> bool:
    """Return whether a fusion joins tokens float[B,N,C] of its inputs, and not a vector of each."""
    return getattr(FUSIONS[fusion], "of_tokens", False)


class StandIn(nn.Module):
    """Replace the features of missing inputs by learned ones: {name: float[B,D_i]}, {name: bool[B]} -> float[B,D_i];
    of tokens float[B,N,D_i] each.

    In training one input, drawn at random, also counts as missing in a share `rate` of the examples, so that the
    network learns to do without each (modality dropout; Neverova et al. 2016, ModDrop, section 3.3).
    """

    rate: float

    @nn.compact
    def __call__(self, features: Features, present: Mapping[str, Array], train: bool = False) -> dict[str, Array]:
        names, found = sorted(features), {}
        if train:
            keys = jax.random.split(self.make_rng("dropout"))
            batch = features[names[0]].shape[:1]
            chosen = jax.random.randint(keys[0], batch, 0, len(names))
            dropped = jax.random.bernoulli(keys[1], self.rate, batch)
            present = {name: present[name] & ~(dropped & (chosen == i)) for i, name in enumerate(names)}
        for name in names:
            absent = self.param(name, nn.initializers.zeros, features[name].shape[-1:])
            there = present[name].reshape(-1, *(1,) * (features[name].ndim - 1))
            found[name] = jnp.where(there, features[name], absent.astype(features[name].dtype))
        return found


def without_missing(inputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the inputs with zeros for the missing ones, and which are there, bool[B] each.

    An input float[B,...] is missing where any of its values is NaN, a waveform also where all of it is silent.
    """
    there = {name: ~jnp.isnan(x).any(axis=tuple(range(1, x.ndim))) for name, x in inputs.items()}
    there |= {name: jnp.abs(inputs[name]).max(-1) > 0 for name in there if name == "waveform"}  # false of NaN, too
    shown = {name: jnp.where(jnp.isnan(x), jnp.zeros((), x.dtype), x) for name, x in inputs.items()}
    return shown, there
