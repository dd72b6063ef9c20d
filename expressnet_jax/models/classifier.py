"""A backbone and a linear head: the form of every model here.

Shapes: B batch, H height, W width, C channels, D features, K classes.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class Classifier(nn.Module):
    """Pixel values float[B,H,W,C] in 0..255 -> logits float32[B,K].

    The backbone maps `(images, train)` to features float[B,D] and scales the pixels itself, so that normalisation can't
    differ between training, evaluation and export. Parameters live under `backbone` and `head`: fine-tuning takes one
    and replaces the other.
    """

    backbone: nn.Module
    num_classes: int
    dropout: float = 0.0

    def setup(self):
        self.head = nn.Dense(self.num_classes, dtype=jnp.float32)
        self.drop = nn.Dropout(self.dropout)

    def features(self, images: Array, train: bool = False) -> Array:
        """The vector before the classifier, float32[B,D]."""
        return self.backbone(images, train).astype(jnp.float32)

    def __call__(self, images: Array, train: bool = False) -> Array:
        return self.head(self.drop(self.features(images, train), deterministic=not train))
