"""A run that has been checked: what the loop needs of it, whatever it learns."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from expressnet_jax.data.fields import Field
from expressnet_jax.data.pipeline import TrainLoader, ZippedLoaders
from expressnet_jax.models.network import Shape
from expressnet_jax.training.checkpoints.data_identity import Learned
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.program import StepCounts, TrainProgram
from expressnet_jax.training.state import TrainState

Evaluate = Callable[[TrainState], dict[str, float]]


class Experiment(NamedTuple):
    """Made before anything compiles or is written; the loop never asks which task it is.

    Attributes:
      classes: the names of the model's classes.
      outputs: what each head gives, the main one first.
      lineage: what the checkpoint that it begins with came from.
      make_loaders: decodes what has to be in memory -> the training batches, and the figures that the run follows.
      summary: what is logged at the start.
      finish: the run's folder -> its best checkpoint and the files of its report.
      sample_images: shape of the inputs -> some examples of the kind that the model is for: uint8[n,H,W,C], or arrays
        by name.
      data: what is learned from; a resumed run has to have the same.
      inputs: what the network takes, or None: the image or clip of the config.
    """

    plan: StepCounts
    program: TrainProgram
    classes: tuple[str, ...]
    outputs: Mapping[str, Field]
    lineage: Sequence[Mapping[str, Any]]
    make_loaders: Callable[[], tuple[TrainLoader | ZippedLoaders, Evaluate]]
    summary: Sequence[str]
    finish: Callable[[Path], tuple[Checkpoint, list[Path]]]
    sample_images: Callable[[Shape], Any]
    data: Sequence[Learned] = ()
    inputs: Mapping[str, Field] | None = None
