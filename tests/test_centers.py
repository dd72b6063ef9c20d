"""Distances between features and class centers against their papers' formulas in NumPy, and runs that learn by them."""

import os
import signal
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from sklearn.metrics import log_loss

from expressnet_jax.config import default, set_key
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.fields import Field
from expressnet_jax.errors import Interrupted, UserError
from expressnet_jax.export.onnx_export import export_onnx
from expressnet_jax.models.network import Outputs, image_classifier
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from expressnet_jax.training.losses import make_loss
from expressnet_jax.training.losses.base import LossContext, init_losses, total_loss
from expressnet_jax.training.losses.centers import kernel_l2
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import make_multi_step, make_predict_fn, make_train_step, supervised
from expressnet_jax.training.targets import class_fields, class_losses
from expressnet_jax.training.train_metrics import MetricAccumulator
from expressnet_jax.training.validate import check_config
from runs import arrays, history, train
from weights import drawn_weights

pytest_plugins = ["run_fixtures"]

DISTANCES = ("center", "island", "triplet_center")
RNG = np.random.default_rng(0)
B, D, K = 12, 5, 4
FEATURES = RNG.normal(0.5, 1, (B, D)).astype(np.float32)
CENTERS = RNG.normal(0, 1, (K, D)).astype(np.float32)
LABELS = np.array([0, 0, 1, 3, 1, 0, 3, 3, 1, 0, 1, 0])  # the third class is absent
HARD = np.eye(K, dtype=np.float32)[LABELS]
SOFT = RNG.dirichlet(np.ones(K), B).astype(np.float32)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def pairs(centers):
    """Cai et al. 2018, eq. 7, second term without its weight."""
    every = range(len(centers))
    return sum(cosine(centers[j], centers[k]) + 1 for j in every for k in every if k != j)


def slopes(function, x, width=1e-5):
    """Central differences, in float64."""
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = width
        found[place] = (function(x + step) - function(x - step)) / (2 * width)
    return found


def center_loss(x, labels, centers):
    return np.mean([np.sum((x[i] - centers[labels[i]]) ** 2) / 2 for i in range(len(x))])


def triplet_center_loss(x, labels, centers, margin):
    distance = lambda i, k: 1 - cosine(x[i], centers[k])
    nearest = [min(distance(i, k) for k in range(len(centers)) if k != y) for i, y in enumerate(labels)]
    return np.mean([max(0, margin + distance(i, y) - nearest[i]) for i, y in enumerate(labels)])


def followed(centers, x, labels, rate):
    """Wen et al. 2016, eq. 4: c_j <- c_j - alpha * sum_i [y_i = j] (c_j - x_i) / (1 + sum_i [y_i = j])."""
    moved = centers.astype(np.float64)
    for j in range(len(centers)):
        own = x[labels == j]
        moved[j] -= rate * (centers[j] - own).sum(0) / (1 + len(own))
    return moved


FORMULAS = {
    "center": lambda x: center_loss(x, LABELS, CENTERS),
    "island": lambda x: center_loss(x, LABELS, CENTERS) + 3.0 * pairs(CENTERS.astype(np.float64)),
    "triplet_center": lambda x: triplet_center_loss(x, LABELS, CENTERS, 0.3),
}


@cache
def loss_of(name, count, **options):
    """The loss by its name for so many centers, compiled: (features, targets, centers) -> LossOutput."""
    context = LossContext("features", "expression", Field("class", (count,)), np.ones(count), D)
    apply = make_loss(name, options, context, "losses.center").apply
    return jax.jit(lambda x, targets, centers: apply(Outputs(x, {}), {"expression": targets}, {}, {"centers": centers}))


def term(name, features, targets, centers, **options):
    """The loss by its name: value, metrics and the centers after the batch."""
    found = loss_of(name, len(centers), **options)(features, targets, centers)
    return found.value, found.metrics, found.state["centers"]


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_and_its_gradient_are_the_formula(name):
    options = {"island": {"island_weight": 3.0}, "triplet_center": {"margin": 0.3}}.get(name, {})
    value, gradient = jax.jit(jax.value_and_grad(lambda x: term(name, x, HARD, CENTERS, **options)[0]))(FEATURES)
    x = FEATURES.astype(np.float64)
    np.testing.assert_allclose(value, FORMULAS[name](x), rtol=1e-5)
    np.testing.assert_allclose(gradient, slopes(FORMULAS[name], x), rtol=1e-4, atol=1e-6)
    assert np.abs(gradient).max() > 1e-2


@pytest.mark.parametrize("name", DISTANCES)
def test_a_soft_target_counts_by_its_expectation(name):
    one = lambda x, target: term(name, x[None], target[None], CENTERS)[0]
    of_classes = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(FEATURES, np.eye(K))
    expected = (SOFT * of_classes).sum(1).mean()
    np.testing.assert_allclose(term(name, FEATURES, SOFT, CENTERS)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", DISTANCES)
def test_an_example_without_a_label_counts_nothing(name):
    unlabelled = np.concatenate([HARD, np.zeros((5, K), np.float32)])
    more = np.concatenate([FEATURES, RNG.normal(size=(5, D)).astype(np.float32)])
    expected, found = term(name, FEATURES, HARD, CENTERS), term(name, more, unlabelled, CENTERS)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-5, atol=1e-6)


def test_the_triplet_center_loss_is_zero_behind_the_margin_and_flat_at_unseen_centers():
    loss = lambda x, targets, centers: term("triplet_center", x, targets, centers, margin=0.5)[0]
    axes = np.eye(K, D, dtype=np.float32)
    assert loss(3 * axes, np.eye(K), axes) == 0
    np.testing.assert_allclose(loss(3 * axes, np.eye(K)[::-1], axes), 1.5, rtol=1e-6)
    value, gradient = jax.jit(jax.value_and_grad(loss))(FEATURES, HARD, np.zeros((K, D), np.float32))
    assert value == 0.5 and not gradient.any()


@pytest.mark.parametrize("name", ["center", "triplet_center"])
def test_centers_follow_by_equation_4_of_wen_over_two_batches(name):
    centers, expected = CENTERS, CENTERS
    for x, labels in ((FEATURES, LABELS), (FEATURES[:7] - 1, LABELS[:7])):
        _, _, centers = term(name, x, np.eye(K, dtype=np.float32)[labels], centers, rate=0.3)
        expected = followed(expected, x, labels, 0.3)
        np.testing.assert_allclose(centers, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(centers[2], CENTERS[2])


def test_shares_of_soft_targets_move_every_center():
    count = SOFT.sum(0)[:, None]
    expected = (CENTERS + SOFT.T @ FEATURES) / (1 + count)  # eq. 4 with alpha 1, solved for the new center
    np.testing.assert_allclose(term("center", FEATURES, SOFT, CENTERS, rate=1.0)[2], expected, rtol=1e-5, atol=1e-6)


def test_islands_drift_apart_down_the_slope_of_their_cosines():
    centers = CENTERS.astype(np.float64)
    slope = slopes(pairs, centers) / 2  # the sum has every pair twice
    expected = followed(CENTERS, FEATURES, LABELS, 0.3) - 0.3 * 2.0 / (K - 1) * slope
    moved = term("island", FEATURES, HARD, CENTERS, rate=0.3, island_weight=2.0)[2]
    present = [0, 1, 3]
    np.testing.assert_allclose(moved[np.array(present)], expected[present], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(moved[2], CENTERS[2])


def test_islands_begin_at_zero_without_a_leap():
    begun = term("island", FEATURES, HARD, np.zeros((K, D), np.float32), rate=0.3)[2]
    np.testing.assert_allclose(begun, followed(np.zeros((K, D)), FEATURES, LABELS, 0.3), rtol=1e-5, atol=1e-6)


def test_the_whole_loss_is_equation_1_of_he():
    params = {
        "head": {"kernel": CENTERS, "bias": np.ones(K)},
        "backbone": {"conv": {"kernel": np.full((3, 3, 1, 2), 2.0)}},
    }
    squares = (np.sum(CENTERS.astype(np.float64) ** 2) + 18 * 4) / 2
    np.testing.assert_allclose(kernel_l2(params), squares, rtol=1e-6)
    context = LossContext("features", "expression", Field("class", (K,)), np.ones(K), D)
    on_logits = context._replace(output="expression")
    losses = {
        "expression": make_loss("cross_entropy", {"weight": 0.7}, on_logits, "losses.expression"),
        "kernels": make_loss("kernel_l2", {"weight": 0.1}, context, "losses.kernels"),
        "center": make_loss("center", {"weight": 0.2}, context, "losses.center"),
    }
    outputs = Outputs(FEATURES, {"expression": CENTERS[LABELS] @ np.ones((D, K), np.float32)})  # equal logits
    found = total_loss(losses, outputs, {"expression": HARD}, params, {"center": {"centers": CENTERS}})
    distance = center_loss(FEATURES, LABELS, CENTERS)
    np.testing.assert_allclose(found.value, 0.7 * np.log(K) + 0.1 * squares + 0.2 * distance, rtol=1e-5)
    np.testing.assert_allclose(found.metrics["center/distance"], distance, rtol=1e-5)
    np.testing.assert_allclose(found.metrics["kernels/loss"], squares, rtol=1e-6)
    assert found.state.keys() == {"center"}


def test_short_numbers_are_compared_in_long_ones():
    short = jnp.asarray(FEATURES, jnp.bfloat16)
    of = lambda x: term("island", x, HARD, CENTERS)
    jax.tree.map(np.testing.assert_array_equal, of(short), of(short.astype(jnp.float32)))
    assert of(short)[2].dtype == jnp.float32


# The same inside a training step: a network of one dense layer with ReLU, on blobs of three classes.


class Dense(nn.Module):
    """Features of images of two pixels."""

    @nn.compact
    def __call__(self, images, train=False):
        x = images.reshape(len(images), -1) / 64 - 2
        return nn.relu(nn.Dense(8, name="hidden")(nn.relu(nn.Dense(16, name="first")(x))))


SHAPE, COUNT, STEPS = (1, 2, 1), 48, 40
PIXELS = RNG.normal([[90, 110], [150, 100], [120, 160]], 12, (COUNT // 3, 3, 2)).clip(0, 255).astype(np.uint8)
BLOBS = {
    "image": PIXELS.reshape(COUNT, *SHAPE),
    "expression": np.arange(COUNT, dtype=np.int32) % 3,
}


@cache
def program(distance, name, mesh, steps, sam=0.0, accumulate=1):
    """A network, its dispatch of equal batches and its first state."""
    cosines = name == "arcface"
    model = image_classifier(Dense(), 3, kind="cosine" if cosines else "linear")
    schedule = make_schedule("constant", 0.05, 1)
    optimizer = make_optimizer("sgd", schedule, momentum=0.5)
    losses = class_losses(3, name, scale=8.0, margin=0.2)
    if distance != "none":
        options = {"island_weight": 1.0} if distance == "island" else {}
        context = LossContext("features", "expression", Field("class", (3,)), np.ones(3), 8)
        losses["center"] = make_loss(distance, options, context, "losses.center")
    loss_program = supervised(model, losses, default().augment.to_dict(), class_fields(3))
    step = make_train_step(loss_program, optimizer, schedule, sam=sam, accumulate=accumulate)
    pretrained = {"params": drawn_weights(model, (1, *SHAPE))["params"]}
    init_fn = make_init_fn(model, SHAPE, partial(init_losses, losses))
    state = init_state(init_fn, optimizer, mesh, pretrained=pretrained)
    batches = jax.tree.map(lambda x: np.stack([x] * steps), BLOBS)
    return model, make_multi_step(step), state, jax.device_put(batches, NamedSharding(mesh, P(None, "data")))


def run(distance, name, mesh, steps, **options):
    """(model, state before, state after, metrics float[S])."""
    model, dispatch, state, batches = program(distance, name, mesh, steps, **options)
    before = jax.device_get(state)
    state, metrics = dispatch(jax.tree.map(jnp.copy, state), None, batches, 0)
    return model, before, *jax.device_get((state, metrics))


def features_of(model, state):
    images = BLOBS["image"].astype(np.float32)
    return np.asarray(model.apply({"params": state.params}, images, method="features"), np.float64)


def disorder(distance, x):
    """Of features float[B,D] about the means of their classes: the triplet-center loss for that loss, else the scatter
    within the classes as a share of that between them."""
    means = np.stack([x[BLOBS["expression"] == k].mean(0) for k in range(3)])
    if distance == "triplet_center":
        return triplet_center_loss(x, BLOBS["expression"], means, 0.5)
    within = np.square(x - means[BLOBS["expression"]]).sum(-1).mean()
    return within / np.square(means - means.mean(0)).sum(-1).mean()


@pytest.mark.parametrize(
    ("distance", "name"),
    [(name, "cross_entropy") for name in DISTANCES] + [("none", "focal"), ("triplet_center", "arcface")],
)
def test_every_loss_falls_and_a_distance_gathers_the_classes(mesh_of, distance, name):
    model, _, after, metrics = run(distance, name, mesh_of(1), STEPS)
    assert metrics["loss"][-1] < 0.5 * metrics["loss"][1]
    assert metrics["accuracy"][0] < 0.5 and metrics["accuracy"][-1] > 0.9
    if distance != "none":
        model, _, plain, _ = run("none", name, mesh_of(1), STEPS)
        gathered, scattered = (disorder(distance, features_of(model, state)) for state in (after, plain))
        assert gathered < 0.95 * scattered


def test_four_devices_move_the_centers_as_one_does(mesh_of):
    (_, _, one, seen), (_, _, four, metrics) = (run("island", "cross_entropy", mesh_of(n), 2) for n in (1, 4))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), (one, seen), (four, metrics))
    assert np.abs(one.loss_state["center"]["centers"]).min(0).max() > 0


@pytest.mark.parametrize("options", [{"sam": 0.5}, {"accumulate": 2}], ids=str)
def test_centers_move_once_for_every_slice_by_the_weights_before_the_step(mesh_of, options):
    """Sharpness-aware minimisation looks twice, its second look at other weights; the first one counts."""
    model, before, after, _ = run("center", "cross_entropy", mesh_of(4), 1, **options)
    x, expected = features_of(model, before), np.zeros((3, 8))
    slices = options.get("accumulate", 1)
    for first in range(slices):
        expected = followed(expected, x[first::slices], BLOBS["expression"][first::slices], 0.5)
    np.testing.assert_allclose(after.loss_state["center"]["centers"], expected, rtol=1e-5, atol=1e-6)


# And of a config.

RUN = {  # of four steps, with one evaluation after the last
    "train__epochs": 1.0,
    "optimizer__ema": 0.0,
    "model__head": "cosine",
    "losses__expression__loss": "arcface",
    "losses__expression__scale": 12.0,
    "losses__center__loss": "triplet_center",
    "losses__center__target": "expression",
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory, tiny_config):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("straight")
    train(tiny_config(**RUN), folder)
    return folder


def test_a_stopped_run_goes_on_with_its_centers(tmp_path, straight, tiny_config, tiny, monkeypatch):
    add = MetricAccumulator.add

    def stop_at_two(self, step, metrics):
        add(self, step, metrics)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MetricAccumulator, "add", stop_at_two)
        with pytest.raises(Interrupted):
            train(tiny_config(**RUN), tmp_path)
    train(tiny_config(**RUN), tmp_path)
    one, other = arrays(tmp_path), arrays(straight)
    assert one.keys() == other.keys()
    assert [name for name in other if one[name].tobytes() != other[name].tobytes()] == []
    (centers,) = (x for name, x in other.items() if "centers" in name)
    assert centers.shape == (7, 64) and (centers.any(1) == np.isin(range(7), tiny.split("train").labels)).all()


def test_a_margin_loss_predicts_by_scaled_cosines(tmp_path, straight, tiny):
    """The checkpoint alone says how the cosines become probabilities, in JAX and in ONNX Runtime."""
    checkpoint = load_checkpoint(straight)
    split = tiny.split("validation")
    images = decode_all(split, 32, 1)
    apply = checkpoint.model.apply
    look = jax.jit(lambda variables, x: (apply(variables, x).features, apply(variables, x, True).heads["expression"]))
    features, bare = look(checkpoint.variables, images.astype(np.float32))
    kernel = np.asarray(checkpoint.variables["params"]["head"]["kernel"], np.float64)
    cosines = np.array([[cosine(np.asarray(x, np.float64), c) for c in kernel.T] for x in features])
    expected = np.exp(12 * cosines) / np.exp(12 * cosines).sum(1, keepdims=True)
    predict = partial(make_predict_fn(checkpoint.model), checkpoint.variables)
    np.testing.assert_allclose(predict(images), expected, rtol=1e-3, atol=1e-5)
    told = [entry["loss"] for entry in history(straight) if (entry["step"], entry["split"]) == (4, "validation")]
    np.testing.assert_allclose(told, log_loss(split.labels, expected, labels=range(7)), rtol=1e-4)
    np.testing.assert_allclose(bare, cosines, atol=1e-5)

    proof = export_onnx(checkpoint, tmp_path / "model.onnx", images=images)
    assert proof["largest_difference"] < 1e-5
    people = checkpoint._replace(metadata=checkpoint.metadata | {"config": {"task": "identity"}})
    with pytest.raises(UserError, match="distinguishes people"):
        export_onnx(people, tmp_path / "people.onnx")
    with pytest.raises(UserError, match="attention: the logits of a cosine head"):
        export_onnx(checkpoint, tmp_path / "map.onnx", attention=True)


REFUSED = {
    "losses.center.loss: no loss 'centre'; one of": {"losses.center.loss": "centre"},
    "losses.center: name its loss": {"losses.center.weight": 0.1},
    "losses.center.loss: island would shrink features": {
        "losses.center.loss": "island",
        "losses.center.target": "expression",
        "losses.expression.loss": "arcface",
        "model.head": "cosine",
    },
    "losses.center: belongs to task=classification, not to adaptation": {
        "losses.center.loss": "triplet_center",
        "losses.center.target": "expression",
        "task": "adaptation",
    },
    "losses.center: center has no 'margin'; it has rate": {
        "losses.center.loss": "center",
        "losses.center.target": "expression",
        "losses.center.margin": 0.1,
    },
    "losses.expression: cross_entropy has no 'smoothing'": {"losses.expression.smoothing": 0.1},
    "losses.expression.soft_targets: no 'vote'; one of label, votes, both": {"losses.expression.soft_targets": "vote"},
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_makes_no_sense_is_refused_in_a_line(line):
    config = default()
    for key, value in REFUSED[line].items():
        set_key(config, key, value)
    with pytest.raises(UserError) as refused:
        check_config(config)
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)
