"""The training step of a network, compiled for devices that are not there: the counts that a change has to lower.

Generated shapes stand for the data, so that nothing has to be prepared; a real run's step is compiled by
`main --dry_run --target=...`.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from expressnet_jax.accelerators.compiler_process import run_compiler
from expressnet_jax.accelerators.target import parse_target
from expressnet_jax.accelerators.topology import acting_as, topology_devices
from expressnet_jax.bench.scaling import scaling_rows
from expressnet_jax.config import augment_faces, default
from expressnet_jax.environment import host
from expressnet_jax.errors import UserError
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.cost.compile_step import compile_step
from expressnet_jax.training.cost.step_flops import StepShapes
from expressnet_jax.training.mesh import check_batch, make_mesh
from expressnet_jax.training.network import compute_dtype
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.state import make_init_fn, state_shapes
from expressnet_jax.training.step import make_train_step, supervised
from expressnet_jax.training.targets import class_fields, class_losses

CLASSES, EMA = 7, 0.999


def bench_compile(targets: Sequence[str], per_device: bool = False, **options: Any) -> dict[str, Any]:
    """Return the figures of one step for each target; each is compiled by a process with its own environment.

    `options` are those of `network_shapes`; its `batch_size` is that of all devices together, or with `per_device`
    that of each one, and then `scaling` compares the targets as `scaling_rows` says.

    Raises:
      UserError: a target that does not exist, or whose compiler is not installed.
    """
    parsed = [parse_target(text) for text in targets]
    found = []
    for target in parsed:
        batch_size = options["batch_size"] * (target.devices if per_device else 1)
        given = json.dumps(options | {"batch_size": batch_size})
        found.append(run_compiler(target, ["-m", __name__, given, target.text]))
    figures = {"options": options, "machine": host(), "targets": found}
    return figures | ({"scaling": scaling_rows(found)} if per_device else {})


def network_shapes(
    model: str,
    optimizer: str,
    *,
    size: int,
    channels: int,
    batch_size: int,
    dtype: str,
    steps: int,
    remat: bool = False,
) -> StepShapes:
    """Return the step of a network with the augmentation of real faces, cosine schedule, weight decay and averaged
    weights, and its arguments' shapes: uint8[steps,batch_size,size,size,channels] and classes."""
    config = default()
    config.data.size = size
    augment_faces(config)
    augment = config.augment.to_dict()
    schedule = make_schedule("cosine", 0.01, 1000, 100)
    rule = make_optimizer(optimizer, schedule, weight_decay=5e-4)
    network = create_model(model, CLASSES, dtype=jnp.dtype(compute_dtype(dtype)))
    losses = class_losses(CLASSES, label_smoothing=0.1)
    program = supervised(network, losses, augment, class_fields(CLASSES))
    side = augment["crop"] or size
    state = state_shapes(make_init_fn(network, (side, side, channels)), rule, True)
    batches = {
        "image": jax.ShapeDtypeStruct((steps, batch_size, size, size, channels), jnp.uint8),
        "expression": jax.ShapeDtypeStruct((steps, batch_size), jnp.int32),
        "index": jax.ShapeDtypeStruct((steps, batch_size), jnp.int32),
    }
    return StepShapes(make_train_step(program, rule, schedule, ema=EMA, remat=remat), state, None, batches)


def main(options: str, text: str) -> None:
    """The process that compiles for one target: prints the figures as one line of JSON."""
    target, given = parse_target(text), json.loads(options)
    devices = topology_devices(target)
    with acting_as(target.platform):
        mesh = make_mesh(among=devices)
        check_batch(given["batch_size"], 1, mesh)
        figures = compile_step(network_shapes(**given), mesh, target, compute_dtype(given["dtype"]))
    print(json.dumps(figures | {"batch_size": given["batch_size"]}))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
