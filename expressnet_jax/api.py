"""The functions behind `expressnet_jax.NAME`: the commands, as Python calls them.

Each takes plain values, imports what it needs when it is called, and raises `UserError` with one line where the command
would print it. Shapes: K classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from expressnet_jax.process import expanded

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from expressnet_jax.data.prepared import Prepared
    from expressnet_jax.training.checkpoints.reading import Checkpoint

_NO_CHANGES: Mapping[str, Any] = MappingProxyType({})


def load_config(file: str | Path = "", changes: Mapping[str, Any] = _NO_CHANGES) -> "ConfigDict":
    """Return the config of a file, or the default one, with `changes` by key: {"train.epochs": 3}.

    Raises:
      UserError: no such file, something wrong in it, no such key, or a value of another kind.
    """
    from expressnet_jax import config_file

    return config_file.load_config(file, changes)


def prepare(
    dataset: str,
    source: str | Path | None = None,
    /,
    *,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> "Prepared":
    """Check every image of a data set once, store them for training, and return the prepared set.

    `dataset` is one of `expressnet prepare --help`, "folder" for your own; `source` the file or folder that you have;
    `data_dir` where prepared data lives, by default $EXPRESSNET_DATA or ~/expressnet_data; `options` are those of the
    data set, such as name="mine" of a folder. What is prepared already is returned as it is, unless `overwrite`.

    Raises:
      UserError: an unknown name or option, a layout that isn't that of the data set, an image that can't be used
        (with `skip_bad` such images are left out).
    """
    from expressnet_jax.data import prepare as preparation

    found = None if source is None else Path(source)
    return preparation.prepare(dataset, found, _folder(data_dir), overwrite, skip_bad=skip_bad, **options)


def load_data(name: str, data_dir: str | Path | None = None) -> "Prepared":
    """Return a prepared data set by NAME or NAME@IDENTITY; `.split("train")` has its images and labels.

    Raises:
      UserError: there is none; it lists those that there are.
    """
    from expressnet_jax.data.readers import hold
    from expressnet_jax.data.store import load

    return hold(load(name, _folder(data_dir)))


def train(config: "ConfigDict | str | Path", workdir: str | Path) -> "Checkpoint":
    """Train what a config (or its file) describes, as `python -m expressnet_jax.main` does; return the best checkpoint.

    An unfinished run in `workdir` is resumed; a finished one only reports. `workdir` gets checkpoints, metrics.jsonl,
    the report of the split that selects and, where `config.export` names a file, the ONNX model.

    Raises:
      UserError: what can't be run, before anything compiles; or a run that diverges.
      Interrupted: after SIGINT or SIGTERM, with a checkpoint; the same call resumes from there.
    """
    from expressnet_jax.tasks import run_config
    from expressnet_jax.training.checkpoints.reading import load_checkpoint

    folder = expanded(workdir)
    run_config(load_config(config) if isinstance(config, str | Path) else config, folder)
    return load_checkpoint(folder)


def sweep(
    config: "ConfigDict | str | Path", grid: Mapping[str, Sequence[Any]], output: str | Path, *, halving: int = 0
) -> dict[str, Any]:
    """Train a config with every combination of some values, as `expressnet sweep` does; return the results.

    `grid` is key -> values: {"optimizer.learning_rate": (0.01, 0.02)}; with `halving` only the best 1 of so many runs
    continue at each rung. `runs` of the results has every run, `best` the name of the best one's folder in OUTPUT/runs.

    Raises:
      UserError: anything that a user can fix, before the first run begins.
      Interrupted: a run was stopped; the same call resumes it.
    """
    from expressnet_jax.sweeps.harness import run_sweep

    chosen = load_config(config) if isinstance(config, str | Path) else config
    return run_sweep(chosen, grid, expanded(output), halving=halving)


def evaluate(
    checkpoint: "Checkpoint | str | Path",
    data: "Prepared | str | Path",
    *,
    split: str | None = None,
    tta: Literal["none", "flip", "ten_crop"] = "none",
    skip_bad: bool = False,
    data_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Return the figures of a checkpoint on a split, as `expressnet evaluate --json` writes them.

    `checkpoint` is a run's workdir, one of its checkpoints, or what `train` and `load_checkpoint` return. `data` is a
    prepared set, its name, or a folder of class-named folders. The split is by default the first that exists of test,
    validation, all and train.

    Raises:
      UserError: no such checkpoint, data set or split, or not one class in common.
    """
    from expressnet_jax.data.commands import open_data
    from expressnet_jax.data.prepared import Prepared
    from expressnet_jax.training.checkpoints.evaluate_data import evaluate_data

    found = _checkpoint(checkpoint)
    if isinstance(data, Prepared):
        return evaluate_data(found, data, data.name, split=split, tta=tta).figures
    with open_data(str(expanded(data)), _folder(data_dir), skip_bad) as prepared:
        return evaluate_data(found, prepared, str(data), split=split, tta=tta).figures


def export_onnx(
    checkpoint: "Checkpoint | str | Path",
    output: str | Path,
    *,
    images: Any = None,
    input: Literal["uint8", "float"] = "uint8",
    temperature: float | Mapping[str, float] = 1.0,
    logit_shift: Mapping[str, Sequence[float]] | None = None,
    attention: bool = False,
    mirror: bool = False,
) -> dict[str, Any]:
    """Write a checkpoint as ONNX and return the proof that ONNX Runtime computes with it what JAX computes.

    `images` uint8[N,H,W,C] are what both are compared on, generated ones by default; the other options are those of
    `expressnet export`.

    Raises:
      UserError: no such checkpoint, images that don't fit it, or a file that would differ; then none is written.
    """
    from expressnet_jax.export import onnx_export

    options: dict[str, Any] = {"input": input, "temperature": temperature, "logit_shift": logit_shift}
    options |= {"attention": attention, "mirror": mirror}
    return onnx_export.export_onnx(_checkpoint(checkpoint), expanded(output), images=images, **options)


def make_report(
    model: str | Path,
    data: str | Sequence[str],
    output: str | Path,
    *,
    sections: Sequence[str] = (),
    against: str | None = None,
    checkpoint: str | None = None,
    attributes: Sequence[str] = (),
    quick: bool = False,
    data_dir: str | Path | None = None,
) -> dict[str, Path]:
    """Write one page on how good a model is, where it breaks, why, and for whom; return its files by name.

    `model` is a shipped one, an ONNX file, a checkpoint or a baseline; `data` are prepared sets, each NAME or
    NAME:SPLIT; `sections` some of those of `expressnet report --help`, by default all. Finished parts are used again.

    Raises:
      UserError: a wrong section, data set, attribute or model, or a missing library, before anything is computed.
    """
    from expressnet_jax.report.run import SECTIONS, Request, run_report

    sets = []
    for each in [data] if isinstance(data, str) else data:
        name, _, split = each.partition(":")
        sets.append((load_data(name, data_dir), split or None))
    options: dict[str, Any] = {"against": against, "checkpoint": checkpoint, "attributes": attributes, "quick": quick}
    return run_report(Request(str(model), sets, expanded(output), sections=tuple(sections or SECTIONS), **options))


def _folder(data_dir: str | Path | None) -> Path:
    from expressnet_jax.data.store import default_data_dir

    return expanded(data_dir or default_data_dir())


def _checkpoint(given: "Checkpoint | str | Path") -> "Checkpoint":
    from expressnet_jax.training.checkpoints.reading import load_checkpoint

    return load_checkpoint(expanded(given)) if isinstance(given, str | Path) else given
