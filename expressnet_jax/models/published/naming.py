"""What is known of a kind of published weights: how PyTorch names the tensors of a network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

BATCH_NORM_EPSILON = 1e-5  # of Layers.norm
NONE = r"(?!)"  # the regular expression that matches nothing


def convnext_modules(
    depths: Sequence[int], layers: Mapping[str, str], blocks: Callable[[int], str], between: Callable[[int], str]
) -> dict[str, str]:
    """Return the names of ConvNeXt's blocks, and of the normalisation and patches before each stage but the first.

    `layers` are those of a block; `blocks` and `between` give what the names begin with, by the stage from 0.
    """
    names: dict[str, str] = {}
    for stage, depth in enumerate(depths):
        if stage:
            names[f"stage{stage + 1}_norm"] = f"{between(stage)}.0"
            names[f"stage{stage + 1}_patches"] = f"{between(stage)}.1"
        for i in range(depth):
            ours, theirs = f"stage{stage + 1}_block{i + 1}", f"{blocks(stage)}.{i}"
            names |= {f"{ours}/{layer}": f"{theirs}.{name}" for layer, name in layers.items()}
    return names


class Naming(NamedTuple):
    """A table of names.

    Attributes:
      source: who gives these names, in words.
      modules: backbone -> {a module or parameter here, as "stage1_block1/conv_1": its name there}.
      head: the name there of the layer that classifies.
      size: pixels a side of the images that the weights are trained on.
      epsilon: of batch normalisation there. A running variance is moved by the difference from ours.
      biases: backbone -> {a batch normalisation here: the convolution there whose bias it takes in}. A bias before a
        normalisation moves its running mean.
      pointwise: backbone -> a regular expression of the variables here, as "attention/squeeze/kernel", that have two
        further axes of one pixel there: a dense layer here that is a 1x1 convolution there.
      beyond: a regular expression of tensors behind the features, which may be unused.
      options: of the model, that the weights need.
    """

    source: str
    modules: Callable[[Any], dict[str, str]]
    head: str
    size: int = 224
    epsilon: float = BATCH_NORM_EPSILON
    biases: Callable[[Any], dict[str, str]] = lambda backbone: {}
    pointwise: Callable[[Any], str] = lambda backbone: NONE
    beyond: str = NONE
    options: Mapping[str, Any] = {"published": True}

    def lacking(self, backbone: Any) -> dict[str, Any]:
        """Return the options that the weights need and `backbone` was not given."""
        return {name: value for name, value in self.options.items() if getattr(backbone, name) != value}
