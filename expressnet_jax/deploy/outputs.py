"""Answers about faces as a table for people, and as JSON lines or CSV for programs."""

import csv
import json
from collections.abc import Sequence
from typing import Any, TextIO

from expressnet_jax.deploy.predictor import Face
from expressnet_jax.evaluation.bars import bar


def table(name: str, faces: Sequence[Face]) -> str:
    """A picture's faces, a line each, for a terminal."""
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
    """A face in JSON's types."""
    return {
        "label": face.label,
        "confidence": round(face.confidence, 5),
        "probabilities": {name: round(p, 5) for name, p in face.probabilities.items()},
        "box": [round(x, 1) for x in face.box],
        "score": round(face.score, 4),
        "landmarks": None if face.landmarks is None else face.landmarks.astype(float).round(1).tolist(),
        "flags": list(face.flags),
    }


def json_line(name: str, faces: Sequence[Face]) -> str:
    """One picture as a line of JSON: its name and its faces; none is an empty list."""
    return json.dumps({"picture": name, "faces": [as_dict(face) for face in faces]})


def json_error(name: str, reason: str) -> str:
    """The line of a picture that can't be read."""
    return json.dumps({"picture": name, "error": reason})


class Csv:
    """Rows of faces. A picture without one has a row with 0 and empty cells, one that can't be read the flag
    `unreadable`: nothing is dropped in silence."""

    def __init__(self, file: TextIO, classes: Sequence[str]):
        self.classes = classes
        self.writer = csv.writer(file, lineterminator="\n")
        head = ["picture", "face", "label", "confidence", "left", "top", "width", "height", "score", "flags"]
        self.writer.writerow([*head, *classes])

    def write(self, name: str, faces: Sequence[Face] | None) -> None:
        """`faces` is None for a picture that can't be read."""
        if not faces:
            flag = "unreadable" if faces is None else ""
            self.writer.writerow([name, 0, *[""] * 7, flag, *[""] * len(self.classes)])
        for number, face in enumerate(faces or (), 1):
            told = as_dict(face)
            cells = [number, face.label, told["confidence"], *told["box"], told["score"], " ".join(face.flags)]
            self.writer.writerow([name, *cells, *(told["probabilities"][label] for label in self.classes)])
