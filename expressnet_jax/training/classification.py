"""The common run: labelled images, classes and further targets, metrics on a split that selects."""

import sys
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from expressnet_jax.data.audit import one_line
from expressnet_jax.data.fields import Field, named_examples, target_column
from expressnet_jax.data.label_matching import match_labels
from expressnet_jax.data.pipeline import EvalLoader, TrainLoader
from expressnet_jax.data.selection import unlearned
from expressnet_jax.environment import machine
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import collect_outputs, summarise
from expressnet_jax.evaluation.evaluators import evaluate_output
from expressnet_jax.evaluation.plots import curves_png
from expressnet_jax.evaluation.report import format_outputs, format_table
from expressnet_jax.metric_writers import read_history
from expressnet_jax.models.network import Network
from expressnet_jax.training.checkpoints.evaluate_checkpoint import evaluate_checkpoint, write_report
from expressnet_jax.training.checkpoints.reading import Checkpoint, load_checkpoint
from expressnet_jax.training.experiment import Evaluate, Experiment
from expressnet_jax.training.mesh import replicated, shard_batch
from expressnet_jax.training.network import (
    clip_rate,
    input_fields,
    input_names,
    input_shape,
    load_pretrained,
    make_model,
)
from expressnet_jax.training.program import StepCounts, count_steps, make_program
from expressnet_jax.training.state import TrainState
from expressnet_jax.training.step import make_predict_fn
from expressnet_jax.training.targets import (
    learned_fields,
    main_target,
    make_heads,
    selecting_metric,
    split_fields,
    target_arrays,
)
from expressnet_jax.training.teachers import with_teachers
from expressnet_jax.training.train_data import TrainData, find_prepared, load_data, make_eval_loader, make_loaders
from expressnet_jax.training.validate import METRICS, check_config, check_model

_FOLLOWED = ("log_loss", "accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")


def build_experiment(config: ConfigDict, mesh: Mesh) -> Experiment:
    """Return a run that learns the targets of a data set.

    Raises:
      UserError: anything that a user can fix.
    """
    check_config(config, METRICS)
    data, origin = add_teachers(config, load_data(config)), load_pretrained(config)
    fields = data.fields(main_target(config))
    shape = input_shape(config, data.chosen.train)
    check_model(config, shape)
    learned = learned_fields(config, fields)
    target_arrays(config, data.chosen.train, data.stored_size)  # refused here, before anything compiles
    check_selecting(config, data, learned)
    plan = count_steps(config, len(data.chosen.train))
    model = make_model(config, make_heads(config, learned))
    program = make_program(config, model, fields, data.chosen.train, plan, origin)
    return Experiment(
        plan,
        program,
        data.prepared.classes,
        learned,
        origin.lineage if origin else [],
        partial(_open, config, mesh, data, plan, model, learned),
        run_summary(config, data, learned),
        partial(finish, config, data=data),
        data.sample_images,
        [data.learned],
        input_fields(model, shape, fields, clip_rate(data.chosen.train)),
    )


def check_selecting(config: ConfigDict, data: TrainData, learned: Mapping[str, Field]) -> None:
    """Raise UserError where the best checkpoint is chosen by an output of which the selection examples say nothing."""
    output, _, metric = selecting_metric(config).rpartition("/")
    if output in config.evals or output not in learned:
        return
    split, field = data.chosen.select, learned[output]
    if output not in split_fields(split, data.prepared.facts.get("notes")):
        raise UserError(
            f"eval.metric: {config.eval.metric} compares the output {output} with a target of that name, and"
            f" {config.data.name} has none; give the output the name of its target, or choose another metric"
        )
    target = target_column(output, field, split.columns, data.stored_size)
    anything = np.full((len(split), *field.shape), 1 / field.shape[0] if field.kind == "class" else 0.0)
    if np.isnan(evaluate_output(anything, target, field)[metric]):
        raise UserError(
            f"eval.metric: {config.eval.metric} can't be measured on {data.chosen.select_name}: its examples have no"
            f" {output}, or the same all; choose another metric or data.validation_split"
        )


def add_teachers(config: ConfigDict, data: TrainData) -> TrainData:
    """Return the data with the answers of `config.teachers` as further targets of the training split, if there are any.

    Raises:
      UserError: a teacher that is not there or does not fit.
    """
    if not config.teachers:
        return data
    own, folder = data.fields(main_target(config)), data.prepared.directory
    train = with_teachers(config.teachers, data.chosen.train, folder, own, data.stored_size)
    return data._replace(chosen=data.chosen._replace(train=train))


def _open(
    config: ConfigDict, mesh: Mesh, data: TrainData, plan: StepCounts, model: Network, learned: Mapping[str, Field]
) -> tuple[TrainLoader, Evaluate]:
    loader, select = make_loaders(config, data, plan, mesh)
    evaluate = make_evaluate(model, select, data, learned, mesh)
    others = [_make_other_evaluate(name, config, model, data, mesh) for name in config.evals]

    def evaluate_all(state: TrainState) -> dict[str, float]:
        figures = evaluate(state)
        for other in others:
            figures |= other(state)
        return figures

    return loader, evaluate_all


def run_summary(config: ConfigDict, data: TrainData, learned: Mapping[str, Field]) -> list[str]:
    """Return what a run learns from, in a few lines."""
    train, select = data.chosen.train, data.chosen.select
    what = named_examples(input_names(config))
    report = [
        f"{config.data.name}: {len(train):,} training {what}, {len(select):,} of {data.chosen.select_name} select"
    ]
    if len(learned) > 1:
        report.append(f"learns {', '.join(learned)}")
    if data.audit is not None:
        report.append(one_line(data.audit))
    if missing := unlearned(data.chosen):
        counts = ", ".join(f"{name} ({count:,})" for name, count in missing.items())
        report.append(
            f"warning: {counts}: shown by {what} of {data.chosen.select_name} and by no training example, so that all"
            f" of these count as mistakes; add training {what}, or leave the class out of both"
        )
    if 0 < (seen := config.augment.resize) < 0.8 * config.data.size:
        report.append(
            f"warning: augment.resize={seen}: the last steps train on {seen} pixels a side and evaluation is at"
            f" {config.data.size}; a network with a strided stem can fail at a size that it was not trained at"
        )
    if data.chosen.dropped:
        report.append(f"data.drop_leaks: {data.chosen.dropped:,} leaking training {what} left out")
    if data.chosen.flipped:
        report.append(
            f"data.flip_labels: {data.chosen.flipped:,} of {len(train):,} training labels are wrong on purpose"
        )
    return report


def make_evaluate(
    model: Network, select: EvalLoader, data: TrainData, learned: Mapping[str, Field], mesh: Mesh
) -> Evaluate:
    """Return the metrics that a run follows, on the selection split, by the averaged weights where the run averages.

    Those of the main class keep their names, of every other output they are OUTPUT/METRIC.
    """
    split = data.chosen.select
    known = split_fields(split, data.prepared.facts.get("notes"))
    others = {name: field for name, field in learned.items() if name != model.main and name in known}
    targets = {name: target_column(name, field, split.columns, data.stored_size) for name, field in others.items()}
    predict = _head_outputs(model, select, mesh, [name for name, field in others.items() if field.kind == "class"])

    def evaluate(state: TrainState) -> dict[str, float]:
        outputs = predict(state)
        figures = summarise(
            outputs[model.main], split.labels, np.arange(len(split)), data.prepared.classes, data.leaked
        )
        followed = {name.replace("log_loss", "loss"): float(figures[name]) for name in _FOLLOWED}
        if figures.get("deduplicated"):
            followed["deduplicated_accuracy"] = float(figures["deduplicated"]["accuracy"])
        for name, field in others.items():
            found = evaluate_output(outputs[name], targets[name], field)
            followed |= {f"{name}/{metric}": value for metric, value in found.items()}
        return followed

    return evaluate


def _head_outputs(model: Network, batches: EvalLoader, mesh: Mesh, classes: Collection[str] = ()) -> Any:
    """Return state -> every head's output over a split, {name: [N,...]}; the main head's and those of further `classes`
    are probabilities."""
    predict = make_predict_fn(model, replicated(mesh), "all", classes)  # compiled once for all evaluations of the run
    names = sorted(model.heads)

    def outputs(state: TrainState) -> dict[str, np.ndarray]:
        on_mesh = lambda images: predict(state.variables, shard_batch(images, mesh))
        return collect_outputs(on_mesh, names, batches.batches())

    return outputs


def _make_other_evaluate(name: str, config: ConfigDict, model: Network, data: TrainData, mesh: Mesh) -> Evaluate:
    """Return the metrics of the class on a further data set, `config.evals.NAME`, as NAME/METRIC.

    Classes are matched by name; examples of classes that the network does not know are left out.
    """
    wanted = config.evals[name]
    prepared = find_prepared(config, wanted.get("data", name), key=f"evals.{name}.data")
    splits = [split for split in ("validation", "all", "train") if split in prepared.splits]
    known, labels = match_labels(prepared.split(wanted.get("split", splits[0])), data.prepared.classes)
    predict = _head_outputs(model, make_eval_loader(config, known, mesh), mesh)

    def evaluate(state: TrainState) -> dict[str, float]:
        probabilities = predict(state)[model.main]
        figures = summarise(probabilities, labels, np.arange(len(labels)), data.prepared.classes)
        return {f"{name}/{key.replace('log_loss', 'loss')}": float(figures[key]) for key in _FOLLOWED}

    return evaluate


def finish(config: ConfigDict, workdir: Path, *, data: TrainData) -> tuple[Checkpoint, list[Path]]:
    """Evaluate the best checkpoint on the split that selected it, print the table and write the report's files."""
    checkpoint = load_checkpoint(workdir)
    result = evaluate_checkpoint(
        checkpoint,
        data.chosen.select,
        tta=config.eval.tta,
        batch_size=config.eval.batch_size,
        leaked=data.leaked,
        size=data.stored_size,
    )
    history = read_history(workdir / "metrics.jsonl")
    result.figures.update(
        data=config.data.name,
        split=data.chosen.select_name,
        seed=config.seed,
        seconds=history[-1].get("seconds") if history else None,
        machine=machine(),
    )
    title = f"{config.model.name} on {config.data.name}, {data.chosen.select_name}"
    print(f"\n{title}, step {checkpoint.step}, test-time augmentation {config.eval.tta}\n")
    print(format_table(result.figures))
    if outputs := result.figures.get("outputs"):
        print("\n".join(["", *format_outputs(outputs)]))
    sys.stdout.flush()
    files = write_report(result, checkpoint, workdir, title, error_gallery=config.eval.error_gallery)
    files.append(curves_png(history, workdir / "curves.png", title, selecting_metric(config)))
    return checkpoint, files
