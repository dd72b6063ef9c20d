"""Pretraining on who it is: angular-margin softmax over people, judged by verification of people never trained on.

Shapes: B batch, D features, K people.
"""

from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from expressnet_jax.data.pipeline import Feed, OrderedBatches
from expressnet_jax.data.prepare import Split
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import collect_arrays
from expressnet_jax.evaluation.files import write_json
from expressnet_jax.evaluation.plots import curves_png
from expressnet_jax.evaluation.verification import Pairs, listed_pairs, make_pairs, similarities, verification
from expressnet_jax.machine import machine
from expressnet_jax.training.checkpoint import Checkpoint, load_checkpoint
from expressnet_jax.training.job import Evaluate, Job
from expressnet_jax.training.mesh import on_devices, spread_over, whole
from expressnet_jax.training.network import find_origin, image_shape, make_model, warm_start
from expressnet_jax.training.objectives import Objective
from expressnet_jax.training.program import assemble, class_objective
from expressnet_jax.training.setup import Data, Plan, check, load_data, make_feeds, make_plan
from expressnet_jax.training.state import TrainState, begin
from expressnet_jax.training.step import make_features
from expressnet_jax.training.task import supervised
from expressnet_jax.training.writers import read_history

METRICS = ("verification",)


def prepare(config: ConfigDict, mesh: Mesh) -> Job:
    """A run of the identity task on a data set prepared by `expressnet prepare identity`.

    Raises:
      UserError: anything that a user can mend.
    """
    check(config, METRICS)
    data, origin = load_data(config), find_origin(config)
    train, select = data.chosen.train, data.chosen.select
    if not set(train.labels).isdisjoint(select.labels) or train.subjects is None:
        raise UserError(
            f"task: {config.data.name} has no people of its own to verify; prepare the pictures with `expressnet"
            " prepare identity` for an identity run"
        )
    people = train.classes[: int(train.labels.max()) + 1]
    pairs = find_pairs(data, select)
    plan = make_plan(config, len(train))
    model = make_model(config, len(people))
    known = train.relabelled(people, train.labels)
    objective = over_all_devices(class_objective(config, known), mesh, len(people))
    task = lambda augmentation: supervised(model, objective, augmentation, len(train))
    beginning = begin(model, image_shape(config))
    program = assemble(config, plan, model, beginning, warm_start(config, model, people, origin), task)
    return Job(
        plan,
        program,
        people,
        origin.lineage if origin else [],
        partial(_open, config, mesh, data, plan, model, pairs),
        [
            f"{config.data.name}: {len(train):,} pictures of {len(people):,} people; {len(pairs.same):,} pairs of"
            f" {len(np.unique(select.labels)):,} others select",
            f"class centres: {'spread over' if spread_over(mesh, len(people)) else 'whole on'} {mesh.size} devices",
        ],
        partial(finish, config, data=data, pairs=pairs),
        data.pictures,
        [data.learned],
    )


def find_pairs(data: Data, select: Split) -> Pairs:
    """Those of the data set's own list, or drawn ones."""
    rows = data.prepared.facts["notes"].get("pairs")
    return listed_pairs(rows, select.keys) if rows else make_pairs(select.labels)


def over_all_devices(objective: Objective, mesh: Mesh, num_classes: int) -> Objective:
    """The same loss with the classes of the logits spread over all devices, where they are many.

    Then no device ever holds more than its part of the class centres, of their gradient, or of the logits; features
    travel instead, which are small (An et al. 2021, Partial FC, section 3.1, without its sampling).
    """
    if not spread_over(mesh, num_classes):
        return objective
    spread = NamedSharding(mesh, P(None, ("data", "model")))
    place = lambda x: jax.lax.with_sharding_constraint(x, spread)
    return lambda logits, targets: objective(place(logits), place(targets))


def _open(
    config: ConfigDict, mesh: Mesh, data: Data, plan: Plan, model: nn.Module, pairs: Pairs
) -> tuple[Feed, Evaluate]:
    feed, select = make_feeds(config, data, plan, mesh)
    look = make_features(model, whole(mesh))

    def evaluate(state: TrainState) -> dict[str, float]:
        variables = {**state.variables}
        figures = verify(lambda images: look(variables, on_devices(images, mesh)), select, pairs)
        return {name: float(value) for name, value in figures.items()}

    return feed, evaluate


def verify(features, select: OrderedBatches, pairs: Pairs) -> dict[str, float]:
    """The figures of a features function uint8[B,H,W,C] -> float[B,D] on pairs of the pictures of `select`."""
    (found,) = collect_arrays(lambda images: (features(images),), select.batches())
    return verification(similarities(found, pairs), pairs)


def finish(config: ConfigDict, workdir: Path, *, data: Data, pairs: Pairs) -> tuple[Checkpoint, list[Path]]:
    """The best checkpoint's figures and the learning curve."""
    checkpoint = load_checkpoint(workdir)
    history = read_history(workdir / "metrics.jsonl")
    figures = dict(checkpoint.metadata["metrics"])
    figures |= {
        "data": config.data.name,
        "people": len(checkpoint.classes),
        "pictures": len(data.chosen.train),
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
