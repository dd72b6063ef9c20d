"""Every network under one recipe: what finished runs of configs/zoo.py reached, and how large and fast each network is.

A row stays in the file when its run is gone, so the table grows over as many sessions as it takes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.bench.interleaved import interleave
from expressnet_jax.bench.model import as_onnx, noise, timed
from expressnet_jax.config import flatten
from expressnet_jax.config_differences import with_defaults
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.seeds import read_run, recipe, seed_figures
from expressnet_jax.models.inspect import forward_flops, parameter_count
from expressnet_jax.runtime.onnx_predict import OnnxPredictor
from expressnet_jax.training.checkpoints.reading import Checkpoint, load_checkpoint

_OWN = ("model.", "augment.", "train.progressive_")  # what a network may set differently; its row says so


def add_runs(known: Mapping[str, Any], runs: Sequence[Path], rounds: int = 5) -> dict[str, Any]:
    """Return the file's content with the rows of these runs: `recipe`, the keys that all share, and `networks` by name.

    The first run that a file ever gets says which recipe it is. Milliseconds are of one image on one thread in ONNX
    Runtime, all runs of a call in turns: nothing else should work on the machine meanwhile.

    Raises:
      UserError: a run has not finished, or was made by another recipe.
    """
    figures = {"recipe": dict(known.get("recipe", {})), "networks": dict(known.get("networks", {}))}
    content: dict[str, bytes] = {}
    for path in runs:
        run = read_run(path)
        keys = {key: value for key, value in flatten(recipe(run["config"])).items() if not key.startswith("model.")}
        figures["recipe"] = figures["recipe"] or keys
        own = _own_keys(figures["recipe"], keys, path) | options(run["config"])
        checkpoint, name = load_checkpoint(path), run["config"]["model"]["name"]
        content[name] = as_onnx(checkpoint)
        figures["networks"][name] = {"own": own, **facts(checkpoint, content[name]), **published(run)}
    for name, milliseconds in _latencies(content, rounds).items():
        figures["networks"][name]["onnx_latency_ms"] = milliseconds
    return figures


def _own_keys(shared: Mapping[str, Any], keys: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return where a run's recipe differs from the common one; a key that one of them is older than had its default.

    Raises:
      UserError: in what decides how much a network is taught.
    """
    common, own = with_defaults(shared), with_defaults(keys)
    differing = {key: own.get(key) for key in own.keys() | common.keys() if own.get(key) != common.get(key)}
    if wrong := sorted(key for key in differing if not key.startswith(_OWN)):
        raise UserError(
            f"{path}: {wrong[0]} is {own.get(wrong[0])!r}, in the table's other runs {common.get(wrong[0])!r};"
            " give runs of one recipe, or another --json"
        )
    return differing


def options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the network was made with."""
    return {f"model.options.{key}": value for key, value in config["model"]["options"].items()}


def facts(checkpoint: Checkpoint, content: bytes) -> dict[str, Any]:
    """Size and arithmetic of a network as it was trained."""
    return {
        "parameters": parameter_count(checkpoint.variables["params"]),
        "mflop": forward_flops(checkpoint.model, checkpoint.image_shape) / 1e6,
        "onnx_bytes": len(content),
    }


def published(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a run, and of what it was made on."""
    kept = seed_figures(run)
    del kept["confusion"]
    return kept | {"machine": run["machine"]}


def _latencies(content: Mapping[str, bytes], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of one image on one thread, for ONNX files by name."""
    blocks = {}
    for name, model in content.items():
        predict = OnnxPredictor(model, name, threads=1)
        blocks[name] = timed(predict, noise(predict))
    return {name: float(np.median(values)) for name, values in interleave(blocks, rounds).items()}
