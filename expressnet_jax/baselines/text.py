"""Counts of words and logistic regression on a prepared data set of text: what its networks should be held against.

Shapes: N examples, D different words and pairs of words, K classes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from expressnet_jax.baselines.run import HELD_OUT, Row, timed
from expressnet_jax.data.audit import TRAIN
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.metrics import classification_metrics

FEATURES, CLASSIFIER = "tfidf", "logistic"
COSTS = (0.3, 1.0, 3.0)


def run_text(prepared: Prepared, split: str, costs: Sequence[float] = COSTS, seed: int = 0) -> Iterator[Row]:
    """Yield one row: logistic regression with classes weighted inversely to their frequency, on the tf-idf of words and
    of pairs of words that two training texts have (sublinear counts).

    Its cost is chosen among `costs` by macro-F1 on a fifth of the training texts that is held out; nothing of `split`
    is seen before it is judged.

    Raises:
      UserError: scikit-learn is missing, or there is no split train or no other one to judge on.
    """
    _check(prepared, split)
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, judged = prepared.split(TRAIN), prepared.split(split)
    count = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    x, described = timed(count.fit_transform, texts(train))
    order = np.random.default_rng(seed).permutation(len(train))
    held, rest = np.split(order, [round(HELD_OUT * len(train))])
    tried = {cost: _macro_f1(x, train, rest, held, cost) for cost in costs} if len(costs) > 1 else {}
    cost = max(tried, key=tried.__getitem__) if tried else costs[0]
    classify, fitted = timed(_fit, x, train.labels, cost, len(train.classes))
    predict = lambda given: classify(count.transform(given))
    probabilities, predicted = timed(predict, texts(judged))
    figures = classification_metrics(probabilities, judged.labels, judged.classes)
    facts: dict[str, Any] = {"features": FEATURES, "classifier": CLASSIFIER, "cost": cost, "dimensions": x.shape[1]}
    facts["held_out_macro_f1"] = {f"{each:g}": value for each, value in tried.items()}
    facts["seconds"] = {"features_of_train": described, "fit": fitted, "predict": predicted}
    yield Row(facts, figures, predict)


def texts(split: Split) -> list[str]:
    """Return the texts of a split."""
    return [text.decode() for text in split.encoded_batch(np.arange(len(split)))]


def _check(prepared: Prepared, split: str) -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UserError("baselines need scikit-learn: pip install 'expressnet-jax[baselines]'") from error
    if TRAIN not in prepared.splits or split == TRAIN:
        raise UserError(f"{prepared.name}: a baseline needs the split train, and another one to be judged on")
    prepared.split(split)


def _macro_f1(x: Any, train: Split, rest: np.ndarray, held: np.ndarray, cost: float) -> float:
    """Return the macro-F1 on the held-out rows of a model that learned from the others."""
    classify = _fit(x[rest], train.labels[rest], cost, len(train.classes))
    return classification_metrics(classify(x[held]), train.labels[held], train.classes)["macro_f1"]


def _fit(x: Any, labels: np.ndarray, cost: float, num_classes: int) -> Any:
    """Return features, sparse float64[B,D] -> probabilities float64[B,K]."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=cost, class_weight="balanced", max_iter=300).fit(x, labels)

    def classify(given: Any) -> np.ndarray:
        probabilities = np.zeros((given.shape[0], num_classes))
        probabilities[:, model.classes_] = model.predict_proba(given)
        return probabilities

    return classify
