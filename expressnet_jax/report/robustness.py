"""Section `robustness`: what breaks the model, on the first data set.

Shapes: N examples, H height, W width, C channels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from expressnet_jax.evaluation.metrics import wilson_interval
from expressnet_jax.io import read_json, write_json
from expressnet_jax.report.context import Context, progress, short
from expressnet_jax.report.corrupted_images import corrupted_images
from expressnet_jax.report.corruptions import CORRUPTIONS, VERSION
from expressnet_jax.report.covers import COVERS, CUTS, covered
from expressnet_jax.report.degradations import SWEEPS, degraded
from expressnet_jax.report.examples import Examples, restrict
from expressnet_jax.report.landmarks import landmarks_of
from expressnet_jax.report.subject import Subject

_CLEAN = "clean"

Errors = Mapping[str, list[float]]  # corruption -> error rate at each level


def robustness_section(context: Context) -> dict[str, Any]:
    """Return errors under corruptions, covers, cutouts and degradations; with `--against`, relative to that model's."""
    examples = context.data[0]
    found = {"name": examples.name, "split": examples.split}
    return found | {"corruptions": _corruption_errors(context, examples), **_degradation_accuracy(context, examples)}


def _corruption_errors(context: Context, examples: Examples) -> dict[str, Any]:
    """Return the error rate for each corruption and level, their mean, and mCE against the other model."""
    part = examples.sample(context.budget.corrupted)
    key = short(VERSION, part.identity, part.index.tolist(), part.images.shape)
    images = corrupted_images(part.images, part.index, context.cache, key)
    errors, clean = _kept_errors(context, context.subject, part, images, key)
    found: dict[str, Any] = {
        "count": len(part),
        "clean_error": clean,
        "errors": errors,
        "library": f"corrupt-tta {VERSION}",
    }
    found["mean_error"] = float(np.mean(list(errors.values())))
    if context.other is not None:
        theirs, other_clean = _kept_errors(context, context.other, part, images, key)
        found["against"] = {"name": context.other.label, "clean_error": other_clean}
        found["against"]["mean_error"] = float(np.mean(list(theirs.values())))
        found |= mean_corruption_error(errors, theirs, clean, other_clean)
    return found


def mean_corruption_error(errors: Errors, baseline: Errors, clean: float, baseline_clean: float) -> dict[str, Any]:
    """Return CE of each corruption, their mean mCE and the relative mCE, 1 being as bad as the baseline.

    Hendrycks & Dietterich 2019, section 4: CE is the sum of the levels' errors over the baseline's sum; the relative
    one compares what is lost against the clean images. None where the baseline loses nothing.
    """
    ce = {name: sum(errors[name]) / sum(baseline[name]) if sum(baseline[name]) else None for name in errors}
    lost = {name: sum(each - clean for each in errors[name]) for name in errors}
    theirs = {name: sum(each - baseline_clean for each in baseline[name]) for name in errors}
    relative = [lost[name] / theirs[name] for name in errors if theirs[name] > 0]
    known = [value for value in ce.values() if value is not None]
    return {
        "ce": ce,
        "mce": float(np.mean(known)) if known else None,
        "relative_mce": float(np.mean(relative)) if relative else None,
    }


def _degradation_accuracy(context: Context, examples: Examples) -> dict[str, Any]:
    """Return accuracies with 95 % intervals under covers, cutouts of each part, and the sweeps of `degradations`."""
    part = examples.sample(context.budget.degraded)
    points, origin = landmarks_of(part)
    judge = lambda images: _accuracy(context.subject, part, images)
    covers = {name: judge(covered(part.images, points, cover)) for name, cover in COVERS.items()}
    cuts = {name: judge(covered(part.images, points, cover)) for name, cover in CUTS.items()}
    sweeps = {}
    for name, sweep in progress(list(SWEEPS.items()), "degraded"):
        values = [value for value in sweep.values if name != "resolution" or value < part.images.shape[1]]
        rows = [{"value": value} | judge(degraded(part.images, name, value)) for value in values]
        sweeps[name] = {"title": sweep.title, "unit": sweep.unit, "rows": rows}
    clean = judge(part.images)
    return {
        "degraded_count": len(part),
        "clean": clean,
        "landmarks": origin,
        "covers": covers,
        "cutouts": cuts,
        "sweeps": sweeps,
    }


def _kept_errors(
    context: Context, subject: Subject, part: Examples, images: Mapping[str, np.ndarray], key: str
) -> tuple[Errors, float]:
    """Return the errors of a model under each corruption and on the images as they are, each kept in the cache."""
    path = context.cache / f"errors-{short(key, subject.identity, part.classes)}.json"
    found = read_json(path) or {}
    for name in progress((_CLEAN, *CORRUPTIONS), f"corrupted, {subject.label}"):
        if name not in found:
            levels = [part.images] if name == _CLEAN else images[name]
            found[name] = [1 - _accuracy(subject, part, each)["accuracy"] for each in levels]
            write_json(path, found)
    return {name: found[name] for name in CORRUPTIONS}, found[_CLEAN][0]


def _accuracy(subject: Subject, part: Examples, images: np.ndarray) -> dict[str, Any]:
    rows = restrict(subject.probabilities(np.asarray(images)), subject.classes, part.classes)
    hits = int((rows.argmax(1) == part.labels).sum())
    return {"accuracy": hits / len(part), "interval": list(wilson_interval(hits, len(part)))}
