"""What a camera's faces look like in a terminal: a line a face, written over again with every frame."""

import shutil
from collections.abc import Sequence
from typing import TextIO

from expressnet_jax.bars import bar
from expressnet_jax.inference.video_pipeline import FrameResult, TrackedFace

UP, CLEAR = "\x1b[{}A", "\x1b[J"  # the cursor n lines up; everything from there on away (ECMA-48, CUU and ED)
_SECOND = 1.0


class Lines:
    """Writes to a terminal, or to what is none only the changes: a line whenever a face's label is another one."""

    def __init__(self, out: TextIO, classes: Sequence[str]):
        self.out, self.classes = out, classes
        self.terminal = out.isatty()
        self.written = 0
        self.labels: dict[int, int] = {}
        self.times: list[float] = []

    def show(self, result: FrameResult) -> None:
        """Show the next frame."""
        if not self.terminal:
            self._changes(result)
            return
        self.times = [t for t in self.times if t > result.frame.time - _SECOND] + [result.frame.time]
        head = f"{result.frame.time:7.1f} s  {len(self.times):3d} frames/s  stop with Ctrl-C"
        height = shutil.get_terminal_size().lines - 2  # the cursor goes no higher than the screen
        lines = [head, *([self.line(face) for face in result.faces[:height]] or ["  no face"])]
        up = UP.format(self.written) if self.written else ""
        self.out.write(up + CLEAR + "\n".join(lines) + "\n")
        self.out.flush()
        self.written = len(lines)

    def line(self, face: TrackedFace) -> str:
        """Return a face's number, label, probability and bar."""
        share = float(face.smoothed[face.label])
        number = str(face.track or "")
        return f"  {number:>3}  {self.classes[face.label]:<10} {100 * share:3.0f} % {bar(share)}"

    def _changes(self, result: FrameResult) -> None:
        for face in result.faces:
            if face.track and self.labels.get(face.track) != face.label:
                self.labels[face.track] = face.label
                self.out.write(f"{result.frame.time:9.2f} s{self.line(face)}\n")
        self.out.flush()
