"""An adaptation as a run of the training loop: two loaders, the method's loss, figures that need no target label."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from expressnet_jax.adaptation.adabn import recalibrate_batch_norm
from expressnet_jax.adaptation.domains import Domains, labelled_examples, load_domains
from expressnet_jax.adaptation.loss_program import adaptation, make_adaptation_init_fn
from expressnet_jax.adaptation.method import Method, Size
from expressnet_jax.adaptation.registry import make_method
from expressnet_jax.adaptation.report import finish
from expressnet_jax.data import sampling
from expressnet_jax.data.pipeline import ZippedLoaders, make_train_loader
from expressnet_jax.data.prepared import Split
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import collect_arrays
from expressnet_jax.evaluation.unsupervised_selection import Sample, validate
from expressnet_jax.models.network import Network, Shape
from expressnet_jax.training.checkpoints.data_identity import Learned
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from expressnet_jax.training.experiment import Evaluate, Experiment
from expressnet_jax.training.mesh import replicated, shard_batch
from expressnet_jax.training.network import (
    image_shape,
    input_names,
    make_inputs_reader,
    make_model,
    pretrained_variables,
)
from expressnet_jax.training.program import StepCounts, build_program, choose_steps_per_call, count_steps
from expressnet_jax.training.state import TrainState
from expressnet_jax.training.targets import (
    build_losses,
    class_labels,
    learned_fields,
    main_target,
    make_heads,
    split_fields,
)
from expressnet_jax.training.train_data import make_eval_loader
from expressnet_jax.training.validate import check_config

METRICS = ("last", "source_accuracy", "negative_entropy", "mutual_information", "weighted_accuracy")
SAMPLE = 1024  # images of each domain that the criteria are computed on


def build_experiment(config: ConfigDict, mesh: Mesh) -> Experiment:
    """Return a run of adaptation.

    Raises:
      UserError: anything that a user can fix.
    """
    check_config(config, METRICS)
    method = make_method(config.adapt.method, **config.adapt.options.to_dict())
    _check(config, method)
    origin = load_checkpoint(config.init_from)
    domains = load_domains(config, origin)
    labelled = _labelled(config, method, domains)
    plan = _plan(config, method, domains)
    plan = plan._replace(total=-(-plan.total // plan.steps_per_call) * plan.steps_per_call)
    fields = split_fields(labelled)
    learned = learned_fields(config, fields)
    model = make_model(config, make_heads(config, learned))
    pretrained: Any = pretrained_variables(config, model, domains.classes, origin)
    if not method.trains and not pretrained["batch_stats"]:
        raise UserError(f"adapt.method: {config.model.name} has no batch normalisation; {config.adapt.method} needs it")
    features = pretrained["params"]["head"]["kernel"].shape[0]
    size = Size(len(domains.adapt_split), features, len(domains.classes))
    options = {"total": plan.total, "weight": config.adapt.weight, "bn_domains": config.adapt.bn_domains, "size": size}
    losses = build_losses(config, fields, class_labels(labelled, fields, main_target(config)), features)
    loss_program = lambda augmentation: adaptation(model, method, losses, augmentation, **options)
    init_fn = make_adaptation_init_fn(model, image_shape(config), method, size)
    program = build_program(config, plan, model, init_fn, pretrained, loss_program, trainable=method.trainable)
    if recalibration_steps := _recalibration_steps(config, method, domains) if pretrained["batch_stats"] else 0:
        trained = program.phases if method.trains else ()
        program = program._replace(phases=(*trained, (plan.total, recalibrate_batch_norm(model, plan.total))))
        plan = plan._replace(total=plan.total + recalibration_steps)
    return Experiment(
        plan,
        program,
        domains.classes,
        learned,
        origin.lineage,
        partial(_open, config, mesh, domains, labelled, method, plan, model),
        _run_summary(config, domains, labelled, method),
        partial(finish, config, domains=domains),
        partial(_sample_images, domains.adapt_split),
        _learned(domains, labelled, method),
    )


def _sample_images(split: Split, shape: Shape) -> np.ndarray:
    first = split.subset(np.arange(min(256, len(split))))
    return make_inputs_reader(first, len(first), shape).read(np.arange(len(first)))


def _labelled(config: ConfigDict, method: Method, domains: Domains) -> Split:
    if method.labelled == "target":
        return labelled_examples(domains.adapt_split, config.adapt.labels_per_class, config.seed)
    return domains.train


def _learned(domains: Domains, labelled: Split, method: Method) -> list[Learned]:
    """Return both sets as a run records them; `supervised` learns the labels of the target instead of the source's."""
    if method.labelled == "target":
        return [domains.source_data, domains.target_data._replace(examples=labelled, labelled=True)]
    return [domains.source_data, domains.target_data]


def _check(config: ConfigDict, method: Method) -> None:
    adapt, names = config.adapt, input_names(config)
    if any(name not in ("image", "clip") for name in names):
        raise UserError(f"task: an adaptation is of networks of images; {config.model.name} takes {', '.join(names)}")
    if not config.init_from:
        raise UserError(
            f"init_from: an adaptation begins with a checkpoint trained on {config.data.name}; give its workdir with"
            " --config.init_from=WORKDIR"
        )
    if adapt.bn_domains not in ("joint", "separate"):
        raise UserError(f"adapt.bn_domains: no {adapt.bn_domains!r}; one of joint, separate")
    if adapt.labels_per_class and method.labelled != "target":
        raise UserError(f"adapt.labels_per_class: {adapt.method} sees no target labels; use adapt.method=supervised")
    if method.teacher and not config.optimizer.ema:
        raise UserError(f"optimizer.ema: {adapt.method} learns from the averaged network; use 0.99 or so")
    if config.losses.expression.soft_targets != "label":
        raise UserError(
            "losses.expression.soft_targets: an adaptation learns from labels; use losses.expression.soft_targets=label"
        )
    if config.model.head != "linear":
        raise UserError("model.head: an adaptation is of expressions; use model.head=linear")
    if config.augment.alternating_flip or config.data.balance:
        key = "augment.alternating_flip" if config.augment.alternating_flip else "data.balance"
        raise UserError(f"{key}: an adaptation draws both domains as they come; leave it at its default")


def _plan(config: ConfigDict, method: Method, domains: Domains) -> StepCounts:
    """Count the steps: epochs are of the source for every method, so that all take equally many steps; unless one goes
    so often through the target and no more."""
    batch, count = config.train.batch_size, len(domains.adapt_split)
    if method.unlabelled and count < batch:
        raise UserError(
            f"adapt.target: {count} images to adapt on are fewer than a batch; use --config.train.batch_size={count}"
            " or less"
        )
    plan = count_steps(config, len(domains.train))
    if not method.trains:
        return plan._replace(total=0)
    if not method.target_epochs:
        return plan
    plan = plan._replace(total=max(round(method.target_epochs * count / batch), 1))
    return plan._replace(steps_per_call=choose_steps_per_call(config, plan))


def _recalibration_steps(config: ConfigDict, method: Method, domains: Domains) -> int:
    """Return the steps at the end that only take the target's statistics; a method that never sees the target takes
    none."""
    if not method.unlabelled:
        return 0
    images = method.bn_recalibration_share * len(domains.adapt_split) or min(
        config.adapt.bn_recalibration_images, len(domains.adapt_split)
    )
    return round(images / config.train.batch_size)


def _open(
    config: ConfigDict,
    mesh: Mesh,
    domains: Domains,
    labelled: Split,
    method: Method,
    plan: StepCounts,
    model: Network,
) -> tuple[ZippedLoaders, Evaluate]:
    images = {"shape": image_shape(config), "threads": config.data.threads}
    options = {"num_steps": plan.total, "steps_per_call": plan.steps_per_call, "reader": config.data.reader}

    def loader(split: Split, seed: int):
        sampler = sampling.Uniform(len(split), config.train.batch_size, seed)
        return make_train_loader(split, sampler, mesh, **options, **images)

    loaders = {}
    if method.labelled:
        loaders["source"] = loader(labelled, config.seed)
    if method.unlabelled:
        loaders["target"] = loader(
            domains.adapt_split, config.seed + 1
        )  # another order, should both be the same data set
    return ZippedLoaders(loaders), make_evaluate(model, domains, config, mesh)


def make_evaluate(model: Network, domains: Domains, config: ConfigDict, mesh: Mesh) -> Evaluate:
    """Return the criteria on up to SAMPLE images of either domain, drawn once; "last" is the step, so the last one
    wins."""
    rng = np.random.default_rng(0)
    draw = lambda split: split.subset(np.sort(rng.permutation(len(split))[:SAMPLE]))
    source, target = draw(domains.select), draw(domains.adapt_split)
    batches = [make_eval_loader(config, split, mesh) for split in (source, target)]

    @partial(jax.jit, out_shardings=replicated(mesh))
    def embed(variables, images):
        outputs = model.apply(variables, images.astype(jnp.float32))
        return outputs.features, jax.nn.softmax(outputs.heads[model.main])

    def evaluate(state: TrainState) -> dict[str, float]:
        on_mesh = lambda images: embed(state.variables, shard_batch(images, mesh))
        seen = [Sample(*collect_arrays(on_mesh, each.batches())) for each in batches]
        return {"last": float(state.step), **validate(seen[0], source.labels, seen[1])}

    return evaluate


def _run_summary(config: ConfigDict, domains: Domains, labelled: Split, method: Method) -> list[str]:
    lines = [
        f"{config.adapt.method}, {config.data.name} -> {config.adapt.target}, classes {', '.join(domains.classes)}",
        f"target: {len(domains.adapt_split):,} images to adapt on, {len(domains.test_split):,} held out",
    ]
    if method.labelled:
        lines.append(f"labels: {len(labelled):,} of the {method.labelled}'s images")
    if domains.left_out:
        lines.append(f"left out of it: {', '.join(f'{count:,} {why}' for why, count in domains.left_out.items())}")
    return lines
