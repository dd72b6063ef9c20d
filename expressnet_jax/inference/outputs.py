"""Answers about faces as a table for people, and as JSON lines or CSV for programs."""

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expressnet_jax.bars import bar
from expressnet_jax.data.fields import Field
from expressnet_jax.errors import printable
from expressnet_jax.inference.further import output_cells, output_columns
from expressnet_jax.inference.predictor import Face
from expressnet_jax.inference.video_damage import Damage
from expressnet_jax.inference.video_pipeline import FrameResult, TrackedFace
from expressnet_jax.inference.video_table import Summary

PLACE = ("left", "top", "width", "height", "score")


def table(name: str, faces: Sequence[Face]) -> str:
    """Return an image's faces as text, one line each."""
    name = printable(name)
    if not faces:
        return f"{name}: no face found"
    lines = [f"{name}: {len(faces)} face{'s' if len(faces) > 1 else ''}"]
    for number, face in enumerate(faces, 1):
        ranked = sorted(face.probabilities.items(), key=lambda pair: -pair[1])
        rest = ", ".join(f"{label} {100 * p:.0f} %" for label, p in ranked[1:3])
        doubt = f"  ({', '.join(face.flags)})" if face.flags else ""
        box = "{:.0f},{:.0f} {:.0f}x{:.0f}".format(*face.box)
        sure = f"{100 * face.confidence:3.0f} % {bar(face.confidence)}"
        lines.append(f"  {number:2d}  {face.label:<10} {sure}  {rest}  at {box}{doubt}")
    return "\n".join(lines)


def as_dict(face: Face) -> dict[str, Any]:
    """Return a face in JSON's types."""
    return {
        "label": face.label,
        "confidence": round(face.confidence, 5),
        "probabilities": {name: round(p, 5) for name, p in face.probabilities.items()},
        "box": [round(x, 1) for x in face.box],
        "score": round(face.score, 4),
        "landmarks": None if face.landmarks is None else face.landmarks.astype(float).round(1).tolist(),
        "flags": list(face.flags),
    } | outputs_as_dict(face.outputs)


def outputs_as_dict(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return further outputs in JSON's types, under one key; nothing where there are none."""
    return {"outputs": {name: _plain(values) for name, values in outputs.items()}} if outputs else {}


def _plain(values: Any) -> Any:
    """Return the values by name, or an array, in JSON's types."""
    if isinstance(values, dict):
        return {name: round(float(value), 4) for name, value in values.items()}
    return np.asarray(values, float).round(4).tolist()


def json_line(name: str, faces: Sequence[Face]) -> str:
    """Return one image as a line of JSON: its name and its faces; none is an empty list."""
    return json.dumps({"image": name, "faces": [as_dict(face) for face in faces]})


def json_error(name: str, reason: str, kind: str = "image") -> str:
    """Return the line of an image or a video that can't be read."""
    return json.dumps({kind: name, "error": reason})


def json_frame(name: str, result: FrameResult, classes: Sequence[str]) -> str:
    """Return one frame of a video as a line of JSON; probabilities and label are the smoothed ones of its track."""
    faces = [_tracked_as_dict(face, classes) for face in result.faces]
    return json.dumps(
        {"video": name, "frame": result.frame.number, "seconds": round(result.frame.time, 4), "faces": faces}
    )


def json_summary(name: str, summary: Summary, damage: Damage) -> str:
    """Return the line behind a video's frames."""
    found = {"frames": summary.frames, "frames_without_a_face": summary.without, "faces": summary.faces}
    found |= {"tracks": len(summary.tracks), "frames_not_decoded": damage.lost}
    return json.dumps({"video": name, "summary": found | ({"damage": damage.text()} if damage.text() else {})})


def _tracked_as_dict(face: TrackedFace, classes: Sequence[str]) -> dict[str, Any]:
    named = lambda row: {name: round(float(p), 5) for name, p in zip(classes, row, strict=True)}
    return {
        "track": face.track or None,
        "label": classes[face.label],
        "confidence": round(float(face.smoothed[face.label]), 5),
        "probabilities": named(face.smoothed),
        "raw_probabilities": named(face.raw),
        "box": [round(float(x), 1) for x in face.found.box],
        "score": round(float(face.found.score), 4),
    } | outputs_as_dict(face.outputs)


class Csv:
    """Rows of faces. An image without one has a row with 0 and empty cells, one that can't be read the flag
    `unreadable`: nothing is dropped in silence."""

    def __init__(self, file: Any, classes: Sequence[str], fields: Mapping[str, Field] | None = None):
        """`file` is a text file, or anything with its `write`; `fields` are the model's further outputs."""
        self.classes, self.fields = classes, fields or {}
        self.writer = csv.writer(file, lineterminator="\n")
        head = ["image", "face", "label", "confidence", "left", "top", "width", "height", "score", "flags"]
        self.writer.writerow([*head, *classes, *output_columns(self.fields)])

    def write(self, name: str, faces: Sequence[Face] | None) -> None:
        """`faces` is None for an image that can't be read."""
        if not faces:
            flag = "unreadable" if faces is None else ""
            empty = len(self.classes) + len(output_columns(self.fields))
            self.writer.writerow([name, 0, *[""] * 7, flag, *[""] * empty])
        for number, face in enumerate(faces or (), 1):
            row = as_dict(face)
            cells = [number, face.label, row["confidence"], *row["box"], row["score"], " ".join(face.flags)]
            further = output_cells(face.outputs, self.fields).values()
            self.writer.writerow([name, *cells, *(row["probabilities"][label] for label in self.classes), *further])


class MediaCsv:
    """Rows of faces of images and videos in one table: an image's have no frame, no seconds, no track and no smoothed
    probabilities, a video's no number of the face in the image.

    As in the tables of one kind, an image or a frame without a face has a row with empty cells, a file that can't be
    read one with the flag `unreadable`.
    """

    def __init__(self, file: Any, classes: Sequence[str], fields: Mapping[str, Field] | None = None):
        """`file` is a text file, or anything with its `write`; `fields` are the model's further outputs."""
        self.classes, self.fields = classes, fields or {}
        head = ["file", "frame", "seconds", "track", "face", "label", "confidence", *PLACE, "flags"]
        head += [f"{form}_{name}" for form in ("raw", "smoothed") for name in classes]
        head += output_columns(self.fields)
        self.writer = csv.DictWriter(file, head, restval="", lineterminator="\n")
        self.writer.writeheader()

    def write(self, name: str, faces: Sequence[Face] | None) -> None:
        """Add an image's faces; None for a file that can't be read."""
        if not faces:
            self.writer.writerow({"file": name, "face": 0, "flags": "unreadable" if faces is None else ""})
        for number, face in enumerate(faces or (), 1):
            shown = as_dict(face)
            raw = {f"raw_{label}": p for label, p in shown["probabilities"].items()}
            place = dict(zip(PLACE, (*shown["box"], shown["score"]), strict=True))
            row = {"file": name, "face": number, "label": face.label, "confidence": shown["confidence"]}
            further = output_cells(face.outputs, self.fields)
            self.writer.writerow(row | place | raw | {"flags": " ".join(face.flags)} | further)

    def mark(self, name: str, flag: str) -> None:
        """Add a row that says what is wrong with a file as a whole."""
        self.writer.writerow({"file": name, "flags": flag})

    def write_frames(self, name: str, results: Sequence[FrameResult]) -> None:
        """Add the faces of a video's next frames."""
        for result in results:
            row = {"file": name, "frame": result.frame.number, "seconds": round(result.frame.time, 4)}
            for face in result.faces:
                shown = _tracked_as_dict(face, self.classes)
                place = dict(zip(PLACE, (*shown["box"], shown["score"]), strict=True))
                track = {"track": face.track or "", "label": shown["label"], "confidence": shown["confidence"]}
                raw = {f"raw_{label}": p for label, p in shown["raw_probabilities"].items()}
                smoothed = {f"smoothed_{label}": p for label, p in shown["probabilities"].items()}
                further = output_cells(face.outputs, self.fields)
                self.writer.writerow(row | track | place | raw | smoothed | further)
            if not result.faces:
                self.writer.writerow(row)
