"""Pretraining on who it is: angular-margin softmax over people, judged by verification of people never trained on.

Shapes: B batch, D features, K people.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from expressnet_jax.data.pipeline import EvalLoader, TrainLoader
from expressnet_jax.data.prepared import Split
from expressnet_jax.environment import machine
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import collect_arrays
from expressnet_jax.evaluation.plots import curves_png
from expressnet_jax.evaluation.verification import Pairs, listed_pairs, make_pairs, similarities, verification
from expressnet_jax.io import write_json
from expressnet_jax.metric_writers import read_history
from expressnet_jax.models.network import Network
from expressnet_jax.training.checkpoints.reading import Checkpoint, load_checkpoint
from expressnet_jax.training.experiment import Evaluate, Experiment
from expressnet_jax.training.mesh import replicated, shard_batch, shards_classes
from expressnet_jax.training.network import load_pretrained, make_model
from expressnet_jax.training.program import StepCounts, count_steps, make_program
from expressnet_jax.training.state import TrainState
from expressnet_jax.training.step import make_predict_fn
from expressnet_jax.training.targets import learned_fields, main_target, make_heads, split_fields
from expressnet_jax.training.train_data import TrainData, load_data, make_loaders
from expressnet_jax.training.validate import check_config

METRICS = ("verification",)


def build_experiment(config: ConfigDict, mesh: Mesh) -> Experiment:
    """Return a run of the identity task on a data set prepared by `expressnet prepare identity`.

    Raises:
      UserError: anything that a user can fix.
    """
    check_config(config, METRICS)
    data, origin = load_data(config), load_pretrained(config)
    train, select = data.chosen.train, data.chosen.select
    if not set(train.labels).isdisjoint(select.labels) or train.subjects is None:
        raise UserError(
            f"task: {config.data.name} has no people to verify; prepare the images with `expressnet"
            " prepare identity` for an identity run"
        )
    people = train.classes[: int(train.labels.max()) + 1]
    pairs = find_pairs(data, select)
    plan = count_steps(config, len(train))
    known = train.relabelled(people, train.labels)
    fields = split_fields(known, main=main_target(config))
    learned = learned_fields(config, fields)
    model = make_model(config, make_heads(config, learned))
    program = make_program(config, model, fields, known, plan, origin, spread_classes(mesh, len(people)))
    return Experiment(
        plan,
        program,
        people,
        learned,
        origin.lineage if origin else [],
        partial(_open, config, mesh, data, plan, model, pairs),
        [
            f"{config.data.name}: {len(train):,} images of {len(people):,} people; {len(pairs.same):,} pairs of"
            f" {len(np.unique(select.labels)):,} others select",
            f"class centres: {'spread over' if shards_classes(mesh, len(people)) else 'whole on'} {mesh.size} devices",
        ],
        partial(finish, config, data=data, pairs=pairs),
        data.sample_images,
        [data.learned],
    )


def find_pairs(data: TrainData, select: Split) -> Pairs:
    """Return the pairs of the data set's own list, or drawn ones."""
    rows = data.prepared.facts["notes"].get("pairs")
    return listed_pairs(rows, select.keys) if rows else make_pairs(select.labels)


def spread_classes(mesh: Mesh, num_classes: int) -> Callable[[Array], Array] | None:
    """Return what puts the classes of [B,K] arrays on all devices, where there are many; None where there are few.

    Then no device ever holds more than its part of the class centers, of their gradient, or of the logits; features
    travel instead, which are small (An et al. 2021, Partial FC, section 3.1, without its sampling).
    """
    if not shards_classes(mesh, num_classes):
        return None
    spread = NamedSharding(mesh, P(None, ("data", "model")))
    return lambda x: jax.lax.with_sharding_constraint(x, spread)


def _open(
    config: ConfigDict, mesh: Mesh, data: TrainData, plan: StepCounts, model: Network, pairs: Pairs
) -> tuple[TrainLoader, Evaluate]:
    loader, select = make_loaders(config, data, plan, mesh)
    embed = make_predict_fn(model, replicated(mesh), "features")

    def evaluate(state: TrainState) -> dict[str, float]:
        variables = {**state.variables}
        figures = verify(lambda images: embed(variables, shard_batch(images, mesh)), select, pairs)
        return {name: float(value) for name, value in figures.items()}

    return loader, evaluate


def verify(features, select: EvalLoader, pairs: Pairs) -> dict[str, float]:
    """Return the figures of a features function uint8[B,H,W,C] -> float[B,D] on pairs of the images of `select`."""
    (found,) = collect_arrays(lambda images: (features(images),), select.batches())
    return verification(similarities(found, pairs), pairs)


def finish(config: ConfigDict, workdir: Path, *, data: TrainData, pairs: Pairs) -> tuple[Checkpoint, list[Path]]:
    """Return the best checkpoint's figures and the learning curve."""
    checkpoint = load_checkpoint(workdir)
    history = read_history(workdir / "metrics.jsonl")
    figures = dict(checkpoint.metadata["metrics"])
    figures |= {
        "data": config.data.name,
        "people": len(checkpoint.classes),
        "images": len(data.chosen.train),
        "seed": config.seed,
        "step": checkpoint.step,
        "seconds": history[-1].get("seconds") if history else None,
        "machine": machine(),
    }
    print(
        f"\nverification {figures['verification']:.2%} (standard error {figures['standard_error']:.2%}) on"
        f" {len(pairs.same):,} pairs of people who were not trained on, step {checkpoint.step}",
        flush=True,
    )
    title = f"{config.model.name} on the people of {config.data.name}"
    files = [write_json(workdir / "evaluation.json", figures)]
    files.append(curves_png(history, workdir / "curves.png", title, "verification"))
    return checkpoint, files
