"""The linear model that a network has to be better than: logistic regression on the same folds.

Shapes: N examples, D features, K classes, S samples, T frames, M mel bands.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from expressnet_jax.data.fields import INPUT_KINDS
from expressnet_jax.data.prepared import Split
from expressnet_jax.errors import UserError
from expressnet_jax.folds.protocol import Protocol
from expressnet_jax.folds.runs import FoldPredictions
from expressnet_jax.models.log_mel import LogMel
from expressnet_jax.models.network import Shape
from expressnet_jax.training.network import make_inputs_reader
from expressnet_jax.training.step import as_float

COSTS = (0.001, 0.01, 0.1, 1.0)
MOST_PIXELS = 4096  # of an image whose pixels are features
BATCH = 128
_PADDING_DB = -99.0  # a frame without any louder band is padding


def linear_features(split: Split, shape: Shape, size: tuple[int, int] | None) -> dict[str, np.ndarray]:
    """Return float32[N,D] for each input that has such features, and for all of them together where there are several.

    Columns and small images are taken as they are; of sound, statistics over time, see `log_mel_statistics`. `size` is
    (height, width) of the stored images, which points are measured in.
    """
    reader = make_inputs_reader(split, BATCH, shape, size)
    only = {2: "waveform", 4: "image", 5: "clip"}
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(split), BATCH):
        inputs = reader.read(np.arange(start, min(start + BATCH, len(split))))
        for name, values in (inputs if isinstance(inputs, Mapping) else {only[inputs.ndim]: inputs}).items():
            if (found := _describe(name, values)) is not None:
                parts.setdefault(name, []).append(found)
    features = {name: np.concatenate(part) for name, part in parts.items()}
    if len(features) > 1:
        features[" + ".join(features)] = np.concatenate(list(features.values()), axis=1)
    return features


def _describe(name: str, values: np.ndarray) -> np.ndarray | None:
    """Return features float32[n,D] of one input, or None where it has none that a linear model can use."""
    if name == "waveform":
        return log_mel_statistics(values)
    if name == "tokens" or (name in INPUT_KINDS and values[0].size > MOST_PIXELS):
        return None
    return np.nan_to_num(values.reshape(len(values), -1).astype(np.float32))


@jax.jit
def _log_mel(sound: Any) -> Any:
    return LogMel().apply({}, as_float(sound))


def log_mel_statistics(sound: np.ndarray) -> np.ndarray:
    """Return statistics over the frames that are no padding, of each log-mel band: the mean, the deviation, that of the
    differences between frames, and the 10th, 50th and 90th percentile.

    int16[n,S] -> float32[n,6M].
    """
    return np.stack([_statistics(frames[frames.max(1) > _PADDING_DB]) for frames in np.asarray(_log_mel(sound))])


def _statistics(frames: np.ndarray) -> np.ndarray:
    """Return float32[6M] of float32[T,M]."""
    changes = np.diff(frames, axis=0) if len(frames) > 1 else np.zeros_like(frames)
    percentiles = np.percentile(frames, [10, 50, 90], axis=0)
    return np.concatenate([frames.mean(0), frames.std(0), changes.std(0), *percentiles]).astype(np.float32)


def predict_folds(features: np.ndarray, protocol: Protocol) -> Iterator[FoldPredictions]:
    """Yield what logistic regression predicts for each fold; its cost is chosen among COSTS on training people alone.

    features float32[N,D]. Where one person alone is trained on, or some people show one class alone, the choice is by
    stretches of the examples in order.

    Raises:
      UserError: scikit-learn is missing.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise UserError("the linear model needs scikit-learn; pip install 'expressnet-jax[baselines]'") from error
    split = protocol.split
    groups = np.arange(len(split)) if split.subjects is None else split.subjects
    for number in protocol.numbers:
        tested = protocol.tested(number)
        trained = np.flatnonzero(protocol.fold != number)
        labels, people = split.labels[trained], len(np.unique(groups[trained]))
        by_people = GroupKFold(min(4, people)).split(trained, labels, groups[trained]) if people > 1 else ()
        inner: Any = list(by_people)
        if not inner or any(len(np.unique(labels[part])) < 2 for part, _ in inner):
            rarest = int(np.unique(labels, return_counts=True)[1].min())
            inner = StratifiedKFold(max(2, min(4, rarest)))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        search = GridSearchCV(model, {"logisticregression__C": COSTS}, scoring="balanced_accuracy", cv=inner)
        search.fit(features[trained], labels)
        probabilities = np.zeros((len(tested), len(split.classes)), np.float32)
        probabilities[:, search.classes_] = search.predict_proba(features[tested])
        yield FoldPredictions(tested, probabilities)
