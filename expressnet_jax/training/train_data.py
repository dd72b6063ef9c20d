"""The data of a run: the prepared set, its splits, and the batches that train and select."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from expressnet_jax.data import audit, prepare, sampling, selection
from expressnet_jax.data.datasets import DATASETS
from expressnet_jax.data.fields import INPUT_KINDS, Field
from expressnet_jax.data.pipeline import EvalLoader, TrainLoader, make_eval_batches, make_train_loader
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.data.readers import hold
from expressnet_jax.data.remarks import remarks
from expressnet_jax.data.store import default_data_dir, load
from expressnet_jax.errors import UserError
from expressnet_jax.models.network import Shape
from expressnet_jax.process import expanded
from expressnet_jax.training.checkpoints.data_identity import Learned
from expressnet_jax.training.network import (
    column_names,
    input_arrays,
    input_names,
    make_inputs_reader,
    media_shapes,
    record_shapes,
)
from expressnet_jax.training.program import StepCounts
from expressnet_jax.training.targets import split_fields, target_arrays


class TrainData(NamedTuple):
    """What a run learns from and what selects its best checkpoint."""

    prepared: Prepared
    chosen: selection.Splits
    audit: dict[str, Any] | None

    def sample_images(self, shape: Shape, most: int = 256) -> Any:
        """Return the first selection examples as the network takes them: [n,*shape], or arrays by name."""
        first = self.chosen.select.subset(np.arange(min(most, len(self.chosen.select))))
        return make_inputs_reader(first, len(first), shape, self.stored_size).read(np.arange(len(first)))

    @property
    def stored_size(self) -> tuple[int, int] | None:
        """(height, width) of the stored images, the largest where they differ; None of sound."""
        return self.prepared.stored_size(self.chosen.train_name)

    def fields(self, main: str) -> dict[str, Field]:
        """Return every target of the training split by name; its class is called `main`."""
        return split_fields(self.chosen.train, self.prepared.facts.get("notes"), main)

    @property
    def learned(self) -> Learned:
        """What is recorded of the data in every checkpoint."""
        return Learned(self.prepared, self.chosen.train_name, self.chosen.train, self.chosen.select)

    @property
    def leaked(self) -> list[int] | None:
        """Selection examples with a near-duplicate in train; None without an audit or an official selection split."""
        return None if self.audit is None else self.audit["leaked"].get(self.chosen.select_name)


def load_data(config: ConfigDict) -> TrainData:
    """Return the prepared data set of a config, its two splits and its audit. Generated faces are prepared on first
    use."""
    data = config.data
    prepared = find_prepared(config, data.name, data.source, key="data.name")
    _check_media(config, prepared)
    stored = prepared.facts["notes"].get("frames", 0)
    if stored != data.frames:
        holds = f"clips of {stored} frames" if stored else "images, no clips"
        raise UserError(
            f"data.frames: {data.frames}, but {prepared.name} holds {holds}; use --config.data.frames={stored}"
        )
    chosen = selection.select_splits(prepared, **{name: data[name] for name in selection.SETTINGS}, seed=config.seed)
    return TrainData(prepared, chosen, audit.load_audit(prepared))


def _check_media(config: ConfigDict, prepared: Prepared) -> None:
    """Raise UserError where the network takes records of another kind than a data set holds."""
    wanted = [name for name in input_names(config) if name in INPUT_KINDS]
    if len(wanted) > 1 and not prepared.with_sound:
        raise UserError(
            f"data.inputs: {' and '.join(wanted)}, but {prepared.name} holds no sound next to its {prepared.holds};"
            " prepare a data set of videos with --option sound=true"
        )
    takes = "sound" if wanted == ["waveform"] else "images"
    if wanted and takes != prepared.holds:
        raise UserError(
            f"data.inputs: {config.model.name} takes {takes}, but {prepared.name} holds {prepared.holds}; give another"
            " model.name or data.name"
        )


def find_prepared(config: ConfigDict, name: str, source: str = "", *, key: str) -> Prepared:
    """Return the data set of that name in the config's data folder; prepared now from `source`, or if its faces are
    generated.

    Raises:
      UserError: there is none; the line begins with `key`.
    """
    folder = expanded(config.data.dir) if config.data.dir else default_data_dir()
    plain = name.partition("@")[0]
    if plain not in DATASETS and not (folder / plain).is_dir():
        own = "or what `expressnet prepare folder --source PATH --name NAME` has stored"
        raise UserError(f"{key}: no data set {name!r} in {folder}; one of {', '.join(DATASETS)}, {own}")
    if name == "synthetic" or (source and plain == name):
        options = {"skip_bad": config.data.skip_bad} | config.data.options.to_dict()
        prepared = hold(prepare.prepare(name, Path(source) if source else None, folder, **options))
        for line in remarks(prepared.name, prepared.facts["notes"]):
            print(line, file=sys.stderr)
        return prepared
    return hold(load(name, folder))


def make_loaders(config: ConfigDict, data: TrainData, plan: StepCounts, mesh: Mesh) -> tuple[TrainLoader, EvalLoader]:
    """Return the training batches and the selection batches."""
    train, batch = data.chosen.train, config.train.batch_size
    sampler = (
        sampling.Balanced(train.labels, batch, config.seed, config.data.balance)
        if config.data.balance
        else sampling.Uniform(len(train), batch, config.seed)
    )
    inputs = input_arrays(column_names(config), train, data.stored_size)
    loader = make_train_loader(
        train,
        sampler,
        mesh,
        num_steps=plan.total,
        steps_per_call=plan.steps_per_call,
        reader=config.data.reader,
        targets=inputs | target_arrays(config, train, data.stored_size),
        threads=config.data.threads,
        **record_shapes(media_shapes(config)),
    )
    return loader, make_eval_loader(config, data.chosen.select, mesh, data.stored_size)


def make_eval_loader(config: ConfigDict, split: Split, mesh: Mesh, size: tuple[int, int] | None = None) -> EvalLoader:
    """Return a split in batches of about eval.batch_size that the mesh divides evenly; `size` is (height, width) of the
    stored images, which points are measured in."""
    parts = mesh.shape["data"]
    rounded = -(-min(config.eval.batch_size, max(len(split), 1)) // parts) * parts
    columns = input_arrays(column_names(config), split, size)
    settings = {"threads": config.data.threads, "shared": True, "columns": columns}
    settings |= record_shapes(media_shapes(config))
    return make_eval_batches(split, rounded, **settings)
