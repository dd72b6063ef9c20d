"""Networks of text: word pieces become vectors, which convolutions or a recurrent network join over the text.

A piece of number 0 is padding: how much of it follows a text changes nothing.
Shapes: B batch, L pieces, V pieces of the vocabulary, E values of an embedding, C filters, N hidden units.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.temporal import AttentionPool

PADDING, UNKNOWN = 0, 1  # as data/tokenizer.py numbers them


class WordEmbedding(nn.Module):
    """Return a learned vector for each piece, zero for padding, and which are none: [B,L] -> float[B,L,E], bool[B,L].

    Numbers may come as int32 or float32. In training a share `word_dropout` of the pieces becomes unknown (Iyyer et al.
    2015, section 3.2), then a share `dropout` of the values zero.
    """

    vocabulary: int
    width: int
    word_dropout: float = 0.0
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, tokens: Array, train: bool = False) -> tuple[Array, Array]:
        numbers = jnp.asarray(tokens).astype(jnp.int32)
        present = numbers != PADDING
        if train and self.word_dropout:
            hidden = jax.random.bernoulli(self.make_rng("dropout"), self.word_dropout, numbers.shape)
            numbers = jnp.where(hidden & present, UNKNOWN, numbers)
        table = self.param("table", nn.initializers.normal(0.1), (self.vocabulary, self.width))
        x = jnp.take(table, numbers, axis=0, mode="clip").astype(self.dtype)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return x * present[..., None].astype(self.dtype), present


class TextCNN(nn.Module):
    """Encode text by convolutions and the maximum over the text: [B,L] -> features float32[B,C*len(widths)].

    For each of `widths`, `filters` of so many pieces with a rectifier, and the largest response at any piece (Kim 2014,
    Convolutional neural networks for sentence classification, eq. 1-3); a filter may reach beyond the text's end.
    """

    vocabulary: int = 8000
    embedding: int = 128
    widths: Sequence[int] = (3, 4, 5)
    filters: int = 100
    word_dropout: float = 0.0
    embedding_dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    input_kind = "tokens"

    @nn.compact
    def __call__(self, tokens: Array, train: bool = False) -> Array:
        rates = self.word_dropout, self.embedding_dropout
        embed = WordEmbedding(self.vocabulary, self.embedding, *rates, self.dtype, name="embedding")
        x, present = embed(tokens, train)
        found = []
        for width in self.widths:
            responses = nn.relu(nn.Dense(self.filters, dtype=self.dtype, name=f"conv_{width}")(windows(x, width)))
            found.append((responses * present[..., None].astype(self.dtype)).max(1))
        return jnp.concatenate(found, axis=-1).astype(jnp.float32)


def windows(x: Array, width: int) -> Array:
    """Return each piece with those behind it, zeros beyond the end: float[B,L,E] -> float[B,L,width*E].

    So a convolution is one matrix product, which is what CPUs are quick at.
    """
    length = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (0, width - 1), (0, 0)))
    return jnp.concatenate([padded[:, i : i + length] for i in range(width)], axis=-1)


class TextGRU(nn.Module):
    """Encode text by a bidirectional GRU whose states are joined by attention: [B,L] -> features float32[B,2N].

    The weights of the states are a softmax of their products with a learned query, over the pieces that are no padding
    (after Yang et al. 2016, Hierarchical attention networks, section 2.2, without its hidden layer).
    """

    vocabulary: int = 8000
    embedding: int = 128
    hidden: int = 64
    word_dropout: float = 0.0
    embedding_dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    input_kind = "tokens"

    @nn.compact
    def __call__(self, tokens: Array, train: bool = False) -> Array:
        rates = self.word_dropout, self.embedding_dropout
        embed = WordEmbedding(self.vocabulary, self.embedding, *rates, self.dtype, name="embedding")
        x, present = embed(tokens, train)
        cells = [nn.GRUCell(self.hidden, dtype=self.dtype, name=name) for name in ("forward", "backward")]
        read = self._scanned if train or self.is_initializing() else self._unrolled
        states = jnp.concatenate([read(cell, x, present, bool(i)) for i, cell in enumerate(cells)], axis=-1)
        return AttentionPool(name="pool")(states.astype(jnp.float32), present)

    def _scanned(self, cell: nn.GRUCell, x: Array, present: Array, reverse: bool) -> Array:
        """Return the states float[B,L,N] by a loop, which compiles soon."""
        states: Any = nn.RNN(cell, reverse=reverse, keep_order=True)(x, seq_lengths=present.sum(1))
        return states

    def _unrolled(self, cell: nn.GRUCell, x: Array, present: Array, reverse: bool) -> Array:
        """Return the same piece by piece, which has a form in ONNX; behind the text a state stays as it is."""
        state, states = jnp.zeros((x.shape[0], self.hidden), self.dtype), {}
        order = range(x.shape[1])
        for t in reversed(order) if reverse else order:
            after, _ = cell(state, x[:, t])
            state = jnp.where(present[:, t, None], after, state)
            states[t] = state
        return jnp.stack([states[t] for t in order], axis=1)
