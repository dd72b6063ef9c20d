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
from expressnet_jax.models.published.tensors import Imported, choose_naming, from_tensors, to_tensors
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
    complete: bool = True,
) -> Published:
    """Return the network `name` with the weights of a file, for RGB images.

    With `classes` the file's own head is taken, else a head of zeros for the seven basic expressions. `size` is pixels
    a side, by default those of the weights' training. `complete` adds the options that the weights need; without, they
    must be among `options`.

    Raises:
      UserError: a file that can't be read or is of another network, options that don't suit it, or other classes.
    """
    tensors = read_tensors(Path(path))
    key = "--model" if complete else "--config.model.name"
    namings = namings_of(name, key)
    naming = choose_naming(tensors, backbone_of(create_model(name, 2, **options)), namings)
    options = {**naming.options, **options} if complete else options
    model = create_model(name, len(classes or BASIC), **options)
    if lacking := naming.lacking(backbone_of(model)):
        flags = " ".join(f"--config.model.options.{option}={value}" for option, value in lacking.items())
        raise UserError(f"init_from: {path}: weights of another form of {name}; give {flags}")
    shape = (*(size or naming.size,) * 2, 3)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), zero_inputs(shape)))
    own = {part: shapes.get(part, {}).get("backbone", {}) for part in ("params", "batch_stats")}
    try:
        found = from_tensors(tensors, backbone_of(model), own, naming)
    except UserError as error:
        raise UserError(f"{path}: no {name}: {error}; give another {key}") from error
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
    size, options = config.data.size, config.model.options.to_dict()
    checkpoint = read_published(config.init_from, config.model.name, options, (), size, complete=False).checkpoint
    params = checkpoint.variables["params"] | {"head": {}}
    return checkpoint._replace(variables=checkpoint.variables | {"params": params})


def as_published(checkpoint: Checkpoint, source: str = "") -> dict[str, np.ndarray]:
    """Return a checkpoint's tensors by the names that published weights of its network have.

    `source` is whose names, such as "timm"; by default those of the first table.

    Raises:
      UserError: there is no table of such names for the network.
    """
    name, backbone = checkpoint.metadata["model"]["name"], backbone_of(checkpoint.model)
    namings = [naming for naming in namings_of(name, "--safetensors") if not naming.lacking(backbone)]
    fitting = [naming for naming in namings if source.lower() in naming.source.lower()]
    if not fitting:
        known = ", ".join(naming.source for naming in namings) or "those of another form of it alone"
        raise UserError(f"--safetensors: no {source} names of this {name}; known: {known}")
    return to_tensors(jax.device_get(checkpoint.variables), backbone, fitting[0])


def namings_of(name: str, key: str = "--model") -> tuple[Naming, ...]:
    """Return the tables of names that published weights of a network may have.

    Raises:
      UserError: no such network, or no table.
    """
    if namings := NAMINGS.get(type(backbone_of(create_model(name, 2)))):
        return namings
    raise UserError(f"{key}: published weights can't be read into {name}; they can for {', '.join(_importable())}")


def _importable() -> list[str]:
    """Return the names of the networks that published weights fit."""
    return [name for name, factory in MODELS.items() if getattr(factory, "func", factory) in NAMINGS]


def backbone_of(model: Network) -> Any:
    """Return the module of the first input."""
    return next(iter(model.encoders.values()))()


def _head(
    path: str | Path, found: Imported, classes: Sequence[str], shapes: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    if not classes:
        return {leaf: np.zeros(shape.shape, np.float32) for leaf, shape in shapes.items()}
    if not found.head or len(found.head["kernel"]) != shapes["kernel"].shape[0]:
        raise UserError(
            f"--classes: {path} has no head {found.naming.head} right behind the features; leave --classes out"
        )
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
