"""A checkpoint as everything after training reads it: found, whole, and of this project, or refused in a line."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from expressnet_jax.data.fields import INPUT_KINDS, Field
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.models.network import MAIN, Head, Network, Shape, zero_inputs
from expressnet_jax.models.published.files import is_weights_file
from expressnet_jax.models.registry import create_model

LATEST, BEST = "checkpoints", "best"  # the folders of a run
_OF_THE_RUN = "; where it is moved away, the run's latest one is taken"
PACKAGES = ("expressnet-jax", "jax", "flax", "optax", "orbax-checkpoint", "numpy")


class Checkpoint(NamedTuple):
    """A trained model as read from disk: enough to evaluate, adapt, export or predict."""

    path: Path
    step: int
    model: Network
    variables: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.metadata["classes"])

    @property
    def outputs(self) -> dict[str, Field]:
        """What each head gives, the main one first."""
        found = self.metadata.get("outputs") or {}
        fields = {name: Field.from_json(field) for name, field in found.items()}
        return fields or {self.model.main: Field("class", (len(self.classes),), self.classes)}

    @property
    def digest(self) -> str:
        """A hash of the weights, which tells them from those of another run with as many steps."""
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(jax.device_get(self.variables)):
            digest.update(np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """The runs that led to this one, the latest last: data set, step, and the people that an identity run knows."""
        config = self.metadata["config"]
        plain = lambda name: name.partition("@")[0]
        own = {"data": plain(config["data"]["name"]), "task": config.get("task", "classification"), "step": self.step}
        own |= {"people": list(self.classes)} if own["task"] == "identity" else {}
        own |= {"target": plain(config["adapt"]["target"])} if own["task"] == "adaptation" else {}
        return [*self.metadata.get("lineage", []), own]

    @property
    def inputs(self) -> dict[str, Field]:
        """What the network takes; of checkpoints from before there were several, an image or a clip."""
        if found := self.metadata.get("inputs"):
            return {name: Field.from_json(field) for name, field in found.items()}
        shape = tuple(self.metadata["image_shape"])
        name = "clip" if len(shape) == 4 else "image"
        return {name: Field(name, shape)}

    @property
    def shape(self) -> Shape:
        """Of the image, clip or waveform that is the only input, or of every input by name."""
        return shape_of(self.inputs)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H,W,C) of the images, or (T,H,W,C) of the clips.

        Raises:
          UserError: the network takes something else.
        """
        if not isinstance(self.shape, tuple) or len(self.shape) < 3:
            raise UserError(f"{self.path}: takes {', '.join(self.inputs)}, not images alone, which this is for")
        return self.shape


def shape_of(inputs: Mapping[str, Field]) -> Shape:
    """Return the shape of the image, clip or waveform that is the only input, or of every input by name."""
    (name, first), *others = inputs.items()
    if not others and name in INPUT_KINDS:
        return first.shape
    return {name: field.shape for name, field in inputs.items()}


def describe(
    config: Mapping[str, Any],
    classes: tuple[str, ...],
    shape: Shape,
    lineage: Sequence[Mapping[str, Any]] = (),
    model: Network | None = None,
    outputs: Mapping[str, Field] | None = None,
    inputs: Mapping[str, Field] | None = None,
) -> dict[str, Any]:
    """Return the metadata of a run's checkpoints.

    `config` is plain JSON-able values, `lineage` what came before this run, `outputs` the fields of the model's heads,
    `inputs` those of what it takes: by default its one image or clip of `shape`.
    """
    if inputs is None:
        inputs = {name: Field(name, shape) for name in model.encoders} if model and isinstance(shape, tuple) else {}
    heads = {name: head._asdict() for name, head in model.heads.items()} if model else None
    fields = {name: field.to_json() for name, field in (outputs or {}).items()}
    return {
        "model": config["model"],
        "classes": list(classes),
        "image_shape": list(shape) if isinstance(shape, tuple) else None,
        "inputs": {name: field.to_json() for name, field in inputs.items()},
        "outputs": fields,
        "heads": heads,
        "lineage": list(lineage),
        "config": config,
        "versions": {name: version(name) for name in PACKAGES},
    }


def find_checkpoint(path: str | Path) -> Path:
    """Return the folder of one step: `path` itself, or the best (else the latest) below a run's workdir.

    Raises:
      UserError: there is no checkpoint at `path`.
    """
    root = Path(path)
    if is_weights_file(path):
        raise UserError(f"{path}: weights, not a run; expressnet import {path} --model NAME --output RUN makes it one")
    if not str(path).startswith("gs://") and not root.is_dir():
        raise UserError(f"{path}: no such folder; give a run's --workdir or one of its checkpoints")
    if (root / "model").is_dir():
        return root
    for folder in (root / BEST, root / LATEST, root):
        steps = [p for p in folder.glob("*") if p.name.isdigit() and (p / "model").is_dir()]
        if steps:
            return max(steps, key=lambda p: int(p.name))
    raise UserError(f"{path}: no checkpoint in it; a run writes them to {BEST}/ and {LATEST}/ of its --workdir")


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Return model and variables of a checkpoint, on this machine's first device, whatever machine wrote it.

    The variables are the averaged weights where the run averaged. Arithmetic is float32.

    Raises:
      UserError: no checkpoint there, one without metadata, or one whose arrays don't fit the model it names.
    """
    folder = find_checkpoint(path).absolute()
    way_out = _OF_THE_RUN if folder.parent.name == BEST else ""
    own = jax.process_index()  # others may read something else, or nothing
    alone = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
    )
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler(), multiprocessing_options=alone) as reader, silent():
        try:
            metadata = reader.restore(folder, ocp.args.Composite(metadata=ocp.args.JsonRestore()))["metadata"]
            name, classes, shape = metadata["model"]["name"], metadata["classes"], _stored_shape(metadata)
            options, averaged = metadata["model"]["options"], metadata["config"]["optimizer"]["ema"] > 0
            averaged = metadata.get("averaged", averaged)
            heads = _heads_of(metadata)
        except Exception as error:  # Orbax and TensorStore raise many kinds, plain Exception among them
            raise UserError(
                f"{folder}: not a checkpoint of this project, or damaged ({one_line(error)}){way_out}"
            ) from error
        if len(classes) != (width := next(iter(heads.values())).shape[0]):
            raise UserError(f"{folder}: its head is of {width} classes, no {name} of {len(classes)} classes{way_out}")
        model = create_model(name, heads, **_model_parts(metadata), **options)
        target = _model_target(model, shape, averaged)
        try:
            saved = reader.restore(folder, ocp.args.Composite(model=ocp.args.StandardRestore(target)))["model"]
        except Exception as error:
            raise UserError(
                f"{folder}: its arrays are damaged or no {name} of {len(classes)} classes ({one_line(error)});"
                f" give another checkpoint{way_out}"
            ) from error
    variables = saved["ema"] or {"params": saved["params"], "batch_stats": saved["batch_stats"]}
    return Checkpoint(folder, int(folder.name) if folder.name.isdigit() else 0, model, variables, metadata)


def _heads_of(metadata: Mapping[str, Any]) -> dict[str, Head]:
    """Return the heads of a checkpoint's model; those of before there were several have one, for `classes`."""
    if heads := metadata.get("heads"):
        return {name: Head(tuple(head["shape"]), head["kind"], head["scale"]) for name, head in heads.items()}
    kind = metadata["model"].get("head", "linear")
    scale = float(metadata["config"]["loss"]["scale"]) if kind == "cosine" else 1.0
    return {MAIN: Head((len(metadata["classes"]),), kind, scale)}


def _model_parts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `create_model` is to be given besides the first encoder's options; of what is older, the defaults."""
    section, inputs = metadata["model"], list(metadata.get("inputs") or {})
    names = ("temporal", "fusion", "modality_dropout")
    given = section.get("encoders", {})
    parts = {name: section[name] for name in names if name in section}
    return parts | {"encoders": {name: given[name] for name in inputs[1:]}, "input": inputs[0] if inputs else ""}


def _stored_shape(metadata: Mapping[str, Any]) -> Shape:
    stored = metadata.get("inputs")
    if metadata["image_shape"] is not None or not stored:
        return tuple(metadata["image_shape"])
    return shape_of({name: Field.from_json(field) for name, field in stored.items()})


def _model_target(model: Network, shape: Shape, ema: bool) -> dict[str, Any]:
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), zero_inputs(shape)))
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    place = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    params, stats = jax.tree.map(place, (shapes["params"], shapes.get("batch_stats", {})))
    return {"params": params, "batch_stats": stats, "ema": {"params": params, "batch_stats": stats} if ema else {}}


@contextmanager
def silent() -> Iterator[None]:
    """Log nothing: what can't be read is reported once, in a line."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
