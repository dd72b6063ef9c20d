"""Muon's orthogonalisation in the form made for a CPU against optax's, over all parameters of a network."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressnet_jax.bench.interleaved import compare, interleave
from expressnet_jax.environment import machine
from expressnet_jax.models.layer_forms import conv_backend
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.optimizers import make_optimizer, make_schedule


def bench_muon(name: str, *, size: int = 48, rounds: int = 5) -> dict[str, Any]:
    """Return updates a second of both forms, in turns."""
    variables = jax.jit(create_model(name, 7).init)(jax.random.key(0), jnp.zeros((1, size, size, 1)))
    params = variables["params"]
    keys = iter(jax.random.split(jax.random.key(1), len(jax.tree.leaves(params))))
    gradients = jax.tree.map(lambda leaf: jax.random.normal(next(keys), leaf.shape), params)
    forms = {"gram": "matmul", "optax": "xla"}
    speeds = interleave({title: _updates(form, params, gradients) for title, form in forms.items()}, rounds)
    return {
        "network": name,
        "machine": machine(),
        "updates_per_second": {title: float(np.median(values)) for title, values in speeds.items()},
        "to_optax": compare(speeds["gram"], speeds["optax"]),
    }


def _updates(form, params, gradients):
    """Updates a second, over a second and at least one update."""
    with conv_backend(form):
        optimizer = make_optimizer("muon", make_schedule("constant", 0.02, 1))
    update, state = jax.jit(optimizer.update), optimizer.init(params)
    jax.block_until_ready(update(gradients, state, params))

    def block() -> float:
        calls, start = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - start < 1:
            jax.block_until_ready(update(gradients, state, params))
            calls += 1
        return calls / (time.perf_counter() - start)

    return block
