"""What an adaptation method is, and what it sees of a step.

Shapes: B batch, N target images, D features, K classes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
from jax import Array

from expressnet_jax.training.optimizers.freezing import TrainableMask


class ModelOutputs(NamedTuple):
    """What the network makes of one domain's images: features float32[B,D], logits float32[B,K]."""

    features: Array
    logits: Array


class MethodInputs(NamedTuple):
    """All that a method sees of one step.

    Attributes:
      source: of the labelled images; there is none for a method that learns from no labels.
      target: of the unlabelled images; there is none for a method that sees only labels.
      teacher: logits float32[B,K] of the averaged network on unchanged target images, for methods with a teacher.
      index: int32[B], the place of every target image.
      targets: float32[B,K], the source's labels.
      head_logits: features float[B,D] -> logits float32[B,K], by the network's own head.
      apply_aux: (name, float[B,...]) -> what the auxiliary network of that name gives.
      loss_state: what the method remembers.
      progress: float32[], the part of the run that is over.
      key: for what is drawn.
    """

    source: ModelOutputs
    target: ModelOutputs
    teacher: Array
    index: Array  # type: ignore[assignment]  # shadows tuple.index
    targets: Array
    head_logits: Callable[[Array], Array]
    apply_aux: Callable[[str, Array], Array]
    loss_state: Any
    progress: Array
    key: Array


class MethodOutput(NamedTuple):
    """A method's own loss float32[], and what it remembers from now on."""

    loss: Array | float
    loss_state: Any


class Size(NamedTuple):
    """What auxiliary networks and memories are built for: N target images, D features, K classes."""

    examples: int
    features: int
    classes: int


class Method(NamedTuple):
    """One way of adapting. What is left at its default, the method does without.

    Attributes:
      transfer: its own loss; it is added, `weight` times, to the loss on labelled images.
      labelled: whose labels it learns from: "source", "target", or "" for a method that sees none.
      unlabelled: whether it sees target images without their labels.
      loss_params: size -> auxiliary networks, each with the width of its input.
      loss_state: size -> a pytree of arrays.
      trainable: which parameters learn; None is all.
      strong_augmentation: augmentation of target images on top of the config's.
      no_augmentation: target images are not augmented at all.
      teacher: needs the averaged network.
      trains: takes training steps at all.
      target_epochs: its steps go so often through the target, whatever the config's epochs; 0 is by the config.
      bn_recalibration_share: share of the target that the statistics of batch normalisation are taken from at the
        end; 0 is by the config.
    """

    transfer: Callable[[MethodInputs], MethodOutput] | None = None
    weight: float = 1.0
    labelled: str = "source"
    unlabelled: bool = True
    loss_params: Callable[[Size], Mapping[str, tuple[nn.Module, int]]] = lambda size: {}
    loss_state: Callable[[Size], Any] = lambda size: {}
    trainable: TrainableMask | None = None
    strong_augmentation: Mapping[str, float] | None = None
    no_augmentation: bool = False
    teacher: bool = False
    trains: bool = True
    target_epochs: float = 0.0
    bn_recalibration_share: float = 0.0
