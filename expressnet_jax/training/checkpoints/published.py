"""A file of published weights as a checkpoint: what a run may begin with, and what `expressnet import` writes.

Shapes: H height, W width, C channels, K classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from expressnet_jax.config import default
from expressnet_jax.data.labels import BASIC
from expressnet_jax.errors import UserError
from expressnet_jax.models.network import Network, zero_inputs
from expressnet_jax.models.published import NAMINGS
from expressnet_jax.models.published.files import read_tensors
from expressnet_jax.models.published.naming import Naming
from expressnet_jax.models.published.tensors import Imported, from_tensors, to_tensors
from expressnet_jax.models.registry import MODELS, create_model
from expressnet_jax.training.checkpoints.reading import Checkpoint, describe


class Published(NamedTuple):
    """A checkpoint without training steps, and what was found in the file."""

    checkpoint: Checkpoint
    found: Imported


def read_published(
    path: str | Path,
    name: str,
    options: Mapping[str, Any],
    classes: Sequence[str] = (),
    size: int = 0,
    channels: int = 3,
    key: str = "init_from",
) -> Published:
    """Return the network `name` with the weights of a file.

    With `classes` the file's own head is taken, else a head of zeros for the seven basic expressions. `size` is pixels
    a side, by default those of the weights' training; `key` begins the line of an error.

    Raises:
      UserError: a file that can't be read or is of another network, options that don't suit it, or other classes.
    """
    model = create_model(name, len(classes or BASIC), **options)
    namings = namings_of(name, model)
    backbone = backbone_of(model)
    if lacking := namings[0].lacking(backbone):
        flags = " ".join(f"--config.model.options.{option}={value}" for option, value in lacking.items())
        raise UserError(f"{key}: published weights of {name} are for another form of it; give {flags}")
    shape = (size or namings[0].size,) * 2 + (channels,)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), zero_inputs(shape)))
    own = {part: shapes.get(part, {}).get("backbone", {}) for part in ("params", "batch_stats")}
    try:
        found = from_tensors(read_tensors(Path(path)), backbone, own, namings)
    except UserError as error:
        line = str(error)
        raise UserError(line if str(path) in line else f"{path}: no {name}: {line}; give another --model") from error
    head = _head(path, found, classes, shapes["params"]["head"])
    variables = {"params": {"backbone": found.params, "head": head}}
    variables |= {"batch_stats": {"backbone": found.batch_stats}} if found.batch_stats else {}
    metadata = _metadata(path, name, options, classes or BASIC, shape, model)
    return Published(Checkpoint(Path(path), 0, model, variables, metadata), found)


def published_for(config: ConfigDict) -> Checkpoint:
    """Return the weights of the file `init_from` for a config's network, without a head.

    Raises:
      UserError: as for `read_published`, or a network of other inputs than one image.
    """
    if config.model.temporal != "none" or config.model.encoders:
        raise UserError(
            f"init_from: {config.init_from} has weights of a network of one image; import it first (expressnet import),"
            " and give its run"
        )
    size, channels, options = config.data.size, config.data.channels, config.model.options.to_dict()
    checkpoint = read_published(config.init_from, config.model.name, options, (), size, channels).checkpoint
    return checkpoint._replace(
        variables=checkpoint.variables | {"params": checkpoint.variables["params"] | {"head": {}}}
    )


def as_published(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Return a checkpoint's tensors by the names that published weights of its network have.

    Raises:
      UserError: there is no table of names for the network.
    """
    name = checkpoint.metadata["model"]["name"]
    naming = namings_of(name, checkpoint.model, "--safetensors")[0]
    return to_tensors(jax.device_get(checkpoint.variables), backbone_of(checkpoint.model), naming)


def namings_of(name: str, model: Network, key: str = "--model") -> tuple[Naming, ...]:
    """Return the tables of names that published weights of a network may have.

    Raises:
      UserError: there is none.
    """
    if namings := NAMINGS.get(type(backbone_of(model))):
        return namings
    raise UserError(f"{key}: no names are known of published weights of {name}; of {', '.join(importable())} they are")


def importable() -> list[str]:
    """Return the names of the networks that published weights fit."""
    return [name for name, factory in MODELS.items() if getattr(factory, "func", factory) in NAMINGS]


def published_options(name: str) -> dict[str, Any]:
    """Return the options of a network that its published weights need.

    Raises:
      UserError: no such network, or no names of published weights are known of it.
    """
    return dict(namings_of(name, create_model(name, 2))[0].options)


def backbone_of(model: Network) -> Any:
    """Return the module of the first input."""
    return next(iter(model.encoders.values()))()


def _head(
    path: str | Path, found: Imported, classes: Sequence[str], shapes: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    if not classes:
        return {leaf: np.zeros(shape.shape, np.float32) for leaf, shape in shapes.items()}
    if not found.head:
        raise UserError(f"--classes: {path} has no head {found.naming.head}; leave --classes out")
    if (count := len(found.head["bias"])) != len(classes):
        raise UserError(f"--classes: the head of {path} is of {count} classes, not {len(classes)}; leave --classes out")
    return found.head


def _metadata(
    path: str | Path,
    name: str,
    options: Mapping[str, Any],
    classes: Sequence[str],
    shape: tuple[int, ...],
    model: Network,
) -> dict[str, Any]:
    config = default()
    config.model.update(name=name, options=ConfigDict(dict(options)))
    config.data.update(name=Path(path).name, size=shape[0], channels=shape[2])
    return describe(config.to_dict(), tuple(classes), shape, model=model) | {"averaged": False}
