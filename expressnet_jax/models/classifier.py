"""A backbone and a linear head: the form of every model here.

Shapes: B batch, H height, W width, C channels, D features, K classes.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class CosineHead(nn.Module):
    """The cosine of the angle between a picture's features and each class centre (Wang et al. 2018, NormFace).

    float[B,D] -> float32[B,K] in -1..1. `kernel` float32[D,K] holds the centres; their lengths don't count.
    """

    num_classes: int

    @nn.compact
    def __call__(self, features: Array) -> Array:
        shape = (features.shape[-1], self.num_classes)
        centres = self.param("kernel", nn.initializers.normal(0.01), shape, jnp.float32)
        return unit(features.astype(jnp.float32)) @ unit(centres, axis=0)


def unit(x: Array, axis: int = -1) -> Array:
    """Vectors along `axis` with the length one; a zero vector stays zero, and its gradient is finite."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis, keepdims=True), 1e-12))


HEADS = {"linear": partial(nn.Dense, dtype=jnp.float32), "cosine": CosineHead}


class Classifier(nn.Module):
    """Pixel values float[B,H,W,C] in 0..255 -> logits float32[B,K].

    The backbone maps `(images, train)` to features float[B,D] and scales the pixels itself, so that normalisation can't
    differ between training, evaluation and export. Parameters live under `backbone` and `head`: fine-tuning takes one
    and replaces the other.

    Where the head is "cosine", training sees the bare cosines, for margins are between angles; else they come out times
    `scale`, the one they are trained with, so that their softmax is a probability.
    """

    backbone: nn.Module
    num_classes: int
    dropout: float = 0.0
    head_kind: str = "linear"
    scale: float = 1.0

    def setup(self):
        self.head = HEADS[self.head_kind](self.num_classes)
        self.drop = nn.Dropout(self.dropout)

    def features(self, images: Array, train: bool = False) -> Array:
        """The vector before the classifier, float32[B,D]."""
        return self.backbone(images, train).astype(jnp.float32)

    def classify(self, features: Array, train: bool = False) -> Array:
        """Features float[B,D] -> logits float32[B,K]."""
        return self.head(self.drop(features, deterministic=not train))

    def look(self, images: Array, train: bool = False) -> tuple[Array, Array]:
        """Features float32[B,D] and logits float32[B,K] in one pass."""
        features = self.features(images, train)
        return features, self.classify(features, train)

    def __call__(self, images: Array, train: bool = False) -> Array:
        logits = self.look(images, train)[1]
        return logits if train or self.scale == 1 else self.scale * logits
