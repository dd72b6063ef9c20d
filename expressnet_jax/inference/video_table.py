"""The CSV of a video's faces, which a killed run continues, and the summary of its rows.

A run keeps a small JSON next to its CSV until it is done: how far the CSV is good, and what the tracker and the
smoothers knew at that point. Batch by batch, first the rows are written, then the JSON takes its place at one stroke.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError
from expressnet_jax.inference.further import output_cells, output_columns
from expressnet_jax.inference.video_pipeline import FrameResult, TrackState

_WHERE = ("frame", "seconds", "track", "left", "top", "width", "height", "score")
SAMPLE = 1 << 20  # bytes at either end of a file that tell it from another one
LISTED = 20  # tracks of a summary, the longest

Row = dict[str, Any]


def columns(classes: Sequence[str], fields: Mapping[str, Field] | None = None) -> list[str]:
    """Return the CSV's head; `fields` are the model's further outputs."""
    smoothed = [*(f"raw_{c}" for c in classes), *(f"smoothed_{c}" for c in classes)]
    return [*_WHERE, *smoothed, "label", "video", *output_columns(fields or {})]


def rows(
    result: FrameResult, classes: Sequence[str], video: str, fields: Mapping[str, Field] | None = None
) -> list[Row]:
    """Return a row for each face of a frame; one with an empty track, box and label if there is none.

    A face without a number yet has an empty track, too, and its own box.
    """
    frame = {"frame": result.frame.number, "seconds": round(result.frame.time, 4), "video": video}
    if not result.faces:
        return [dict.fromkeys(columns(classes, fields), "") | frame]
    return [
        frame
        | {"track": face.track or "", "score": round(face.found.score, 4), "label": classes[face.label]}
        | dict(zip(_WHERE[3:7], (round(x, 1) for x in face.found.box), strict=True))
        | {f"raw_{c}": round(float(p), 5) for c, p in zip(classes, face.raw, strict=True)}
        | {f"smoothed_{c}": round(float(p), 5) for c, p in zip(classes, face.smoothed, strict=True)}
        | output_cells(face.outputs, fields or {})
        for face in result.faces
    ]


@dataclass
class TrackSummary:
    """Of one track: seconds of its first and last sighting, frames by label, the labels last seen, and how often they
    changed."""

    first: float
    last: float = 0.0
    labels: Counter[str] = field(default_factory=Counter)
    raw: str = ""
    shown: str = ""
    raw_changes: int = 0
    changes: int = 0

    def add(self, seconds: float, raw: str, shown: str) -> None:
        self.raw_changes += bool(self.raw) and raw != self.raw
        self.changes += bool(self.shown) and shown != self.shown
        self.last, self.raw, self.shown = seconds, raw, shown
        self.labels[shown] += 1


class Summary:
    """What a video's rows say in all. It takes rows as they are written or as they are read again."""

    def __init__(self, classes: Sequence[str]):
        self.classes = classes
        self.frames = self.faces = self.without = 0
        self.last_frame = -1
        self.tracks: dict[int, TrackSummary] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        number = int(row["frame"])
        self.frames += number != self.last_frame
        self.last_frame = number
        if row["score"] == "":
            self.without += 1
            return
        self.faces += 1
        if row["track"] != "":
            seconds = float(row["seconds"])
            raw = max(self.classes, key=lambda name: float(row[f"raw_{name}"]))
            track = self.tracks.setdefault(int(row["track"]), TrackSummary(seconds))
            track.add(seconds, raw, row["label"])

    def text(self) -> str:
        """Return some lines for a terminal."""
        raw, shown = (sum(getattr(t, name) for t in self.tracks.values()) for name in ("raw_changes", "changes"))
        lines = [
            f"{_count(self.frames, 'frame')}, {_count(self.faces, 'face')} found, "
            f"{_count(self.without, 'frame')} without a face",
            f"{_count(len(self.tracks), 'track')}; label changes: {raw:,} raw, {shown:,} smoothed",
        ]
        longest = sorted(self.tracks.items(), key=lambda pair: (-pair[1].labels.total(), pair[0]))
        for number, track in sorted(longest[:LISTED]):
            label, often = track.labels.most_common(1)[0]
            total = track.labels.total()
            lines.append(
                f"  track {number}: {_count(total, 'frame')}, {track.first:.1f} to {track.last:.1f} s, mostly {label}"
                f" ({100 * often / total:.0f} %), label changes {track.raw_changes} raw, {track.changes} smoothed"
            )
        if len(longest) > LISTED:
            lines.append(f"  and {_count(len(longest) - LISTED, 'shorter track')}")
        return "\n".join(lines)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


class VideoTable:
    """The CSV that is being written; use it in a `with`.

    Attributes:
      start: the frame to continue with.
      known: the tracks' state there; None at the beginning.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[str],
        video: str,
        settings: Mapping[str, Any] | None,
        fields: Mapping[str, Field] | None = None,
    ):
        """`settings` are all that decides what the rows are: a run with the same ones is continued. None is a camera's,
        which can't be. `fields` are the model's further outputs.

        Raises:
          UserError: the CSV can't be written, or holds what is not to be lost.
        """
        self.path, self.names, self.settings = path, columns(classes, fields), settings
        self.state_path = path.with_name(path.name + ".state.json")
        self._new_state = path.with_name(path.name + ".state.json.new")
        self.start, self.known, self.good = 0, None, 0
        if kept := self._kept():
            self.start, self.known, self.good = kept["frame"], kept["tracks"], kept["bytes"]
        elif not self.state_path.exists():
            self._refuse_to_lose(video)
        try:
            self.file = path.open("r+b" if self.good else "wb", buffering=0)
        except OSError as error:
            raise UserError(f"{path}: can't be written ({error.strerror}); give another name") from error
        self.file.truncate(self.good)
        if not self.good:
            self.begin()

    def begin(self) -> None:
        """Begin with the first frame, whatever an interrupted run left."""
        self.start, self.known, self.good = 0, None, 0
        self._append([self.names])
        self.file.truncate(self.good)

    def __enter__(self) -> "VideoTable":
        return self

    def __exit__(self, *error: Any) -> None:
        """Whatever happened, the file ends with a whole batch; a run without an error is done."""
        with contextlib.suppress(OSError):  # of a disk that is gone, which a write has said already
            self.file.truncate(self.good)
            self.file.close()
        if error == (None, None, None):
            self.state_path.unlink(missing_ok=True)

    def past(self) -> Iterator[Row]:
        """Yield the rows that an interrupted run left."""
        with self.path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            yield from csv.DictReader(file)

    def write(self, some: Iterable[Row], tracks: TrackState, frame: int) -> None:
        """Write a batch's rows; the tracks as it is after them, and the frame to come next.

        Raises:
          UserError: the disk is full, or gone.
        """
        self.start, self.known = frame, tracks.state()
        self._append([row[name] for name in self.names] for row in some)

    def _append(self, lines: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        try:
            self.file.seek(self.good)
            self._write(text.getvalue().encode(errors="surrogateescape"))
            self._keep()
        except OSError as error:
            with contextlib.suppress(OSError):
                self._new_state.unlink(missing_ok=True)
            way = "free the disk, and the same command resumes it" if self.settings else "give another name"
            raise UserError(f"{self.path}: can't be written on ({error.strerror}); {way}") from error

    def _write(self, content: bytes) -> None:
        """Write all of it, or raise OSError: without a buffer nothing is left over that would be written later."""
        while content:
            content = content[self.file.write(content) :]
        self.good = self.file.tell()

    def _keep(self) -> None:
        if self.settings is None:
            return
        state = {"settings": self.settings, "frame": self.start, "bytes": self.good, "tracks": self.known}
        self._new_state.write_text(json.dumps(state))
        os.replace(self._new_state, self.state_path)

    def _kept(self) -> dict[str, Any] | None:
        """Return what an interrupted run of the same settings left, if its CSV is all there."""
        try:
            kept = json.loads(self.state_path.read_text())
            before, size = kept["settings"], kept["bytes"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.state_path}: not the state of an interrupted run; remove it") from error
        if before != self.settings:
            other = [name for name in before if before[name] != self.settings.get(name)] if self.settings else ["video"]
            raise UserError(
                f"{self.path}: belongs to an interrupted run with another {', '.join(other)}; give what was given then,"
                f" or remove it and {self.state_path.name}"
            )
        there = self.path.stat().st_size if self.path.is_file() else 0
        return kept if 0 < size <= there else None

    def _refuse_to_lose(self, video: str) -> None:
        """A CSV of the same video is overwritten; any other one is somebody's."""
        if not self.path.exists():
            return
        try:
            with self.path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                lines = csv.reader(file)
                head, first = next(lines, None), next(lines, None)
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{self.path}: something else is there; give the name of a file to write") from error
        if head and (head[: len(_WHERE)] != list(_WHERE) or head[-1] != "video"):
            raise UserError(f"{self.path}: something else is there; give another name, or remove it")
        if first and (self.settings is None or first[-1] != video):
            raise UserError(f"{self.path}: holds the rows of {first[-1]}; give another name, or remove it")


def digest(path: Path) -> str:
    """Return a digest that tells files apart by their length, beginning and end: a video may be larger than one wants
    to read twice."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = file.read(SAMPLE)
        file.seek(max(size - SAMPLE, 0))
        ends += file.read(SAMPLE)
    return hashlib.sha256(size.to_bytes(8, "big") + ends).hexdigest()
