"""Answers about stretches of a video: lines for a terminal, JSON, CSV, frames with boxes."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from expressnet_jax.bars import bar
from expressnet_jax.data.fields import Field
from expressnet_jax.inference.annotate import INK, annotate
from expressnet_jax.inference.clip_predictor import ClipAnswer, ClipFrame
from expressnet_jax.inference.further import output_cells, output_columns
from expressnet_jax.inference.outputs import PLACE, outputs_as_dict
from expressnet_jax.inference.video_damage import Damage


@dataclass
class ClipSummary:
    """Counts over a video's frames and answers."""

    frames: int = 0
    without: int = 0
    faces: int = 0
    windows: int = 0
    tracks: set[int] = field(default_factory=set)

    def add(self, seen: ClipFrame) -> None:
        """Count a frame, and the answers that were complete with it."""
        if seen.frame is not None:
            self.frames, self.faces = self.frames + 1, self.faces + len(seen.found)
            self.without += not seen.found
        self.windows += len(seen.answers)
        self.tracks |= {answer.track for answer in seen.answers}

    def text(self) -> str:
        """Return one line for a terminal."""
        return (
            f"{self.frames:,} frames, {self.faces:,} faces found, {self.without:,} frames without a face; windows:"
            f" {self.windows:,} of {len(self.tracks):,} tracks"
        )

    def json(self, name: str, damage: Damage) -> str:
        """Return the line behind a video's answers."""
        found = {"frames": self.frames, "frames_without_a_face": self.without, "faces": self.faces}
        found |= {"tracks": len(self.tracks), "windows": self.windows, "frames_not_decoded": damage.lost}
        return json.dumps({"video": name, "summary": found | ({"damage": damage.text()} if damage.text() else {})})


def line(answer: ClipAnswer) -> str:
    """Return an answer as a line of text for a terminal."""
    ranked = sorted(answer.probabilities.items(), key=lambda pair: -pair[1])
    rest = ", ".join(f"{label} {100 * p:.0f} %" for label, p in ranked[1:3])
    sure = f"{100 * answer.confidence:3.0f} % {bar(answer.confidence)}"
    span = f"{answer.start:7.2f} to {answer.end:7.2f} s"
    return f"  track {answer.track:<3d} {span}  {answer.label:<10} {sure}  {rest}"


def as_dict(answer: ClipAnswer) -> dict[str, Any]:
    """Return an answer in JSON's types."""
    return {
        "track": answer.track,
        "start": round(answer.start, 4),
        "end": round(answer.end, 4),
        "label": answer.label,
        "confidence": round(answer.confidence, 5),
        "probabilities": {name: round(p, 5) for name, p in answer.probabilities.items()},
        "box": [round(float(x), 1) for x in answer.found.box],
        "score": round(float(answer.found.score), 4),
    } | outputs_as_dict(answer.outputs)


def json_line(name: str, answer: ClipAnswer) -> str:
    """Return an answer as a line of JSON."""
    return json.dumps({"video": name} | as_dict(answer))


class ClipCsv:
    """Rows of answers. A video without one has a row with empty cells, one that can't be read the flag `unreadable`."""

    def __init__(self, file: Any, classes: Sequence[str], fields: Mapping[str, Field]):
        """`file` is a text file, or anything with its `write`; `fields` are the model's further outputs."""
        self.fields = fields
        head = ["video", "start", "end", "track", "label", "confidence", *PLACE, "flags", *classes]
        self.writer = csv.DictWriter(file, [*head, *output_columns(fields)], restval="", lineterminator="\n")
        self.writer.writeheader()

    def write(self, name: str, answer: ClipAnswer) -> None:
        """Add an answer."""
        shown = as_dict(answer)
        row = {key: shown[key] for key in ("start", "end", "track", "label", "confidence")}
        place = dict(zip(PLACE, (*shown["box"], shown["score"]), strict=True))
        further = output_cells(answer.outputs, self.fields)
        self.writer.writerow({"video": name} | row | place | shown["probabilities"] | further)

    def mark(self, name: str, flag: str = "") -> None:
        """Add a row that says what is wrong with a video as a whole, or that it has no face."""
        self.writer.writerow({"video": name, "flags": flag})


class ClipDrawer:
    """Draws over each frame the last answer for its faces: the answer of the window that ended there or before."""

    def __init__(self) -> None:
        self.last: dict[int, ClipAnswer] = {}
        self.sides: dict[str, int] = {}

    def draw(self, image: np.ndarray, seen: ClipFrame) -> np.ndarray:
        """Return a frame's uint8[H,W,3] with boxes, tracks and bars; a face without an answer yet has only a box."""
        self.last |= {answer.track: answer for answer in seen.answers}
        image = image.copy()
        pairs = list(zip(seen.numbers, seen.found, strict=True))
        known = [(number, found.box) for number, found in pairs if number in self.last]
        for number, found in pairs:
            if number not in self.last:
                left, top, width, height = map(round, found.box)
                cv2.rectangle(image, (left, top), (left + width, top + height), INK, 1, cv2.LINE_AA)
        probabilities = [self.last[number].probabilities for number, _ in known]
        titles = [str(number) for number, _ in known]
        return annotate(image, [box for _, box in known], probabilities, titles, sides=self.sides)
