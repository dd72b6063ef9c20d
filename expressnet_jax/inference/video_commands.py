"""The commands of `expressnet` about videos: predict, where it is given one, and webcam."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from expressnet_jax import __version__
from expressnet_jax.errors import UserError, printable
from expressnet_jax.inference.output_files import print_result
from expressnet_jax.inference.outputs import MediaCsv, json_summary
from expressnet_jax.inference.video_damage import Damage
from expressnet_jax.inference.video_outputs import VideoOutputs
from expressnet_jax.inference.video_pipeline import TrackState, VideoPipeline, batch_size, make_pipeline
from expressnet_jax.inference.video_reader import Camera, Video
from expressnet_jax.inference.video_table import Summary, VideoTable, digest
from expressnet_jax.inference.video_writer import VideoWriter
from expressnet_jax.inference.webcam import Lines

NO_FACE = 1  # exit status; 0: there was a face; what can't be read is a UserError
SIZE = 320  # pixels that the detector looks at: most videos are of large faces and many frames


class SharedOutputs(NamedTuple):
    """What the inputs of a run have in common; a video with its own outputs has none of it.

    Attributes:
      pipeline: finds and predicts the faces of all videos.
      table: the rows of all inputs, if they are wanted.
    """

    pipeline: VideoPipeline
    table: MediaCsv | None


def predict_video(
    arguments: argparse.Namespace,
    path: str,
    annotated: Path | None = None,
    shared: SharedOutputs | None = None,
    shown: str | None = None,
) -> int:
    """Predict a video and return exit status 0 or NO_FACE. Progress goes to a terminal on stderr.

    Its CSV is its own and can be continued, or that of `shared`. The summary goes to stdout, or as JSON behind the
    frames. `annotated` is where the video with boxes goes, `shown` the name that it has in the outputs.

    Raises:
      UserError: what can't be read or written.
      TruncatedVideo: the file is cut short, after all that is there.
    """
    name = shown or path
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(contextlib.closing(Video(path, name)))
        pipeline = shared.pipeline if shared else make_run_pipeline(arguments)
        summary = Summary(pipeline.predictor.classes)
        tracks, start, own, writer = TrackState(), 0, None, None
        if annotated:
            writer = stack.enter_context(contextlib.closing(VideoWriter(annotated, video.rate, video.size)))
        if arguments.csv and not shared:
            settings, fields = _settings(arguments, path, pipeline), pipeline.predictor.model.fields
            own = VideoTable(arguments.csv, summary.classes, name, settings, fields)
            tracks, start = _continued(stack.enter_context(own), summary, alone=writer is None)
        whole = shared.table if shared else None
        outputs = VideoOutputs(name, summary, own, whole, writer, arguments.json, pipeline.predictor.model.fields)
        stream = pipeline.run(video.frames(start), tracks, batch_size(video.size), keep_images=writer is not None)
        progress = {"total": video.length or None, "initial": start, "unit": " frames", "leave": False}
        stream = stack.enter_context(contextlib.closing(stream))
        with _stop_told(own, writer), tqdm(disable=None, dynamic_ncols=True, **progress) as bar:
            for batch in stream:
                outputs.write(batch, tracks)
                bar.update(len(batch))
    _report(name, summary, video.damage, as_json=arguments.json, several=shared is not None)
    for written in filter(None, (own and own.path, summary.frames and annotated)):
        print(f"wrote {printable(written)}", file=sys.stderr)
    _raise_if_cut(name, video.damage)
    return _status(summary, name)


class TruncatedVideo(UserError):
    """A video's file ends before the video does; what is there was predicted."""


def _report(name: str, summary: Summary, damage: Damage, as_json: bool, several: bool) -> None:
    """Print the summary on stdout; what is damaged there and on stderr."""
    head = f"{printable(name)}: " if several else ""
    if as_json:
        print_result(json_summary(name, summary, damage))
    else:
        print_result(f"{head}{summary.text()}" + (f"\n{damage.text()}" if damage.lost else ""))
    if damage.text() and not damage.truncated:
        print(f"{printable(name)}: {damage.text()}", file=sys.stderr)


def _raise_if_cut(name: str, damage: Damage) -> None:
    if not damage.decoded:
        raise UserError(f"{name}: no frame of this video can be decoded; fetch it again")
    if damage.truncated:
        raise TruncatedVideo(f"{name}: {damage.truncated}")


def webcam(arguments: argparse.Namespace, out: Any = None) -> int:
    """Shows the faces of a camera until Ctrl-C, or until it gives no more images. Exit status 0 or NO_FACE.

    Raises:
      UserError: no such camera, one that gives no more images, or a CSV that can't be written.
    """
    name = f"camera {arguments.camera}"
    with contextlib.ExitStack() as stack:
        camera = stack.enter_context(contextlib.closing(Camera(arguments.camera)))
        pipeline = make_run_pipeline(arguments)
        summary = Summary(pipeline.predictor.classes)
        table, tracks = None, TrackState()
        if arguments.csv:
            fields = pipeline.predictor.model.fields
            table = stack.enter_context(VideoTable(arguments.csv, summary.classes, name, None, fields))
        lines = Lines(out or sys.stdout, summary.classes)
        outputs = VideoOutputs(name, summary, table, fields=pipeline.predictor.model.fields)
        stream = stack.enter_context(contextlib.closing(pipeline.run(camera.frames(), tracks, batch=1)))
        asked = False
        try:
            for batch in stream:
                outputs.write(batch, tracks)
                lines.show(batch[0])
        except KeyboardInterrupt:
            asked = True
    print(summary.text())
    if not asked:
        raise UserError(f"{name}: gives no more frames; is it still plugged in?")
    return _status(summary, name)


def make_run_pipeline(arguments: argparse.Namespace) -> VideoPipeline:
    """Return the pipeline of a run's options."""
    options = {name: getattr(arguments, name) for name in ("detector", "align", "equalize", "threads", "output")}
    return make_pipeline(arguments.model, size=_size(arguments), **options)


def _size(arguments: argparse.Namespace) -> int:
    return SIZE if arguments.size is None else arguments.size


def _settings(arguments: argparse.Namespace, name: str, pipeline: VideoPipeline) -> dict[str, Any]:
    """Return all that decides what the rows are."""
    digests = {"video": digest(Path(name)), "model": digest(Path(pipeline.predictor.model.origin))}
    options = {name: getattr(arguments, name) for name in ("detector", "align", "equalize", "output")}
    return {"name": name, **digests, **options, "size": _size(arguments), "version": __version__}


def _continued(table: VideoTable, summary: Summary, alone: bool) -> tuple[TrackState, int]:
    """Return the tracks and the frame to continue with. An annotated video can't be resumed: with it, all begins
    again."""
    if table.known is None:
        return TrackState(), 0
    if not alone:
        print(f"{table.path}: an annotated video can't be continued in its middle; beginning again", file=sys.stderr)
        table.begin()
        return TrackState(), 0
    print(f"{table.path}: resuming with frame {table.start:,}", file=sys.stderr)
    for row in table.past():
        summary.add(row)
    return TrackState.restored(table.known), table.start


@contextlib.contextmanager
def _stop_told(table: VideoTable | None, writer: VideoWriter | None) -> Iterator[None]:
    """After Ctrl-C, says what there is."""
    try:
        yield
    except KeyboardInterrupt:
        saved = [f"{table.path} holds {table.start:,} frames, and the same command resumes it"] if table else []
        saved += [f"{writer.path} holds {writer.frames:,} frames"] if writer else []
        if saved:
            print("; ".join(saved), file=sys.stderr)
        raise


def _status(summary: Summary, name: str) -> int:
    if summary.faces:
        return 0
    print(f"{printable(name)}: no face found", file=sys.stderr)
    return NO_FACE
