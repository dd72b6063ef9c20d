"""Photographs in class-named folders -> cut faces, stored once, for finding faces is what takes the time.

OUTPUT/faces.csv              every file: what was found in it, and why one was left out
OUTPUT/faces/CLASS/NAME.png   the largest face of each photograph, cut as prediction cuts it
OUTPUT/faces/list.csv         those faces with their classes, as `expressnet prepare folder` reads them
OUTPUT/faces/read.jsonl       a line a photograph, written when it was read; what did not change is not read again

Shapes: H, W of a photograph; S pixels a side of the network's images; C channels.
"""

import csv
import hashlib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from expressnet_jax.data.datasets.class_folders import class_tree
from expressnet_jax.data.datasets.folder import Sample, class_names, list_samples, shared_meanings
from expressnet_jax.data.decode import encode_png
from expressnet_jax.data.labels import canonical
from expressnet_jax.data.media_files import missing, read_head
from expressnet_jax.data.media_types import identify
from expressnet_jax.errors import UserError, one_line, printable, shorten
from expressnet_jax.inference.crop import cut_face
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.detector import Detector
from expressnet_jax.inference.images import load_image
from expressnet_jax.io import write_bytes
from expressnet_jax.parallel import parallel_map

FACE, NO_FACE, UNREADABLE = "face", "no face", "unreadable"
_LARGER = 2  # times the network's side, to look at and for the next network
FEWEST = 5  # faces of a class in training: one in five is held out
_HEADER = ("image", "class", "split", "person", "status", "faces", "left", "top", "width", "height", "score")


class CropSettings(NamedTuple):
    """How faces are found and cut: `size` pixels are what the detector looks at, `side` and `channels` are S and C."""

    detector: str
    size: int
    align: bool
    side: int
    channels: int


class CropRecord(NamedTuple):
    """What became of a photograph. `stamp` changes with the file and with how it is cut, `sha256` with the cut face."""

    key: str
    label_text: str
    stamp: str
    status: str
    crop: str = ""
    sha256: str = ""
    faces: int = 0
    box: Sequence[float] | None = None
    score: float = 0.0
    reason: str = ""


def list_photographs(source: Path, labels: str = "auto", notes: dict[str, Any] | None = None) -> list[Sample]:
    """Return the photographs of class folders, of split folders above them, or of a CSV with path and label.

    `labels` is the option of the data set `folder`; what is left out, and why, goes into the notes.

    Raises:
      UserError: nothing there, no training images, an empty class, one class only.
    """
    notes = {} if notes is None else notes
    if not source.exists():
        what = missing(source, "no such folder")
        raise UserError(f"--data {source}: {what}; give one with a folder of photographs for each class")
    if source.is_file() and (found := identify(read_head(source))).kind != "text":
        remedy = (
            "unpack it and give the folder that comes out" if "archive" in found.name else "give a folder or a list"
        )
        raise UserError(f"--data {source}: {found.name}; {remedy}")
    for split, classes in class_tree(source).items() if source.is_dir() else ():
        if empty := [word for word, paths in classes.items() if not paths]:
            where = "" if split == "all" else f" of {split}"
            raise UserError(
                f"--data {source}: the class folder {printable(empty[0])}/{where} holds no image; put some in, or"
                " remove it"
            )
    samples = list(list_samples(source, notes))
    if not {"train", "all"} & {sample.split for sample in samples}:
        raise UserError(f"--data {source}: nothing to learn from: there is no train/ next to {samples[0].split}/")
    names = set(classes_of(samples, labels).values())
    notes.update(shared_meanings((sample.label_text for sample in samples), names))
    if len(names) < 2:
        raise UserError(f"--data {source}: every image is of one class, {names.pop()}; a classifier needs two")
    return samples


def classes_of(samples: Iterable[Sample], labels: str = "auto") -> dict[str, str]:
    """Return every label as people write it -> the class it stands for, as the data set `folder` will have it."""
    words = {sample.label_text for sample in samples}
    classes = class_names(words, labels)
    return {word: word if word in classes else canonical(word) or word for word in sorted(words)}


def store_faces(
    samples: Sequence[Sample], folder: Path, cutting: CropSettings, make_detector: Callable[..., Detector]
) -> list[CropRecord]:
    """Cut the largest face of each photograph into `folder`, on all cores; only of what is new or has changed.

    A run that was stopped resumes. Faces of photographs that are gone are removed.
    """
    known = _read_journal(folder / "read.jsonl")
    detector = make_detector(cutting.detector, size=cutting.size, threads=1)

    def look(sample: Sample) -> CropRecord:
        stamp, old = _stamp(sample.path, cutting), known.get((sample.key, sample.label_text))
        if old and old.stamp == stamp and (not old.crop or (folder / old.crop).is_file()):
            return old
        return _cut_photograph(sample, stamp, folder, cutting, detector)

    folder.mkdir(parents=True, exist_ok=True)
    seen = []
    with (folder / "read.jsonl").open("a", encoding="utf-8") as journal:
        shown = tqdm(parallel_map(look, samples), "finding faces", len(samples), unit="", disable=None, leave=False)
        for each in shown:
            seen.append(each)
            if each is not known.get((each.key, each.label_text)):
                journal.write(json.dumps(each._asdict()) + "\n")
                journal.flush()
    for gone in {old.crop for old in known.values()} - {each.crop for each in seen} - {""}:
        (folder / gone).unlink(missing_ok=True)
    lines = (json.dumps(each._asdict()) + "\n" for each in seen)
    write_bytes(folder / "read.jsonl", "".join(lines).encode())
    return seen


def _read_journal(path: Path) -> dict[tuple[str, str], CropRecord]:
    """By key and label, the latest line of each; a torn one is as if it were not there."""
    known = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            seen = CropRecord(**json.loads(line))
        except (ValueError, TypeError):
            continue
        known[seen.key, seen.label_text] = seen
    return known


def _cut_photograph(sample: Sample, stamp: str, folder: Path, cutting: CropSettings, detector: Detector) -> CropRecord:
    """Store the largest face as PNG, named after its photograph; what has none says so, and why."""
    try:
        image = load_image(sample.path)
        found = detector.find(image)
    except (UserError, cv2.error) as error:
        return CropRecord(sample.key, sample.label_text, stamp, UNREADABLE, reason=one_line(error))
    if not found:
        return CropRecord(sample.key, sample.label_text, stamp, NO_FACE, reason=f"{cutting.detector} finds none")
    largest = max(found, key=lambda face: face.box[2] * face.box[3])
    side = _stored_side(image, largest, detector.margin, cutting.side)
    face = cut_face(image, largest, detector.margin, side, cutting.channels, align=cutting.align, equalize=False)
    content = encode_png(face)
    # Two photographs may have one name in different folders, and a label may hold what no folder's name can.
    name = f"{_word(Path(sample.key).stem)}-{hashlib.sha256(sample.key.encode(errors='replace')).hexdigest()[:8]}.png"
    crop = f"{_word(sample.label_text)}/{name}"
    write_bytes(folder / crop, content)
    box = [round(float(x), 1) for x in largest.box]
    digest = hashlib.sha256(content).hexdigest()
    score = round(float(largest.score), 4)
    return CropRecord(sample.key, sample.label_text, stamp, FACE, crop, digest, len(found), box, score)


def _stored_side(image: np.ndarray, found: Detection, margin: float | None, side: int) -> int:
    """S, or _LARGER times S where the photograph has that many pixels: an enlarged face would come back blurred, and
    the network would learn from other images than prediction shows it."""
    given = min(image.shape[:2]) if margin is None else margin * math.sqrt(found.box[2] * found.box[3])
    return _LARGER * side if given >= _LARGER * side else side


def check_classes(
    samples: Sequence[Sample], seen: Sequence[CropRecord], cutting: CropSettings, labels: str = "auto"
) -> None:
    """Raise UserError for a class without a face, or with too few in training to hold any out."""
    meaning = classes_of(samples, labels)
    images = Counter(meaning[sample.label_text] for sample in samples)
    pairs = [(meaning[s.label_text], s.split) for s, each in zip(samples, seen, strict=True) if each.status == FACE]
    faces, learned = (
        Counter(name for name, _ in pairs),
        Counter(name for name, part in pairs if part in ("train", "all")),
    )
    for name, count in images.items():
        if not faces[name]:
            remedy = "--detector none takes images as faces, a larger --size finds smaller ones"
            remedy = "convert them to JPEG or PNG" if cutting.detector == "none" else remedy
            raise UserError(f"{name}: no face in any of its {count} images, see faces.csv; {remedy}")
        if learned[name] < FEWEST:
            where = "" if learned[name] == faces[name] else " of train"
            raise UserError(
                f"{name}: {learned[name]} faces{where} are too few to learn from and to hold some out; give at least"
                f" {FEWEST}, or leave the class out (faces.csv names the images without a face)"
            )


def write_lists(
    samples: Sequence[Sample], seen: Sequence[CropRecord], others: Mapping[str, str], output: Path, labels: str = "auto"
) -> Path:
    """Write OUTPUT/faces.csv for people, OUTPUT/faces/list.csv for `prepare`, which is returned.

    others: the files that are no images, with the reason why each is left out.
    """
    meaning = classes_of(samples, labels)
    rows, listed = [], []
    for sample, each in zip(samples, seen, strict=True):
        where = [""] * 5 if each.box is None else [*each.box, each.score]
        who = [sample.key, meaning[sample.label_text], sample.split, sample.subject]
        rows.append([*who, each.status, each.faces, *where, each.crop, each.reason])
        if each.status == FACE:
            listed.append([each.crop, sample.label_text, sample.split, sample.subject, each.sha256])
    rows += [[name, "", "", "", "other file", *[""] * 7, why] for name, why in others.items()]
    write_bytes(output / "faces.csv", _table([(*_HEADER, "crop", "reason"), *rows]))
    # A column that says nothing would make persons or splits of nothing.
    columns = {"path": 0, "label": 1, "split": 2, "subject": 3, "sha256": 4}
    dropped = {"split"} if samples[0].split == "all" else set()
    dropped |= set() if any(sample.subject for sample in samples) else {"subject"}
    kept = {name: i for name, i in columns.items() if name not in dropped}
    table = [tuple(kept), *([row[i] for i in kept.values()] for row in listed)]
    return write_bytes(output / "faces" / "list.csv", _table(table))


def summary(seen: Sequence[CropRecord], others: Mapping[str, str]) -> str:
    """Return one line: how many faces there are, and what was left out."""
    by_status = {status: [each.key for each in seen if each.status == status] for status in (NO_FACE, UNREADABLE)}
    left_out = {"without a face": by_status[NO_FACE], "that can't be read": by_status[UNREADABLE]}
    left_out["of other kinds"] = [f"{name}: {why}" for name, why in others.items()]
    parts = [f"{len(names):,} {what} ({shorten(names, 3)})" for what, names in left_out.items() if names]
    found = f"{sum(each.status == FACE for each in seen):,} faces from {len(seen):,} photographs"
    if several := sum(each.faces > 1 for each in seen):
        found += f", the largest of {several:,} that show several"
    return f"{found}; left out: {', '.join(parts)}; faces.csv names all" if parts else found


def counts(seen: Sequence[CropRecord], others: Mapping[str, str], litter: int) -> dict[str, int]:
    """Count the files by outcome."""
    tally: Mapping[str, int] = Counter(each.status for each in seen)
    return {status: tally[status] for status in (FACE, NO_FACE, UNREADABLE)} | {
        "other file": len(others),
        "litter": litter,
    }


def _stamp(path: Path, cutting: CropSettings) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""  # it will be unreadable, with the reason
    return hashlib.sha256(repr((found.st_size, found.st_mtime_ns, cutting)).encode()).hexdigest()[:16]


def _word(text: str) -> str:
    return re.sub(r"[^\w-]+", "_", text)[:60] or "_"


def _table(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")
