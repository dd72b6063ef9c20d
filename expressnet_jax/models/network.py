"""A network: encoders turn named inputs into features, heads turn the features into named outputs.

Shapes: B batch, H height, W width, C channels, D features, K classes.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import Array

from expressnet_jax.errors import UserError
from expressnet_jax.models.fusion import Concatenate, StandIn, without_missing

Shape = tuple[int, ...] | Mapping[str, tuple[int, ...]]  # of one example of the only input, or of each by name
Inputs = Mapping[str, Array] | Array


class Outputs(NamedTuple):
    """What a network gives for a batch.

    Attributes:
      features: float32[B,D], what the heads see.
      heads: output name -> float32[B,...]: logits of classes and of labels that exclude nothing, values of the rest.
      maps: name -> what the first encoder sowed by it, where a loss compares it in training; otherwise empty.
    """

    features: Array
    heads: dict[str, Array]
    maps: Mapping[str, tuple[Array, ...]] = FrozenDict()


class Head(NamedTuple):
    """What a head gives for an example.

    Attributes:
      shape: of one example: (K,) for classes, (P, 2) for points.
      kind: "linear", or "cosine" for cosines of angles to class centres.
      scale: what the cosines are multiplied with outside of training, so that their softmax is a probability; margins
        are between angles, so training sees them bare.
    """

    shape: tuple[int, ...]
    kind: str = "linear"
    scale: float = 1.0


class CosineHead(nn.Module):
    """Return the cosine of the angle between features and each class centre (Wang et al. 2017, NormFace).

    float[B,D] -> float32[B,K] in -1..1. `kernel` float32[D,K] holds the centres; their lengths don't count.
    """

    num_classes: int

    @nn.compact
    def __call__(self, features: Array) -> Array:
        shape = (features.shape[-1], self.num_classes)
        centers = self.param("kernel", nn.initializers.normal(0.01), shape, jnp.float32)
        return unit(features.astype(jnp.float32)) @ unit(centers, axis=0)


def unit(x: Array, axis: int = -1) -> Array:
    """Scale vectors along `axis` to length one; a zero vector stays zero, and its gradient is finite."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis, keepdims=True), 1e-12))


_HEADS = {"linear": partial(nn.Dense, dtype=jnp.float32), "cosine": CosineHead}


class Network(nn.Module):
    """Map named inputs to `Outputs`: {"image": float[B,H,W,C] in 0..255, ...} -> features and one array a head.

    Attributes:
      encoders: input name -> makes the module (input, train) -> float[B,D]. It scales its input itself, so that
        normalisation can't differ between training, evaluation and export.
      heads: output name -> Head. The first one is the main head: what a one-label network has, what transfer and
        adaptation are about.
      fusion: makes the module that joins the features of several inputs.
      modality_dropout: the share of examples that one of several inputs is withheld from in training. Where it is more
        than 0, an input that is NaN is missing, and learned features stand in for it (fusion.StandIn).

    Parameters of the first encoder are named `backbone`, those of the main head `head`, in every network, so that one
    is taken over and the other replaced; further ones are `backbone_NAME` and `head_NAME`. A network of one encoder and
    one head has no other parameters.
    """

    encoders: Mapping[str, Callable[[], nn.Module]]
    heads: Mapping[str, Head]
    dropout: float = 0.0
    fusion: Callable[[], nn.Module] = Concatenate
    modality_dropout: float = 0.0

    def setup(self):
        for i, (name, make) in enumerate(self.encoders.items()):
            setattr(self, f"backbone_{name}" if i else "backbone", make())
        for i, (name, head) in enumerate(self.heads.items()):
            module = _HEADS[head.kind](math.prod(head.shape))
            setattr(self, f"head_{name}" if i else "head", module)
        if len(self.encoders) > 1:
            self.join = self.fusion()
            if self.modality_dropout:
                self.stand_in = StandIn(self.modality_dropout)
        self.drop = nn.Dropout(self.dropout)

    @property
    def main(self) -> str:
        """The name of the main head."""
        return next(iter(self.heads))

    @property
    def num_classes(self) -> int:
        """K of the main head."""
        return math.prod(self.heads[self.main].shape)

    def features(self, inputs: Inputs, train: bool = False) -> Array:
        """Return the vector that the heads see, float32[B,D]. A bare array is the input of the only encoder."""
        if not isinstance(inputs, Mapping):
            inputs = {next(iter(self.encoders)): inputs}
        found, replaces = {}, len(self.encoders) > 1 and self.modality_dropout > 0
        if replaces:
            inputs, present = without_missing(inputs)
        for i, name in enumerate(self.encoders):
            found[name] = getattr(self, f"backbone_{name}" if i else "backbone")(inputs[name], train)
        if replaces:
            found = self.stand_in(found, present, train)
        joined = self.join(found, train) if len(found) > 1 else next(iter(found.values()))
        return joined.astype(jnp.float32)

    def head_logits(self, features: Array, train: bool = False) -> Array:
        """Return the main head's float32[B,K] for features float[B,D], as in training."""
        return self.head(self.drop(features, deterministic=not train))

    def __call__(self, inputs: Inputs, train: bool = False) -> Outputs:
        features = self.features(inputs, train)
        seen = self.drop(features, deterministic=not train)
        outputs = {}
        for i, (name, head) in enumerate(self.heads.items()):
            flat = getattr(self, f"head_{name}" if i else "head")(seen)
            scaled = flat if train or head.scale == 1 else head.scale * flat
            outputs[name] = scaled if len(head.shape) == 1 else scaled.reshape(-1, *head.shape)
        return Outputs(features, outputs)


def zero_inputs(shape: Shape) -> Inputs:
    """Return a batch of one example of zeros: float32[1,*shape], by name where there are several inputs."""
    if isinstance(shape, Mapping):
        return {name: jnp.zeros((1, *each)) for name, each in shape.items()}
    return jnp.zeros((1, *shape))


MAIN = "expression"


def image_classifier(
    backbone: nn.Module, num_classes: int, dropout: float = 0.0, kind: str = "linear", scale: float = 1.0
) -> Network:
    """Return the common network: one image in, the logits of one label, `expression`, out."""
    heads: FrozenDict[str, Head] = FrozenDict({MAIN: Head((num_classes,), kind, scale)})
    return Network(FrozenDict({"image": backbone.clone}), heads, dropout)


def check_heads(heads: Mapping[str, Head]) -> None:
    """Raise UserError for a head that there is none of."""
    for head in heads.values():
        if head.kind not in _HEADS:
            raise UserError(f"model.head: no head {head.kind!r}; one of {', '.join(_HEADS)}")
