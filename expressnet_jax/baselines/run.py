"""Features and classifiers on a prepared data set: what a network's figures should be held against.

Shapes: N examples, B batch, H height, W width, C channels, D features, K classes.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from expressnet_jax.baselines.classifiers import Classify, LinearSvm, NearestNeighbours
from expressnet_jax.baselines.features import Features, create_features, gray
from expressnet_jax.data.audit import TRAIN, load_audit
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import Predict, batches_of, evaluate

CLASSIFIERS = ("svm", "knn")
HELD_OUT = 0.2  # of the training images, to choose an SVM's cost on
_SUMMARY = ("accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1")


class Settings(NamedTuple):
    """What is compared. `options` are of the features, by their name; every k of `ks` is its own row, and of
    `costs` the best on a part held out of the training images is taken."""

    features: Sequence[str]
    classifiers: Sequence[str]
    options: Mapping[str, Mapping[str, int]] = {}
    ks: Sequence[int] = (1, 15)
    costs: Sequence[float] = (1e-5, 1e-4, 1e-3)
    size: int = 48
    seed: int = 0


class Row(NamedTuple):
    """One baseline: what it is, how it did (`evaluation.evaluate`'s figures), and the function that did it."""

    facts: dict[str, Any]
    figures: dict[str, Any]
    predict: Predict

    def summary(self) -> dict[str, Any]:
        """Return facts and main figures, in JSON's types."""
        found = {name: self.figures[name] for name in _SUMMARY}
        fresh = self.figures.get("deduplicated")
        if fresh:
            found["deduplicated"] = {name: fresh[name] for name in ("count", *_SUMMARY)}
        return self.facts | found


def check(plan: Settings, prepared: Prepared, split: str) -> None:
    """Raise UserError for what is wrong with the plan, before an image is read."""
    if not (plan.features and plan.classifiers and plan.costs and plan.ks):
        raise UserError("nothing to compare: features, classifiers, k and costs need one value each at least")
    for name in plan.features:
        create_features(name, **plan.options.get(name, {}))
    if wrong := [name for name in plan.classifiers if name not in CLASSIFIERS]:
        raise UserError(f"no classifier {wrong[0]!r}; there are: {', '.join(CLASSIFIERS)}")
    if unused := set(plan.options) - set(plan.features):
        raise UserError(f"options of {unused.pop()}, which is not among the features {', '.join(plan.features)}")
    if TRAIN not in prepared.splits or split == TRAIN:
        raise UserError(f"{prepared.name}: a baseline needs the split train, and another one to be judged on")
    examples = prepared.split(TRAIN)
    for k in plan.ks if "knn" in plan.classifiers else ():
        if not 1 <= k <= len(examples):
            raise UserError(f"k={k}: train holds {len(examples):,} images; give k from 1 to that")
    if min(plan.costs) <= 0:
        raise UserError("an SVM's cost is more than 0")
    prepared.split(split)


def run(plan: Settings, prepared: Prepared, split: str) -> Iterator[Row]:
    """Yield a row for each kind of features with each classifier; nothing of `split` is seen before it is judged.

    Raises:
      UserError: what `check` finds.
    """
    check(plan, prepared, split)
    train, judged = prepared.split(TRAIN), prepared.split(split)
    images, unseen = (decode_all(part, plan.size, channels=1) for part in (train, judged))
    report = load_audit(prepared)
    leaked = None if report is None else report["leaked"].get(split, [])
    for name in plan.features:
        options = plan.options.get(name, {})
        describe = create_features(name, **options)
        x, described = timed(describe, gray(images))
        for facts, fit in _fits(plan, x, train.labels, len(train.classes)):
            classify, fitted = timed(fit, x, train.labels, len(train.classes))
            predict = make_predict(describe, classify)
            batches = batches_of(unseen, judged.labels, 256)
            figures, predicted = timed(evaluate, predict, batches, judged.classes, leaked)
            seconds = {"features_of_train": described, "fit": fitted, "predict": predicted}
            identity = {"features": name, "options": vars(describe), "dimensions": x.shape[1]} | facts
            yield Row(identity | {"seconds": seconds}, figures, predict)


def make_predict(features: Features, classify: Classify) -> Predict:
    """Map uint8[B,H,W,C] to probabilities float32[B,K]."""
    return lambda images: classify(features(gray(images)))


def choose_cost(
    x: np.ndarray, labels: np.ndarray, num_classes: int, costs: Sequence[float], seed: int
) -> tuple[float, dict[str, float]]:
    """Return the cost with the best accuracy on a fifth of the training images by a machine that learned from the
    others, and all of these accuracies. x float32[N,D], labels int[N].

    Near-duplicates within the training images are not kept together, so these accuracies flatter a little.
    """
    order = np.random.default_rng(seed).permutation(len(x))
    held, rest = np.split(order, [round(HELD_OUT * len(x))])
    right = {}
    for cost in costs:
        classify = LinearSvm(cost).fit(x[rest], labels[rest], num_classes)
        right[cost] = float((classify(x[held]).argmax(1) == labels[held]).mean())
    return max(right, key=right.__getitem__), {f"{cost:g}": share for cost, share in right.items()}


def _fits(
    plan: Settings, x: np.ndarray, labels: np.ndarray, num_classes: int
) -> Iterator[tuple[dict[str, Any], Callable[..., Classify]]]:
    """Yield what each classifier is, and its function that fits."""
    if "svm" in plan.classifiers:
        cost = plan.costs[0]
        tried: dict[str, float] = {}
        if len(plan.costs) > 1:
            cost, tried = choose_cost(x, labels, num_classes, plan.costs, plan.seed)
        facts = {"classifier": "svm", "cost": cost, "held_out_accuracy": tried}
        yield facts, LinearSvm(cost).fit
    for k in plan.ks if "knn" in plan.classifiers else ():
        yield {"classifier": "knn", "k": k}, NearestNeighbours(k).fit


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return what the function gives, and the seconds that it took."""
    start = time.perf_counter()
    return function(*arguments), round(time.perf_counter() - start, 1)
