"""`expressnet predict` of videos by a network of clips: an answer for each stretch of time of each face."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from expressnet_jax.errors import UserError, printable
from expressnet_jax.inference.clip_outputs import ClipCsv, ClipDrawer, ClipSummary, json_line, line
from expressnet_jax.inference.clip_predictor import SIZE, USUAL_RATE, ClipFrame, ClipPredictor
from expressnet_jax.inference.inputs import Source
from expressnet_jax.inference.model_inputs import remark_missing
from expressnet_jax.inference.output_files import OutputNames, TableError, new_file, print_result
from expressnet_jax.inference.outputs import json_error
from expressnet_jax.inference.video_damage import Damage
from expressnet_jax.inference.video_reader import Video
from expressnet_jax.inference.video_writer import VideoWriter

NO_FACE, UNREADABLE = 1, 2  # exit statuses; 0: every video was read and had a face


def predict_clips(arguments: argparse.Namespace, sources: Sequence[Source], annotated: OutputNames | None) -> int:
    """Predict every video in its order; return the highest exit status. `annotated` names the videos with
    boxes, if they are wanted.

    Raises:
      UserError: a model or an option that doesn't fit, or a table that can't be written.
    """
    if arguments.clip_rate < 0:
        raise UserError(f"--clip-rate: {arguments.clip_rate}; give frames a second, more than 0")
    names = ("detector", "align", "equalize", "threads", "output", "clip_rate")
    options = {name: getattr(arguments, name) for name in names}
    predictor = ClipPredictor(arguments.model, size=arguments.size or SIZE, **options)
    if not predictor.stated_rate:
        text = f"doesn't say how many frames a second its clips had; takes {USUAL_RATE:g}, --clip-rate gives another"
        print(f"{printable(arguments.model)}: {text}", file=sys.stderr)
    remark_missing(predictor.model, ("clip", "waveform"))
    status = 0
    with contextlib.ExitStack() as stack:
        table = None
        if arguments.csv:
            file = stack.enter_context(new_file(arguments.csv))
            table = ClipCsv(file, predictor.classes, predictor.model.fields)
        run = _ClipRun(predictor, table, arguments.json)
        for source in sources:
            path = annotated.name(source.shown) if annotated and source.kind == "video" else None
            status = max(status, run.predict(source, path))
    return status


class _ClipRun:
    """A run over videos with what they share."""

    def __init__(self, predictor: ClipPredictor, table: ClipCsv | None, as_json: bool):
        self.predictor, self.table, self.as_json = predictor, table, as_json

    def predict(self, source: Source, annotated: Path | None) -> int:
        """Predict one input; return its exit status."""
        try:
            if source.kind != "video":
                raise UserError(f"{source.name}: an image, but the model takes clips; give videos")
            summary, damage = self._video(source, annotated)
        except TableError:
            raise
        except UserError as error:
            return self._unreadable(source, error)
        self._report(source.shown, summary, damage)
        if damage.truncated or not damage.decoded:
            return UNREADABLE
        if not summary.windows:
            print(f"{printable(source.shown)}: no face found", file=sys.stderr)
        return 0 if summary.windows else NO_FACE

    def _video(self, source: Source, annotated: Path | None) -> tuple[ClipSummary, Damage]:
        """Write a video's answers to every output; return their summary."""
        summary, drawer, writer = ClipSummary(), ClipDrawer(), None
        with contextlib.ExitStack() as stack:
            video = stack.enter_context(contextlib.closing(Video(source.name, source.shown)))
            if annotated:
                writer = stack.enter_context(contextlib.closing(VideoWriter(annotated, video.rate, video.size)))
            frames = self.predictor.run(video, keep_images=writer is not None)
            stream = stack.enter_context(contextlib.closing(frames))
            for seen in tqdm(stream, total=video.length or None, unit=" frames", leave=False, disable=None):
                summary.add(seen)
                self._write(source.shown, seen)
                if writer and seen.frame:
                    writer.write(drawer.draw(seen.frame.image, seen))
        if writer and summary.frames:
            print(f"wrote {printable(annotated)}", file=sys.stderr)
        return summary, video.damage

    def _write(self, name: str, seen: ClipFrame) -> None:
        for answer in seen.answers:
            print_result(json_line(name, answer) if self.as_json else f"{printable(name)}{line(answer)}")
            if self.table:
                self.table.write(name, answer)

    def _report(self, name: str, summary: ClipSummary, damage: Damage) -> None:
        """Write the summary of a video's answers, and what is damaged."""
        print_result(summary.json(name, damage) if self.as_json else f"{printable(name)}: {summary.text()}")
        if damage.text():
            print(f"{printable(name)}: {damage.text()}", file=sys.stderr)
        if self.table and (damage.truncated or not summary.windows):
            self.table.mark(name, "truncated" if damage.truncated else "")

    def _unreadable(self, source: Source, error: UserError) -> int:
        """Say what is wrong with an input wherever the others are written; return its exit status."""
        print(f"error: {printable(str(error).replace(source.name, source.shown))}", file=sys.stderr)
        if self.as_json:
            print_result(json_error(source.shown, str(error), "video" if source.kind == "video" else "image"))
        if self.table:
            self.table.mark(source.shown, "unreadable")
        return UNREADABLE
