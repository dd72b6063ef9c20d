"""A fusion of tokens like POSTER's: what the image shows and where the landmarks are look at each other.

Shapes: B batch, N tokens of an input, M inputs, C channels, W width, A attention heads, F frequencies.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

_FREQUENCIES = np.pi * 2.0 ** np.arange(4)  # half a period across the image, and three halvings of it


class CrossBlock(nn.Module):
    """Let tokens gather from those of the other inputs, then a perceptron: float[B,N,W], float[B,K,W] -> float[B,N,W].

    x + attention(query norm(x), keys and values norm(others)), then the same with a perceptron of 2 W units and GELU
    (Zheng et al. 2023, POSTER, section 3.2; Vaswani et al. 2017, eq. 1).
    """

    heads: int

    @nn.compact
    def __call__(self, x: Array, others: Array) -> Array:
        width = x.shape[-1]
        norm = lambda name: nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, name=name)
        split = lambda y: y.reshape(y.shape[0], y.shape[1], self.heads, width // self.heads)
        seen = norm("norm_others")(others)
        query = split(nn.Dense(width, name="query")(norm("norm_1")(x)))
        key = split(nn.Dense(width, use_bias=False, name="key")(seen))  # a softmax is blind to what all keys share
        value = split(nn.Dense(width, name="value")(seen))
        score = jnp.einsum("bqhd,bkhd->bhqk", query, key) * (width // self.heads) ** -0.5
        gathered = jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(score), value).reshape(x.shape)
        x = x + nn.Dense(width, name="gather")(gathered)
        y = nn.gelu(nn.Dense(2 * width, name="expand")(norm("norm_2")(x)), approximate=False)
        return x + nn.Dense(width, name="project")(y)


class Poster(nn.Module):
    """Join inputs token by token: {name: float[B,N_i,C_i+2]} -> float[B,M*W].

    The last two values of a token are its place in the image (see `layers.map_tokens`); it enters as sines and cosines,
    by which near places attend to each other. Each of `depth` layers is a `CrossBlock` for every input, whose tokens
    query all tokens of the others: landmarks query the image and the image the landmarks, as in POSTER's two streams.
    There both are maps of one size and what landmarks gather from the image is added to the image's token at the same
    place; points have no such token, so here it is added to the point that asked. At the end each input's tokens are
    averaged, side by side. Of POSTER's pyramid this is the one level of full width.
    """

    width: int = 128
    heads: int = 4
    depth: int = 2

    of_tokens = True

    @nn.compact
    def __call__(self, features: Mapping[str, Array], train: bool = False) -> Array:
        tokens = {name: self._embed(name, features[name].astype(jnp.float32)) for name in sorted(features)}
        for layer in range(1, self.depth + 1):
            others = {name: [tokens[other] for other in tokens if other != name] for name in tokens}
            tokens = {
                name: CrossBlock(self.heads, name=f"layer{layer}_{name}")(x, jnp.concatenate(others[name], axis=1))
                for name, x in tokens.items()
            }
        norm = lambda name: nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, name=f"norm_{name}")
        return jnp.concatenate([norm(name)(x).mean(1) for name, x in tokens.items()], axis=-1)

    def _embed(self, name: str, tokens: Array) -> Array:
        """Project tokens and their places to the common width: float32[B,N,C+2] -> float32[B,N,W]."""
        shown, place = tokens[..., :-2], waves(tokens[..., -2:])
        return nn.Dense(self.width, name=f"token_{name}")(jnp.concatenate([shown, place], axis=-1))


def waves(place: Array) -> Array:
    """Return sines and cosines of places at F frequencies: float32[...,2] -> float32[...,4F]."""
    angles = (place[..., None] * _FREQUENCIES.astype(np.float32)).reshape(*place.shape[:-1], -1)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
