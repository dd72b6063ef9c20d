"""The common task: labelled pictures, cross-entropy or its kin, accuracy on a split that selects."""

from functools import partial

import flax.linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from expressnet_jax.data.audit import one_line
from expressnet_jax.data.pipeline import Feed, OrderedBatches
from expressnet_jax.data.selection import unlearned
from expressnet_jax.evaluation.evaluate import collect, summarise
from expressnet_jax.training.finish import finish
from expressnet_jax.training.job import Evaluate, Job
from expressnet_jax.training.mesh import on_devices, whole
from expressnet_jax.training.network import find_origin
from expressnet_jax.training.program import make_program
from expressnet_jax.training.setup import METRICS, Data, Plan, check, load_data, make_feeds, make_plan
from expressnet_jax.training.state import TrainState
from expressnet_jax.training.step import make_classify


def prepare(config: ConfigDict, mesh: Mesh) -> Job:
    """A run of the classification task.

    Raises:
      UserError: anything that a user can mend.
    """
    check(config, METRICS)
    data, origin = load_data(config), find_origin(config)
    plan = make_plan(config, len(data.chosen.train))
    program = make_program(config, data.chosen.train, plan, origin)
    return Job(
        plan,
        program,
        data.prepared.classes,
        origin.lineage if origin else [],
        partial(_open, config, mesh, data, plan, program.model),
        lines(config, data),
        partial(finish, config, data=data),
        data.pictures,
        [data.learned],
    )


def _open(config: ConfigDict, mesh: Mesh, data: Data, plan: Plan, model: nn.Module) -> tuple[Feed, Evaluate]:
    feed, select = make_feeds(config, data, plan, mesh)
    return feed, make_evaluate(model, select, data, mesh)


def lines(config: ConfigDict, data: Data) -> list[str]:
    """What a run learns from, in a few lines."""
    train, select = data.chosen.train, data.chosen.select
    told = [
        f"{config.data.name}: {len(train):,} training pictures, {len(select):,} of {data.chosen.select_name} select"
    ]
    if data.audit is not None:
        told.append(one_line(data.audit))
    if missing := unlearned(data.chosen):
        counts = ", ".join(f"{name} ({count:,})" for name, count in missing.items())
        told.append(
            f"warning: {counts}: shown by pictures of {data.chosen.select_name} and by no training picture, so that all"
            " of these count as mistakes; add training pictures, or leave the class out of both"
        )
    if data.chosen.dropped:
        told.append(f"data.drop_leaks: {data.chosen.dropped:,} leaking training pictures left out")
    return told


def make_evaluate(model: nn.Module, select: OrderedBatches, data: Data, mesh: Mesh) -> Evaluate:
    """The figures that a run follows, on the selection split; the averaged weights where the run averages."""
    predict = make_classify(model, whole(mesh))  # compiled once for all evaluations of the run
    names = ("log_loss", "accuracy", "balanced_accuracy", "macro_f1")

    def evaluate(state: TrainState) -> dict[str, float]:
        on_mesh = lambda images: predict(state.variables, on_devices(images, mesh))
        figures = summarise(*collect(on_mesh, select.batches()), data.prepared.classes, data.leaked)
        followed = {name.replace("log_loss", "loss"): float(figures[name]) for name in names}
        if figures.get("deduplicated"):
            followed["deduplicated_accuracy"] = float(figures["deduplicated"]["accuracy"])
        return followed

    return evaluate
