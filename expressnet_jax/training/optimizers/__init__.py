"""Optimizers by name from optax, with schedules, weight-decay masks and layer-wise learning rates."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax
from optax.contrib import reduce_on_plateau

from expressnet_jax.errors import UserError
from expressnet_jax.training.optimizers.muon import muon_direction

Schedule = Callable[[Any], Any]


def make_schedule(
    name: str,
    peak: float,
    total_steps: int,
    warmup_steps: int = 0,
    boundaries: Sequence[int] = (),
    factor: float = 0.1,
) -> Schedule:
    """Learning rate by step: linear warm-up to `peak`, then `name` down to zero at `total_steps` (step: times `factor`
    at every boundary; plateau: constant here, lowered by the loss in the optimizer).

    Raises:
      UserError: an unknown schedule.
    """
    rest = max(total_steps - warmup_steps, 1)
    drops = Counter(max(boundary - warmup_steps, 0) for boundary in boundaries)
    schedules = {
        "constant": lambda: optax.constant_schedule(peak),
        "plateau": lambda: optax.constant_schedule(peak),
        "cosine": lambda: optax.cosine_decay_schedule(peak, rest),
        "linear": lambda: optax.linear_schedule(peak, 0.0, rest),
        "step": lambda: optax.piecewise_constant_schedule(peak, {step: factor**n for step, n in drops.items()}),
    }
    if name not in schedules:
        raise UserError(f"optimizer.schedule: no schedule {name!r}; one of {', '.join(schedules)}")
    if not warmup_steps:
        return schedules[name]()
    warmup = optax.linear_schedule(0.0, peak, warmup_steps)
    return optax.join_schedules([warmup, schedules[name]()], [warmup_steps])


def decayed(params: Any) -> Any:
    """True for what weight decay applies to: matrices and kernels, not biases, scales or offsets."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def layer_scales(params: Any, order: Sequence[str], decay: float) -> Any:
    """Learning-rate factor of every parameter: 1 for the head, `decay` ** distance for the backbone's layers.

    `order` names the backbone's children from the input to the features.
    """
    distance = {name: len(order) - i for i, name in enumerate(order)}

    def scale(path, _):
        names = [key.key for key in path]
        return decay ** distance[names[1]] if names[0] == "backbone" else 1.0

    return jax.tree_util.tree_map_with_path(scale, params)


def make_optimizer(
    name: str,
    schedule: Schedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip: float = 0.0,
    layer_decay: float = 1.0,
    layers: Sequence[str] = (),
    plateau: dict[str, Any] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer as one optax chain. `plateau` holds reduce_on_plateau's arguments, or is None.

    SGD uses Nesterov momentum with the decay inside the gradient, as the 73 % recipes on FER2013 do; Adam's decay is
    likewise coupled, AdamW's, LAMB's and Muon's are not.

    Raises:
      UserError: an unknown optimizer.
    """
    coupled = [optax.add_decayed_weights(weight_decay, decayed)] if weight_decay else []
    apart = {"weight_decay": weight_decay, "mask": decayed}
    choices = {
        "sgd": lambda: [*coupled, optax.sgd(schedule, momentum or None, nesterov=momentum > 0)],
        "adam": lambda: [*coupled, optax.adam(schedule)],
        "adamw": lambda: [optax.adamw(schedule, **apart)],
        "lamb": lambda: [optax.lamb(schedule, **apart)],
        "muon": lambda: [_muon(schedule, weight_decay)],
    }
    if name not in choices:
        raise UserError(f"optimizer.name: no optimizer {name!r}; one of {', '.join(choices)}")
    chain = [optax.clip_by_global_norm(clip)] if clip else []
    chain += choices[name]()
    if layer_decay != 1.0:
        chain.append(optax.stateless(lambda u, p: jax.tree.map(_times, u, layer_scales(p, layers, layer_decay))))
    if plateau is not None:
        chain.append(reduce_on_plateau(**plateau))
    return optax.with_extra_args_support(optax.chain(*chain))


def _times(update, scale):
    return update * scale


def _muon(schedule: Schedule, weight_decay: float) -> optax.GradientTransformation:
    decay = optax.add_decayed_weights(-weight_decay, decayed)
    return optax.chain(muon_direction(), decay, optax.scale_by_schedule(schedule))


def current_rate(schedule: Schedule, step: Any, opt_state: Any) -> Any:
    """The learning rate at a step, what the plateau rule has taken off included."""
    plateau = optax.tree.get(opt_state, "ReduceLROnPlateauState")
    return schedule(step) * (1.0 if plateau is None else plateau.scale)
