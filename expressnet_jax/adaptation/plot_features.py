"""Where the images of both domains lie for the network, before and after: the first two principal components."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from expressnet_jax.adaptation.domains import Domains
from expressnet_jax.data.pipeline import make_eval_batches
from expressnet_jax.data.prepared import Split
from expressnet_jax.evaluation.evaluate import collect_arrays
from expressnet_jax.figure_style import FAINT, INK, new_figure, save_figure
from expressnet_jax.training.checkpoints.reading import Checkpoint
from expressnet_jax.training.step import make_predict_fn

MOST, BATCH = 600, 200  # images of each domain, and at once
# Okabe & Ito 2008: distinguished with every common colour vision.
_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")
_DOMAINS = ("source", "target")


def features_png(before: Checkpoint, after: Checkpoint, domains: Domains, path: Path, title: str) -> Path:
    """Plot held-out images of source and target, coloured by domain (above) and by class (below)."""
    splits = [_some(split) for split in (domains.select, domains.test_split)]
    domain = np.repeat(np.arange(2), [len(split) for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    figure = new_figure(10, 9)
    axes = figure.subplots(2, 2)
    for column, (name, checkpoint) in enumerate((("before", before), ("after", after))):
        points = _principal(np.concatenate([_features(checkpoint, split) for split in splits]))
        _scatter(axes[0, column], points, domain, _DOMAINS, f"{name}, by domain")
        _scatter(axes[1, column], points, labels, domains.classes, f"{name}, by class")
    figure.suptitle(title, x=0.012, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    return save_figure(figure, path)


def _principal(features: np.ndarray) -> np.ndarray:
    """float[N,D] -> float64[N,2]: what varies most, in units of its standard deviation."""
    x = features.astype(np.float64)
    x = x - x.mean(0)
    _, _, directions = np.linalg.svd(x, full_matrices=False)
    points = x @ directions[:2].T
    return points / np.maximum(points.std(0), 1e-12)


def _some(split: Split) -> Split:
    order = np.random.default_rng(0).permutation(len(split))[:MOST]
    return split.subset(np.sort(order))


def _features(checkpoint: Checkpoint, split: Split) -> np.ndarray:
    embed = make_predict_fn(checkpoint.model, apply="features")
    batches = make_eval_batches(split, min(BATCH, len(split)), shape=checkpoint.image_shape).batches()
    return collect_arrays(lambda images: (embed(checkpoint.variables, images),), batches)[0]


def _scatter(axes: Axes, points: np.ndarray, kind: np.ndarray, names: tuple[str, ...], title: str) -> None:
    order = np.random.default_rng(1).permutation(len(points))  # no kind lies on top of all others
    colours = np.array([_PALETTE[i % len(_PALETTE)] for i in range(len(names))])
    x, y = points[order].T
    axes.scatter(x, y, c=colours[kind[order]], s=7, alpha=0.6, linewidths=0)
    for name, colour in zip(names, colours, strict=True):
        axes.scatter([], [], c=colour, s=20, label=name)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, ncols=2)
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.tick_params(length=0, labelsize=8, labelcolor=FAINT)
    axes.spines[:].set_color("#e5e7eb")
