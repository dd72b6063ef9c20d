"""The harness: every method from the same checkpoint, on the same images, over several seeds, with its bounds.

WORKDIR/TARGET/METHOD/seed0     one run each, as `python -m expressnet_jax.main` makes it, with its log
WORKDIR/TARGET/results.json     all figures; table.md and features.png next to it
A killed harness resumes with what is missing. Nothing here chooses by a target label.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from expressnet_jax.adaptation import experiment
from expressnet_jax.adaptation.default_config import adaptation_config
from expressnet_jax.adaptation.domains import Domains, load_domains
from expressnet_jax.adaptation.plot_features import features_png
from expressnet_jax.adaptation.registry import METHODS
from expressnet_jax.adaptation.report import ROLES
from expressnet_jax.adaptation.results import Comparison, describe_target, format_table, gather
from expressnet_jax.config import set_key
from expressnet_jax.config_differences import differences
from expressnet_jax.errors import UserError
from expressnet_jax.io import write_bytes, write_json
from expressnet_jax.training.checkpoints.evaluate_checkpoint import evaluate_checkpoint
from expressnet_jax.training.checkpoints.reading import Checkpoint, load_checkpoint
from expressnet_jax.training.checkpoints.transfer import transfer_weights
from expressnet_jax.training.loop import train
from expressnet_jax.training.network import input_shape, make_model

UNTOUCHED, ORACLE = (
    "checkpoint",
    "oracle",
)  # rows in addition to the methods: without any step, and with the target's labels


def adapt_bench(plan: Comparison, workdir: Path, log: Callable[[str], None] = print) -> list[Path]:
    """Run what is missing, write each target's results, and return the files.

    Raises:
      UserError: what makes the whole comparison impossible. What one method can't do is a line of its row.
    """
    _check(plan)
    origin = load_checkpoint(plan.init_from)
    files = []
    for target in plan.targets:
        folder = workdir / target
        config = make_config(plan, origin, target, "source_only", 0)
        domains = load_domains(config, origin)
        judged, untouched = describe_target(target, domains), _restricted(config, origin, domains)
        rows = {UNTOUCHED: {"runs": [_without_adaptation(untouched, domains)]}}
        for method in (*plan.methods, ORACLE):
            rows[method] = _row(plan, origin, target, method, folder / method, log)
            figures = gather(rows, plan, judged)
            write_json(folder / "results.json", figures)
        files += [folder / "results.json", write_bytes(folder / "table.md", format_table(figures).encode())]
        log(f"\n{format_table(figures)}")
        if figures["best"]:
            adapted = load_checkpoint(folder / figures["best"] / "seed0")
            title = f"{plan.source} and {target} before and after {figures['best']}"
            files.append(features_png(untouched, adapted, domains, folder / "features.png", title))
    return files


def make_config(plan: Comparison, origin: Checkpoint, target: str, method: str, seed: int) -> ConfigDict:
    """Return the config of one run: the recipe, the checkpoint's own network and image size, and the plan's
    overrides."""
    size, _, channels = origin.image_shape
    config = adaptation_config(plan.source, target, "supervised" if method == ORACLE else method, size)
    model = origin.metadata["model"]
    config.model.update(name=model["name"], dropout=model["dropout"], options=ConfigDict(model["options"]))
    config.data.channels = channels
    config.init_from, config.seed = str(plan.init_from), seed
    for key, value in plan.overrides.items():
        set_key(config, key, value)
    return config


def _check(plan: Comparison) -> None:
    if unknown := [name for name in plan.methods if name not in METHODS]:
        raise UserError(f"--methods: no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    if plan.criterion not in experiment.METRICS[1:]:
        raise UserError(f"--criterion: no {plan.criterion!r}; one of {', '.join(experiment.METRICS[1:])}")
    if plan.seeds < 1 or not plan.weights or min(plan.weights) <= 0:
        raise UserError(f"--seeds {plan.seeds}, --weights {plan.weights}: give one seed at least, and positive weights")


def _row(
    plan: Comparison, origin: Checkpoint, target: str, method: str, folder: Path, log: Callable[[str], None]
) -> dict[str, Any]:
    """Return the runs of a method; or the line that says why there are none."""

    def run(seed: int, weight: float, name: str) -> dict[str, Any]:
        config = make_config(plan, origin, target, method, seed)
        config.adapt.weight = config.adapt.weight * weight
        return _run(config, folder / name, f"{target} {method} {name}", log)

    try:
        tried = {1.0: run(0, 1.0, "seed0")}
        if METHODS.get(method) and METHODS[method]().transfer:
            tried |= {w: run(0, w, f"weight{w:g}") for w in plan.weights if w != 1.0}
        chosen = max(
            (w for w in tried if w in plan.weights), key=lambda w: tried[w]["criteria"][plan.criterion], default=1.0
        )
        names = {seed: "seed" if chosen == 1.0 else f"weight{chosen:g}-seed" for seed in range(1, plan.seeds)}
        runs = [tried[chosen], *(run(seed, chosen, f"{name}{seed}") for seed, name in names.items())]
    except UserError as error:
        log(f"{target} {method}: {error}")
        return {"error": str(error)}
    return {"runs": runs, "weight": chosen, "tried": {f"{w:g}": found["criteria"] for w, found in tried.items()}}


def _run(config: ConfigDict, folder: Path, name: str, log: Callable[[str], None]) -> dict[str, Any]:
    """Return one run's evaluation.json, made now if it is not there. Its output goes to log.txt.

    Raises:
      UserError: the folder holds a run with another config, or the run itself can't be.
    """
    stored = folder / "evaluation.json"
    if stored.is_file():
        if changed := differences(json.loads((folder / "config.json").read_text(encoding="utf-8")), config.to_dict()):
            raise UserError(f"{folder}: holds another run ({'; '.join(changed[:3])}); give another --workdir")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            (folder / "log.txt").open("a", encoding="utf-8") as lines,
            contextlib.redirect_stdout(lines),
            contextlib.redirect_stderr(lines),
        ):
            train(config, folder, experiment.build_experiment).finish(folder)
    figures = json.loads(stored.read_text(encoding="utf-8"))
    log(f"{name}: held-out balanced accuracy {figures['heldout']['balanced_accuracy']:.2%}")
    return figures


def _restricted(config: ConfigDict, origin: Checkpoint, domains: Domains) -> Checkpoint:
    """Return the source's network with the head of the shared classes, no step taken."""
    model = make_model(config, len(domains.classes))
    wanted, shape = config.model.to_dict(), input_shape(config)
    return origin._replace(
        model=model,
        variables=transfer_weights(origin, wanted, model, domains.classes, shape, config.seed),
        metadata=origin.metadata | {"classes": list(domains.classes)},
    )


def _without_adaptation(checkpoint: Checkpoint, domains: Domains) -> dict[str, Any]:
    splits = zip(ROLES, (domains.adapt_split, domains.test_split), strict=True)
    return {"seed": None} | {role: evaluate_checkpoint(checkpoint, split).figures for role, split in splits}
