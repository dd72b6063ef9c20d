"""The training step: the same numbers on any mesh and in any dispatch, and each of its options against NumPy."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from expressnet_jax.config import default
from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.network import image_classifier
from expressnet_jax.models.plain_cnn import PlainCNN
from expressnet_jax.training import mesh as mesh_module
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import make_multi_step, make_predict_fn, make_train_step, rematerialized, supervised
from expressnet_jax.training.targets import class_fields, class_losses
from weights import drawn_weights

NET = image_classifier(ExpressNet(widths=(4, 8), depths=(1, 1), stem_width=4), 7)
PLAIN = image_classifier(PlainCNN(), 7)
STILL = default().augment.to_dict()
MOVING = STILL | {"flip": 0.5, "brightness": 0.2, "random_erasing": 0.5}
RNG = np.random.default_rng(0)
STEPS, B, SIDE = 3, 16, 16
BATCHES = {
    "image": RNG.integers(0, 256, (STEPS, B, SIDE, SIDE, 1), np.uint8),
    "expression": RNG.integers(0, 7, (STEPS, B)).astype(np.int32),
}
VOTES = RNG.dirichlet(np.ones(7), (STEPS, B)).astype(np.float32)
RATE = make_schedule("cosine", 0.1, 10)
MOMENTUM = 0.9


class Flat(nn.Module):
    """Pixels as features: with a linear head, softmax regression, whose gradient fits on a line of NumPy."""

    @nn.compact
    def __call__(self, images, train=False):
        return images.reshape(len(images), -1) / 255


class Normed(nn.Module):
    """The same on normalised pixels, for its batch statistics."""

    @nn.compact
    def __call__(self, images, train=False):
        x = images.reshape(len(images), -1) / 255
        return nn.BatchNorm(not train, momentum=0.9, name="norm")(x)


LINEAR, NORMED = image_classifier(Flat(), 7), image_classifier(Normed(), 7)


@cache
def sgd(schedule):
    return make_optimizer("sgd", schedule, momentum=MOMENTUM)


@cache
def born(model, optimizer, ema):
    """A new state in NumPy: a step takes the arrays that it is given for itself. It is the same on every mesh."""
    one = jax.make_mesh((1, 1), ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:1])
    pretrained = {"params": drawn_weights(model, (1, SIDE, SIDE, 1))["params"]}
    return jax.tree.map(
        np.array, init_state(make_init_fn(model, (SIDE, SIDE, 1)), optimizer, one, ema=ema, pretrained=pretrained)
    )


class Run:
    """A model, its step and its state on a mesh."""

    def __init__(self, model, mesh, *, schedule=RATE, ema=0.0, optimizer=None, **options):
        optimizer, self.seed = optimizer or sgd(schedule), options.pop("seed", 0)
        augmentation, examples = options.pop("augmentation", STILL), options.pop("num_examples", 1)
        program = supervised(model, class_losses(7), augmentation, class_fields(7), examples)
        self.step = make_train_step(program, optimizer, schedule, ema=ema, **options)
        self.mesh = mesh
        values = born(model, optimizer, ema > 0)
        self.shardings = mesh_module.state_shardings(values, mesh)
        self.state = jax.device_put(values, self.shardings)
        self.dispatch = make_multi_step(self.step, self.shardings)

    def __call__(self, first=0, last=1, **more):
        """Takes the steps first..last as one dispatch; gives its metrics float[S]."""
        spread = NamedSharding(self.mesh, P(None, "data"))
        batches = jax.device_put({k: v[first:last] for k, v in (BATCHES | more).items()}, spread)
        self.state, metrics = self.dispatch(self.state, None, batches, self.seed)
        return jax.device_get(metrics)

    @property
    def params(self):
        return jax.device_get(self.state.params)


def assert_close(ours, theirs, atol=1e-6, rtol=0.0):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=rtol), ours, theirs)


def assert_equal(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(ours), jax.device_get(theirs))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def linear_gradient(params, step, targets=None):
    """Mean loss and gradient of softmax regression on the batch of a step."""
    x = BATCHES["image"][step].reshape(B, -1).astype(np.float64) / 255
    t = np.eye(7)[BATCHES["expression"][step]] if targets is None else targets[step]
    p = softmax(x @ params["kernel"] + params["bias"])
    return -(t * np.log(p)).sum(-1).mean(), {"kernel": x.T @ (p - t) / B, "bias": (p - t).mean(0)}


def norm_of(gradient):
    return np.sqrt(sum((g**2).sum() for g in gradient.values()))


@pytest.fixture(scope="module")
def reference(mesh_of):
    """Metrics and state after each of three steps on one device, randomness included."""
    run = Run(NET, mesh_of(1), augmentation=MOVING, ema=0.9)
    return [(run(step, step + 1), jax.tree.map(np.array, run.state)) for step in range(STEPS)]


@pytest.mark.parametrize("model_axis", [1, 2])
def test_four_devices_take_the_same_first_step_as_one(mesh_of, reference, monkeypatch, model_axis):
    monkeypatch.setattr(mesh_module, "SHARD_FROM", 64)
    run = Run(NET, mesh_of(4, model_axis), augmentation=MOVING, ema=0.9)
    split = [leaf for leaf in jax.tree.leaves(run.state) if not leaf.is_fully_replicated]
    assert bool(split) == (model_axis > 1)

    metrics = run()

    assert_close(metrics, reference[0][0], rtol=1e-5)
    assert_close(jax.device_get(run.state), reference[0][1])
    assert jax.tree.map(lambda leaf: leaf.sharding, run.state) == run.shardings
    run(1, 2)
    assert run.dispatch._cache_size() == 1


def test_a_dispatch_of_three_steps_is_three_dispatches(mesh_of, reference):
    """Up to rounding: XLA may compile a convolution inside a loop in another way."""
    run = Run(NET, mesh_of(1), augmentation=MOVING, ema=0.9)
    metrics = run(0, STEPS)
    assert_close(metrics, {name: np.concatenate([m[name] for m, _ in reference]) for name in metrics}, rtol=1e-5)
    assert_close(jax.device_get(run.state), reference[-1][1])
    assert int(run.state.step) == STEPS


def test_images_from_the_table_on_the_device_train_alike(mesh_of):
    mesh = mesh_of(4)
    from_batch, from_table = (Run(LINEAR, mesh, augmentation=MOVING) for _ in range(2))
    table = jax.device_put(BATCHES["image"].reshape(-1, SIDE, SIDE, 1), NamedSharding(mesh, P()))
    index = np.arange(STEPS * B, dtype=np.int32).reshape(STEPS, B)
    for step in range(2):
        from_batch(step, step + 1)
        batch = {"expression": BATCHES["expression"][[step]], "index": index[[step]]}
        batch = jax.device_put(batch, NamedSharding(mesh, P(None, "data")))
        from_table.state, _ = from_table.dispatch(from_table.state, table, batch)
    assert_equal(from_table.state, from_batch.state)


def test_accumulated_slices_are_the_full_batch(mesh_of):
    whole, sliced = (Run(PLAIN, mesh_of(4), accumulate=n, augmentation=MOVING) for n in (1, 4))
    assert_close(sliced(), whole(), atol=1e-5)
    assert_close(sliced.params, whole.params)


def test_rematerialization_takes_the_same_step(mesh_of, reference):
    run = Run(NET, mesh_of(1), augmentation=MOVING, ema=0.9, remat=True)
    metrics, state = reference[0]
    assert_close(run(), metrics, atol=1e-5)
    assert_close(jax.device_get(run.state), state, atol=1e-5)


def test_rematerialization_keeps_convolutions_and_what_is_small():
    """Normalization and activation of a convolution keep two arrays of its size more."""
    x = jnp.ones((8, 16, 16, 4))
    variables = jax.eval_shape(NET.init, jax.random.key(0), x)

    def kept(wrap):
        apply = wrap(lambda variables: NET.apply(variables, x, True, mutable=["batch_stats"])[0].heads["expression"])
        residuals = jax.eval_shape(lambda given: jax.vjp(apply, given)[1], variables)
        return sum(leaf.size for leaf in jax.tree.leaves(residuals))

    assert kept(rematerialized) < 0.6 * kept(lambda apply: apply)


def test_slices_keep_every_device_at_work(mesh_of):
    """Cut along the batch, a slice would lie on one device and have to be sent to the others."""
    run = Run(LINEAR, mesh_of(4), accumulate=4)
    batches = jax.device_put({k: v[:1] for k, v in BATCHES.items()}, NamedSharding(run.mesh, P(None, "data")))
    program = run.dispatch.lower(run.state, None, batches).compile().as_text()
    assert "all-gather" not in program and "all-to-all" not in program
    assert f"f32[{B // 4 // 4},7]{{1,0}} dot(" in program


def test_batch_statistics_follow_every_slice(mesh_of):
    """Two slices with momentum 0.9: mean <- 0.9 (0.9 m + 0.1 a) + 0.1 b, for a and b the slices' means."""
    run = Run(NORMED, mesh_of(4), accumulate=2)
    run()
    first, second = (BATCHES["image"][0, i::2].reshape(B // 2, -1).mean(0) / 255 for i in range(2))
    np.testing.assert_allclose(
        run.state.batch_stats["backbone"]["norm"]["mean"], 0.09 * first + 0.1 * second, atol=1e-6
    )


def test_sgd_takes_the_steps_that_numpy_takes(mesh_of):
    run = Run(LINEAR, mesh_of(4))
    params = {k: v.astype(np.float64) for k, v in run.params["head"].items()}
    buffer = jax.tree.map(np.zeros_like, params)
    for step in range(STEPS):
        metrics = run(step, step + 1)
        loss, gradient = linear_gradient(params, step)
        logits = BATCHES["image"][step].reshape(B, -1) / 255 @ params["kernel"] + params["bias"]
        expected = {
            "loss": loss,
            "accuracy": (logits.argmax(-1) == BATCHES["expression"][step]).mean(),
            "gradient_norm": norm_of(gradient),
            "learning_rate": 0.05 * (1 + np.cos(np.pi * step / 10)),
        }
        assert metrics.keys() == expected.keys()
        assert_close({k: v[0] for k, v in metrics.items()}, expected, rtol=1e-5)
        buffer = {k: MOMENTUM * buffer[k] + gradient[k] for k in params}
        params = {k: params[k] - float(RATE(step)) * (gradient[k] + MOMENTUM * buffer[k]) for k in params}
        assert_close(run.params["head"], params)


def test_votes_are_the_targets_where_there_are_any(mesh_of):
    run = Run(LINEAR, mesh_of(4))
    before = run.params["head"]
    metrics = run(expression=VOTES)
    loss, gradient = linear_gradient(before, 0, VOTES)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    assert_close(run.params["head"], {k: before[k] - 0.1 * 1.9 * gradient[k] for k in before})


def test_sam_descends_by_the_gradient_at_the_top_of_the_hill(mesh_of):
    """Foret et al. 2021, eq. 2 and algorithm 1: g at w + rho g / |g|."""
    run = Run(LINEAR, mesh_of(4), sam=0.5)
    before = {k: v.astype(np.float64) for k, v in run.params["head"].items()}
    metrics = run()
    loss, climb = linear_gradient(before, 0)
    top = {k: before[k] + 0.5 * climb[k] / norm_of(climb) for k in before}
    _, gradient = linear_gradient(top, 0)
    assert_close(run.params["head"], {k: before[k] - 0.1 * 1.9 * gradient[k] for k in before})
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    assert norm_of({k: gradient[k] - climb[k] for k in climb}) > 0.05 * norm_of(climb)


def test_the_average_follows_its_formula(mesh_of):
    """a <- d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)), statistics included."""
    run = Run(NORMED, mesh_of(1), ema=0.15)
    average = jax.tree.map(np.array, {"params": run.state.params, "batch_stats": run.state.batch_stats})
    assert_equal(run.state.ema, average)
    for step in range(STEPS):
        run(step, step + 1)
        decay = min(0.15, (1 + step) / (10 + step))
        new = jax.tree.map(np.array, {"params": run.state.params, "batch_stats": run.state.batch_stats})
        average = jax.tree.map(lambda a, w, d=decay: d * a + (1 - d) * w, average, new)
        assert_close(jax.device_get(run.state.ema), average)
    assert run.state.variables is run.state.ema


def test_without_an_average_the_weights_themselves_are_evaluated(mesh_of):
    state = Run(LINEAR, mesh_of(1)).state
    assert state.ema == {} and state.variables == {"params": state.params, "batch_stats": {}}


def test_a_seed_decides_every_draw(mesh_of):
    losses = []
    for seed in (0, 0, 1):
        run = Run(LINEAR, mesh_of(4), augmentation=MOVING, seed=seed)
        losses.append([float(run()["loss"][0]), float(run()["loss"][0])])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_draws_are_made_for_the_step_not_for_the_call(mesh_of):
    def losses_at(steps, augmentation):
        run = Run(LINEAR, mesh_of(1), augmentation=augmentation, schedule=make_schedule("constant", 0.0, 1))
        for step in steps:
            run.state = run.state.replace(step=jax.device_put(jnp.int32(step), run.shardings.step))
            yield float(run()["loss"][0])

    first, later, again = losses_at([0, 7, 7], MOVING)
    assert first != later == again
    assert len(set(losses_at([0, 7], STILL))) == 1


def test_alternating_mirrors_follow_the_epoch_of_each_example(mesh_of):
    """Two epochs of one batch each: every image once as it is and once mirrored, in whatever order."""
    model = LINEAR
    batches = {name: np.stack([values[0]] * 2) for name, values in BATCHES.items()}
    batches["index"] = np.stack([np.arange(B, dtype=np.int32)] * 2)
    run = Run(
        model, mesh_of(1), augmentation=STILL | {"alternating_flip": True}, num_examples=B, schedule=lambda step: 0.0
    )
    alternating = run(0, 1, **batches)["loss"] + run(1, 2, **batches)["loss"]
    losses = []
    for image in (batches["image"], batches["image"][..., ::-1, :]):
        still = Run(model, mesh_of(1), schedule=lambda step: 0.0)
        losses.append(still(0, 1, **(batches | {"image": image}))["loss"])
    np.testing.assert_allclose(alternating, sum(losses), rtol=1e-5)


def test_dropout_is_drawn_anew_every_step(mesh_of):
    run = Run(image_classifier(Flat(), 7, dropout=0.5), mesh_of(1), schedule=make_schedule("constant", 0.0, 1))
    losses = [float(run()["loss"][0]) for _ in range(3)]
    assert len(set(losses)) == 3


def test_the_learning_rate_of_a_plateau_is_the_one_that_was_used(mesh_of):
    schedule = make_schedule("plateau", 0.1, 10)
    optimizer = make_optimizer(
        "sgd", schedule, momentum=0.0, plateau={"factor": 0.5, "patience": 1, "accumulation_size": 1, "rtol": 0.9}
    )
    run = Run(LINEAR, mesh_of(1), schedule=schedule, optimizer=optimizer)
    for rate in (0.1, 0.05, 0.025):
        before = run.params["head"]
        metrics = run()
        _, gradient = linear_gradient(before, 0)
        np.testing.assert_allclose(metrics["learning_rate"], rate, rtol=1e-6)
        assert_close(run.params["head"], {k: before[k] - rate * gradient[k] for k in before})


def test_predict_gives_probabilities_of_uint8_images(mesh_of):
    run = Run(LINEAR, mesh_of(4))
    images = BATCHES["image"][0]
    head = run.params["head"]
    expected = softmax(images.reshape(B, -1) / 255 @ head["kernel"] + head["bias"])
    predict = partial(make_predict_fn(LINEAR), run.state.variables)
    np.testing.assert_allclose(predict(images), expected, atol=1e-6)
    np.testing.assert_allclose(predict(images[:3]), expected[:3], atol=1e-6)
