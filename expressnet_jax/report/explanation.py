"""Section `explanation`: maps of what answers rest on, measured against random maps and true regions.

Shapes: N images, H height, W width, C channels.
"""

import base64
from typing import Any, NamedTuple

import cv2
import numpy as np

from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.synthetic import AU_NAMES, generate
from expressnet_jax.io import write_bytes
from expressnet_jax.report.context import Context, short
from expressnet_jax.report.faithfulness import deletion, insertion, random_maps
from expressnet_jax.report.landmarks import landmarks_of
from expressnet_jax.report.regions import active_units, core_units, overlap, pointing, region
from expressnet_jax.report.saliency import Method, methods_of
from expressnet_jax.report.shuffled import rank_correlation, shuffled_subject
from expressnet_jax.report.subject import Subject

SEED = 2026  # of the generated people: none that a synthetic data set has
_CHECKED = 12  # images of the sanity check
SHOWN = 8  # generated faces of the picture
ENLARGED = 96  # pixels of a face there


class _Located(NamedTuple):
    """Images uint8[N,H,W,C] with the classes int64[N] (the model's) that maps are made of, and where those are shown,
    bool[N,H,W]."""

    images: np.ndarray
    targets: np.ndarray
    regions: np.ndarray


def explanation_section(context: Context) -> dict[str, Any]:
    """Return for each kind of map: deletion and insertion and regions on photographs, regions on generated faces, and
    the correlation with the maps of shuffled weights; the same of random maps."""
    subject, methods = context.subject, methods_of(context.subject)
    drawn = _generated_faces(subject, context.budget.explained)
    photographs, origin = photographed(context)
    known = np.asarray(photographs.regions.any((1, 2)))
    random = random_maps(len(photographs.images), subject.image_shape[:2])
    found: dict[str, Any] = {
        "generated": len(drawn.images),
        "photographs": len(photographs.images),
        "photographs_with_regions": int(known.sum()),
        "name": context.data[0].name,
        "landmarks": origin,
        "random": _figures(subject, photographs, random, known),
        "methods": {},
    }
    found["random"] |= _located(random_maps(len(drawn.images), subject.image_shape[:2], seed=1), drawn, "generated")
    checked = _sanity_check(subject, methods, photographs)
    for name, method in methods.items():
        row = {"title": method.title} | _figures(
            subject, photographs, method.maps(photographs.images, photographs.targets), known
        )
        row |= _located(method.maps(drawn.images, drawn.targets), drawn, "generated")
        found["methods"][name] = row | {"rank_correlation_when_shuffled": checked.get(name)}
    return found


def _generated_faces(subject: Subject, count: int) -> _Located:
    """Return generated faces of the expressions that the model knows, without anything in front of them."""
    size, _, channels = subject.image_shape
    emotions = [name for name in BASIC if name in subject.classes and core_units(name)]
    images: list[np.ndarray] = []
    targets, regions = [], []
    index = 0
    while len(images) < count and emotions:
        name = emotions[len(images) % len(emotions)]
        face = generate(index, seed=SEED, size=size, channels=channels, emotion=BASIC.index(name))
        index += 1
        if face.occluder != "none":
            continue
        images.append(face.image)
        targets.append(subject.classes.index(name))
        regions.append(region(face.landmarks, (size, size), active_units(face.action_units, AU_NAMES)))
    return _Located(np.stack(images), np.array(targets), np.stack(regions)) if images else _nobody(subject)


def photographed(context: Context) -> tuple[_Located, str]:
    """Return images of the first data set with the model's answers, and the regions of the answers' core units."""
    part = context.data[0].sample(context.budget.explained)
    answers = context.subject.probabilities(part.images).argmax(1)
    points, origin = landmarks_of(part)
    size = part.images.shape[1:3]
    units = [core_units(context.subject.classes[answer]) for answer in answers]
    regions = np.stack([region(marks, size, each) for marks, each in zip(points, units, strict=True)])
    return _Located(part.images, answers, regions), origin


def picture(subject: Subject) -> np.ndarray:
    """Return generated faces, below them a row of each kind of map, and the regions: uint8[h,w,3]."""
    faces = _generated_faces(subject, SHOWN)
    rows = [np.hstack([_large(image) for image in faces.images])]
    for method in methods_of(subject).values():
        maps = method.maps(faces.images, faces.targets)
        rows.append(np.hstack([_overlay(image, each) for image, each in zip(faces.images, maps, strict=True)]))
    rows.append(np.hstack([_overlay(i, r.astype(float)) for i, r in zip(faces.images, faces.regions, strict=True)]))
    return np.vstack(rows)


def picture_uri(context: Context) -> tuple[str, list[str]] | None:
    """Return the picture as a data URI with the names of its rows; None where the model knows no such expression."""
    if not any(core_units(name) for name in context.subject.classes):
        return None
    names = ["faces", *(method.title for method in methods_of(context.subject).values()), "regions of the muscles"]
    path = context.cache / f"picture-{short(context.subject.identity, names)}.png"
    if not path.is_file():
        encoded = cv2.imencode(".png", np.ascontiguousarray(picture(context.subject)[..., ::-1]))[1]
        write_bytes(path, encoded.tobytes())
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(), names


def _figures(subject: Subject, part: _Located, maps: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Deletion and insertion on photographs, and regions where the answer has some."""
    found = {
        name: float(judge(subject.probabilities, part.images, maps, part.targets).mean())
        for name, judge in (("deletion", deletion), ("insertion", insertion))
    }
    located = _Located(part.images[known], part.targets[known], part.regions[known])
    return found | _located(maps[known], located, "photographs")


def _located(maps: np.ndarray, part: _Located, where: str) -> dict[str, float]:
    if not len(maps):
        return {f"pointing_{where}": float("nan"), f"iou_{where}": float("nan")}
    hits, shared = pointing(maps, part.regions), overlap(maps, part.regions)
    return {f"pointing_{where}": float(hits.mean()), f"iou_{where}": float(shared.mean())}


def _sanity_check(subject: Subject, methods: dict[str, Method], part: _Located) -> dict[str, float]:
    """Return how much each map is like that of the same network with shuffled weights."""
    other = shuffled_subject(subject)
    if other is None:
        return {}
    images, targets = part.images[:_CHECKED], part.targets[:_CHECKED]
    theirs = methods_of(other)
    return {
        name: rank_correlation(method.maps(images, targets), theirs[name].maps(images, targets))
        for name, method in methods.items()
        if name in theirs
    }


def _nobody(subject: Subject) -> _Located:
    shape = subject.image_shape
    return _Located(np.zeros((0, *shape), np.uint8), np.zeros(0, int), np.zeros((0, *shape[:2]), bool))


def _large(image: np.ndarray) -> np.ndarray:
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return cv2.resize(colour, (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC)


def _overlay(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the face in gray under its map, from transparent blue to yellow (viridis): uint8[h,w,3]."""
    low, high = float(values.min()), float(values.max())
    level = np.asarray(255 * (values - low) / ((high - low) or 1.0)).astype(np.uint8)
    coloured = cv2.applyColorMap(cv2.resize(level, (ENLARGED, ENLARGED)), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return cv2.addWeighted(_large(image), 0.4, np.ascontiguousarray(coloured), 0.6, 0)
