"""Run a whole protocol: the linear model, one run for each fold and seed, figures. A killed one resumes.

OUTPUT/results.json, table.md   written again after every seed
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from expressnet_jax.data.prepared import Prepared
from expressnet_jax.environment import machine
from expressnet_jax.errors import UserError
from expressnet_jax.folds.figures import fold_figures, over_seeds, table
from expressnet_jax.folds.linear import linear_features, predict_folds
from expressnet_jax.folds.protocol import Protocol, check_classes, write_protocol
from expressnet_jax.folds.runs import FoldPredictions, fold_config, gather, run_fold
from expressnet_jax.io import write_bytes, write_json
from expressnet_jax.training.network import input_shape
from expressnet_jax.training.train_data import load_data
from expressnet_jax.training.validate import check_config

Say = Callable[[str], None]


def run_protocol(
    config: ConfigDict,
    prepared: Prepared,
    protocol: Protocol,
    output: Path,
    *,
    seeds: Sequence[int] = (0,),
    linear: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """Run what is missing of a protocol and write its results; return them.

    Raises:
      UserError: anything that a user can fix; what is finished stays.
      Interrupted: a run was stopped; the same call resumes it.
    """
    if config.task != "classification":
        raise UserError(f"task: {config.task}; folds are of task=classification")
    first = fold_config(config, protocol, protocol.numbers[0], seeds[0])
    check_config(first)
    load_data(first)
    check_classes(protocol)
    facts = write_protocol(protocol, prepared, output)
    results = {name: facts[name] for name in ("data", "protocol", "examples")}
    results |= {"classes": list(prepared.classes), "machine": machine(), "rows": {}}
    if linear:
        for name, predictions in _linear_rows(config, prepared, protocol, say):
            results["rows"][name] = {"trained": False} | over_seeds({0: _figures(predictions, protocol)})
    found: dict[int, Mapping[str, Any]] = {}
    for seed in seeds:
        parts = []
        for number in protocol.numbers:
            parts.append(run_fold(config, protocol, prepared, number, seed, output))
            say(f"seed {seed} fold {number}: {_accuracy(parts[-1], protocol):.1%} of {len(parts[-1].examples):,}")
        found[seed] = _figures(parts, protocol)
        results["rows"][config.model.name] = {"trained": True} | over_seeds(found)
        write_json(output / "results.json", results)
        write_bytes(output / "table.md", table(results).encode())
    return results


def _linear_rows(config: ConfigDict, prepared: Prepared, protocol: Protocol, say: Say) -> Any:
    size = prepared.stored_size(protocol.settings["train_split"])
    features = linear_features(protocol.split, input_shape(config, protocol.split), size)
    if not features:
        say("no linear model: no input has features that it could use")
    for name, values in features.items():
        parts = list(predict_folds(values, protocol))
        right = sum(_accuracy(part, protocol) * len(part.examples) for part in parts)
        say(f"logistic regression on {name}: {right / len(protocol.split):.1%} of {len(protocol.split):,}")
        yield f"logistic regression on {name}", parts


def _accuracy(part: FoldPredictions, protocol: Protocol) -> float:
    return float((part.probabilities.argmax(1) == protocol.split.labels[part.examples]).mean())


def _figures(parts: list[FoldPredictions], protocol: Protocol) -> dict[str, Any]:
    split = protocol.split
    probabilities = gather(parts, len(split), len(split.classes))
    groups = np.arange(len(split)) if split.subjects is None else split.subjects
    return fold_figures(probabilities, split.labels, protocol.fold, groups, split.classes)
