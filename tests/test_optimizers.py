"""Schedules in closed form, optimizers against loops in NumPy and their effect."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import MuonDimensionNumbers

from expressnet_jax.errors import UserError
from expressnet_jax.models.layer_forms import conv_backend
from expressnet_jax.training.optimizers import (
    current_rate,
    decayed,
    layer_scales,
    make_optimizer,
    make_schedule,
)
from expressnet_jax.training.optimizers.muon import orthogonalise, orthogonalise_stack
from expressnet_jax.training.optimizers.stacking import stacks

RNG = np.random.default_rng(0)
PARAMS = {
    "backbone": {
        "stem": {"kernel": RNG.normal(size=(3, 3, 4, 8)).astype(np.float32)},
        "norm": {"scale": np.ones(8, np.float32), "bias": np.zeros(8, np.float32)},
        "deep": {"kernel": RNG.normal(size=(8, 6)).astype(np.float32)},
    },
    "head": {"kernel": RNG.normal(size=(6, 3)).astype(np.float32), "bias": np.zeros(3, np.float32)},
}
ORDER = ["stem", "norm", "deep"]


def gradients(count):
    rng = np.random.default_rng(1)
    return [jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), PARAMS) for _ in range(count)]


def run(optimizer, grads, losses=None):
    """Parameters after every step."""
    update = jax.jit(lambda g, s, p, value: optimizer.update(g, s, p, value=value))
    params, state, path = PARAMS, optimizer.init(PARAMS), []
    for i, gradient in enumerate(grads):
        updates, state = update(gradient, state, params, jnp.float32(losses[i] if losses else 1.0))
        params = optax.apply_updates(params, updates)
        path.append(params)
    return path, state


def assert_close(ours, theirs, rtol=1e-5, atol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), ours, theirs)


def moved(before, after):
    return jax.tree.map(lambda a, b: np.asarray(b) - np.asarray(a), before, after)


def rates(name, warmup=0, **options):
    schedule = make_schedule(name, 0.4, 100, warmup, **options)
    return np.array([schedule(step) for step in range(101)])


@pytest.mark.parametrize("warmup", [0, 20])
def test_schedules_are_their_formulas(warmup):
    t = (np.arange(101) - warmup) / (100 - warmup)
    after = {
        "constant": np.full(101, 0.4),
        "plateau": np.full(101, 0.4),
        "cosine": 0.2 * (1 + np.cos(np.pi * t)),
        "linear": 0.4 * (1 - t),
        "step": 0.4 * 0.2 ** ((np.arange(101) >= 50).astype(int) + (np.arange(101) >= 80)),
    }
    for name, expected in after.items():
        if warmup:
            expected = np.where(t < 0, 0.4 * np.arange(101) / warmup, expected)
        np.testing.assert_allclose(rates(name, warmup, boundaries=(50, 80), factor=0.2), expected, rtol=1e-5, atol=1e-7)


def test_steps_during_warmup_are_all_taken_at_its_end():
    np.testing.assert_allclose(rates("step", 10, boundaries=(3, 6, 10), factor=0.1)[10], 0.4e-3, rtol=1e-5)


def test_sgd_is_the_update_rule_of_pytorch_with_nesterov_and_coupled_decay():
    """torch.optim.SGD: g += decay * p; b = momentum * b + g; g += momentum * b; p -= rate * g."""
    grads = gradients(6)
    rate = make_schedule("cosine", 0.1, 10, 2)
    path, _ = run(make_optimizer("sgd", rate, momentum=0.9, weight_decay=0.01), grads)

    params = jax.tree.map(np.copy, PARAMS)
    buffers = jax.tree.map(np.zeros_like, PARAMS)
    for step, gradient in enumerate(grads):
        gradient = jax.tree.map(lambda g, p: g + 0.01 * p if p.ndim > 1 else g, gradient, params)
        buffers = jax.tree.map(lambda b, g: 0.9 * b + g, buffers, gradient)
        gradient = jax.tree.map(lambda g, b: g + 0.9 * b, gradient, buffers)
        params = jax.tree.map(lambda p, g, step=step: p - float(rate(step)) * g, params, gradient)
        assert_close(path[step], params)


def test_sgd_without_momentum_goes_straight_down():
    path, _ = run(make_optimizer("sgd", make_schedule("constant", 0.1, 1), momentum=0.0), gradients(1))
    assert_close(path[0], jax.tree.map(lambda p, g: p - 0.1 * g, PARAMS, gradients(1)[0]))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_couples_its_decay_and_adamw_does_not(name):
    """Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2 (the decay times the rate)."""
    grads, rate, decay = gradients(4), 0.01, 0.1
    path, _ = run(make_optimizer(name, make_schedule("constant", rate, 1), weight_decay=decay), grads)

    params = jax.tree.map(np.copy, PARAMS)
    first = second = jax.tree.map(np.zeros_like, PARAMS)
    for t, gradient in enumerate(grads, start=1):
        pull = jax.tree.map(lambda p: decay * p if p.ndim > 1 else 0 * p, params)
        if name == "adam":
            gradient = jax.tree.map(np.add, gradient, pull)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, gradient)
        adam = lambda m, v, t=t: (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        params = jax.tree.map(lambda p, m, v, adam=adam: p - rate * adam(m, v), params, first, second)
        if name == "adamw":
            params = jax.tree.map(lambda p, d: p - rate * d, params, pull)
        assert_close(path[t - 1], params, rtol=1e-4, atol=1e-5)


def test_decay_applies_to_kernels_only():
    mask = decayed(PARAMS)
    assert mask == {
        "backbone": {"stem": {"kernel": True}, "norm": {"scale": False, "bias": False}, "deep": {"kernel": True}},
        "head": {"kernel": True, "bias": False},
    }


OPTIMIZERS = ("sgd", "adam", "adamw", "lamb", "muon")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_a_gradient_decay_alone_shrinks_every_kernel(name):
    still = jax.tree.map(np.zeros_like, PARAMS)
    path, _ = run(make_optimizer(name, make_schedule("constant", 0.1, 1), weight_decay=0.1), [still])
    leaves = jax.tree_util.tree_leaves_with_path(PARAMS)
    for (where, before), after in zip(leaves, jax.tree.leaves(path[0]), strict=True):
        if before.ndim > 1:
            assert np.linalg.norm(after) < np.linalg.norm(before), jax.tree_util.keystr(where)
        else:
            np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_comes_down_a_quadratic(name):
    target = jax.tree.map(lambda p: p + 1, PARAMS)
    value = lambda params: sum(jax.tree.leaves(jax.tree.map(lambda p, t: ((p - t) ** 2).mean(), params, target)))
    optimizer = make_optimizer(name, make_schedule("linear", 0.05, 60), weight_decay=1e-4, clip=1.0)

    def step(carry, _):
        params, state = carry
        loss, gradient = jax.value_and_grad(value)(params)
        updates, state = optimizer.update(gradient, state, params, value=loss)
        return (optax.apply_updates(params, updates), state), loss

    _, losses = jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), length=60)
    assert losses[-1] < 0.35 * losses[0]


def test_the_update_of_muon_is_near_orthogonal_and_of_the_size_of_adams():
    """Jordan 2024: the Newton-Schulz coefficients leave singular values in [0.7, 1.2]; Liu et al. 2025, eq. 4: times
    0.2 sqrt(max(A, B)), for which the root mean square is about 0.2."""
    path, _ = run(make_optimizer("muon", make_schedule("constant", 1.0, 1)), gradients(1))
    update = moved(PARAMS, path[0])
    for kernel in (update["backbone"]["stem"]["kernel"], update["backbone"]["deep"]["kernel"]):
        matrix = kernel.reshape(-1, kernel.shape[-1])
        values = np.linalg.svd(matrix, compute_uv=False) / (0.2 * np.sqrt(max(matrix.shape)))
        assert 0.6 < values.min() <= values.max() < 1.3
    assert np.ptp(np.linalg.svd(gradients(1)[0]["backbone"]["deep"]["kernel"], compute_uv=False)) > 1


def test_muon_is_optaxs_in_both_forms_with_one_state():
    kernels = (
        {"kernel": MuonDimensionNumbers((0, 1, 2), 3)},
        {"scale": None, "bias": None},
        {"kernel": MuonDimensionNumbers()},
    )
    numbers = {
        "backbone": dict(zip(ORDER, kernels, strict=True)),
        "head": {"kernel": None, "bias": None},
    }
    theirs = optax.contrib.muon(0.1, muon_weight_dimension_numbers=numbers, consistent_rms=0.2, adam_b2=0.99)
    expected, _ = run(theirs, gradients(5))
    states = []
    for form in ("matmul", "xla"):
        with conv_backend(form):
            path, state = run(make_optimizer("muon", make_schedule("constant", 0.1, 1)), gradients(5))
        assert_close(path, expected, rtol=1e-4, atol=1e-5)
        states.append(state)
    assert_close(*states)


def test_the_polynomial_of_the_gram_matrix_equals_newton_and_schulzs_steps_in_double_precision():
    """Also where singular values span six orders of magnitude: what is lost by squaring stays small."""
    rng = np.random.default_rng(2)
    orthonormal = lambda *shape: np.linalg.qr(rng.normal(size=shape))[0]
    for values in (np.ones(32), np.logspace(0, -6, 32)):
        matrix = orthonormal(300, 32) * values @ orthonormal(32, 32)
        x = matrix / np.linalg.norm(matrix)
        for _ in range(5):
            gram = x.T @ x
            x = 3.4445 * x + x @ (-4.7750 * gram + 2.0315 * gram @ gram)
        ours = orthogonalise(jnp.float32(matrix))
        assert np.linalg.norm(ours - x) < 1e-3 * np.linalg.norm(x)
        np.testing.assert_allclose(orthogonalise(jnp.float32(matrix.T)), ours.T, atol=1e-5)


def test_a_stack_of_padded_matrices_is_orthogonalised_as_each_alone():
    """Against the steps in double precision, with singular values over six orders of magnitude."""
    rng = np.random.default_rng(3)
    orthonormal = lambda *shape: np.linalg.qr(rng.normal(size=shape))[0]
    matrices = [
        orthonormal(rows, columns) @ np.diag(values) @ orthonormal(columns, columns)
        for rows, columns, values in (
            (90, 32, np.logspace(0, -6, 32)),
            (40, 20, np.ones(20)),
            (16, 16, np.arange(16.0)),
        )
    ]
    matrices = [matrix.T for matrix in matrices] + [np.zeros((3, 5))]
    found = stacks([matrix.shape for matrix in matrices])
    assert [stack.shape for stack in found] == [(3, 32, 90)]
    joined = found[0].join([jnp.float32(matrix) for matrix in matrices])
    ours = found[0].cut(np.asarray(orthogonalise_stack(joined, jnp.asarray(found[0].owners()))))
    for matrix, member in zip(ours, found[0].members, strict=True):
        expected = matrices[member] / max(np.linalg.norm(matrices[member]), 1e-8)
        for _ in range(5):  # Jordan 2024: X -> a X + b (XX') X + c (XX')^2 X
            gram = expected @ expected.T
            expected = 3.4445 * expected + (-4.7750 * gram + 2.0315 * gram @ gram) @ expected
        assert np.linalg.norm(matrix - expected) <= 1e-3 * np.linalg.norm(expected)


def test_matrices_share_a_stack_where_zeros_cost_less_than_starting_kernels():
    (one,) = stacks([(48, 432), (192, 1728), (48, 432), (6, 96)])
    # Largest first; the others behind each other along the diagonal of a second slot.
    assert (one.shape, one.members) == ((2, 192, 1728), (1, 0, 2, 3))
    assert one.corners == ((0, 0), (192, 0), (240, 432), (288, 864))
    first, second = stacks([(2048, 18432), *[(64, 576)] * 9, (1, 9)])
    assert first.members == (0,) and second.shape == (10, 64, 576) and len(second.members) == 10
    assert stacks([]) == []


def test_a_stack_holds_its_matrices_and_zeros():
    rng = np.random.default_rng(4)
    matrices = [rng.normal(size=shape) for shape in ((2, 3), (4, 8), (1, 2), (1, 3))]
    (stack,) = stacks([matrix.shape for matrix in matrices])
    joined = np.asarray(stack.join(matrices))
    assert joined.shape == stack.shape == (2, 4, 8)
    for matrix, member in zip(stack.cut(joined), stack.members, strict=True):
        np.testing.assert_allclose(matrix, matrices[member], rtol=1e-6)
    assert np.isclose(np.abs(joined).sum(), sum(np.abs(matrix).sum() for matrix in matrices))
    gram = joined @ joined.swapaxes(1, 2)
    owners = stack.owners()
    assert not gram[owners[:, :, None] != owners[:, None]].any()


def test_muon_leaves_head_scales_and_biases_to_adam():
    path, _ = run(make_optimizer("muon", make_schedule("constant", 0.1, 1)), gradients(1))
    update = moved(PARAMS, path[0])
    for leaf in (*jax.tree.leaves(update["head"]), *jax.tree.leaves(update["backbone"]["norm"])):
        np.testing.assert_allclose(np.abs(leaf), np.abs(leaf).flat[0], rtol=1e-3)  # Adam's first step is the sign


@pytest.mark.parametrize("form", ["matmul", "xla"])
def test_muon_leaves_positions_and_embeddings_to_adam(form):
    """Jordan 2024: only what multiplies hidden features is orthogonalised."""
    params = {
        "backbone": {"tokens": {"positions": np.ones((1, 4, 6), np.float32)}, "words": {"table": np.ones((5, 6))}}
    }
    gradient = jax.tree.map(lambda p: RNG.normal(size=p.shape).astype(np.float32), params)
    with conv_backend(form):
        optimizer = make_optimizer("muon", make_schedule("constant", 0.1, 1))
        update, _ = optimizer.update(gradient, optimizer.init(params), params, value=1.0)
    for leaf, slope in zip(jax.tree.leaves(update), jax.tree.leaves(gradient), strict=True):
        step = np.abs(leaf).flat[0]  # Adam's first step is the sign
        np.testing.assert_allclose(leaf, -step * np.sign(slope), rtol=1e-3)


def test_clipping_limits_the_norm_of_the_whole_gradient():
    grads = gradients(1)
    norm = np.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads[0])))
    rate = make_schedule("constant", 1.0, 1)
    path, _ = run(make_optimizer("sgd", rate, momentum=0.0, clip=0.5), grads)
    assert_close(moved(PARAMS, path[0]), jax.tree.map(lambda g: -0.5 / norm * g, grads[0]), rtol=1e-3, atol=1e-6)
    free, _ = run(make_optimizer("sgd", rate, momentum=0.0, clip=2 * norm), grads)
    assert_close(moved(PARAMS, free[0]), jax.tree.map(np.negative, grads[0]))


def test_layers_learn_the_slower_the_farther_they_are_from_the_head():
    assert layer_scales(PARAMS, ORDER, 0.5) == {
        "backbone": {
            "stem": {"kernel": 0.125},
            "norm": {"scale": 0.25, "bias": 0.25},
            "deep": {"kernel": 0.5},
        },
        "head": {"kernel": 1.0, "bias": 1.0},
    }


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_layer_decay_scales_the_updates(name):
    rate = make_schedule("constant", 0.1, 1)
    plain, _ = run(make_optimizer(name, rate, weight_decay=0.1), gradients(1))
    scaled, _ = run(make_optimizer(name, rate, weight_decay=0.1, layer_decay=0.5, layers=ORDER), gradients(1))
    expected = jax.tree.map(lambda u, s: u * s, moved(PARAMS, plain[0]), layer_scales(PARAMS, ORDER, 0.5))
    assert_close(moved(PARAMS, scaled[0]), expected)


def test_a_plateau_of_the_loss_lowers_the_rate():
    """Two windows of two steps without a lower mean loss, and the rate is halved."""
    rate = make_schedule("plateau", 0.1, 100)
    plateau = {"factor": 0.5, "patience": 2, "accumulation_size": 2}
    optimizer = make_optimizer("sgd", rate, momentum=0.0, plateau=plateau)
    losses = [3.0, 3.0, 2.0, 2.0, 2.0, 2.0, 1.9, 2.1, 2.0, 2.0]
    path, state = run(optimizer, gradients(1) * 10, losses)
    step_sizes = [np.abs(moved(a, b)["head"]["bias"]).sum() for a, b in zip([PARAMS, *path], path, strict=False)]
    relative = np.array(step_sizes) / step_sizes[0]
    np.testing.assert_allclose(relative, [1, 1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5], rtol=1e-3)
    np.testing.assert_allclose(current_rate(rate, 10, state), 0.05)
    np.testing.assert_allclose(current_rate(rate, 10, make_optimizer("sgd", rate).init(PARAMS)), 0.1, rtol=1e-6)


def test_wrong_names_name_the_right_ones():
    with pytest.raises(UserError, match=r"optimizer.schedule: no schedule 'cosin'; one of .*cosine"):
        make_schedule("cosin", 0.1, 10)
    with pytest.raises(UserError, match=r"optimizer.name: no optimizer 'sdg'; one of sgd, adam, adamw, lamb, muon"):
        make_optimizer("sdg", make_schedule("constant", 0.1, 10))
