"""The commands of `expressnet` about videos: predict, where it is given one, and webcam."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from expressnet_jax import __version__
from expressnet_jax.deploy.annotate import annotate
from expressnet_jax.deploy.video_pipeline import FrameResult, TrackState, VideoPipeline, batch_size, make_pipeline
from expressnet_jax.deploy.video_reader import Camera, Video, VideoWriter
from expressnet_jax.deploy.video_table import Summary, VideoTable, digest, rows
from expressnet_jax.deploy.webcam import Lines
from expressnet_jax.errors import UserError

NO_FACE = 1  # exit status; 0: there was a face; what can't be read is a UserError
SIZE = 320  # pixels that the detector looks at: most videos are of large faces and many frames


def predict_video(arguments: argparse.Namespace) -> int:
    """Exit status 0 or NO_FACE. The summary goes to stdout, progress to a terminal on stderr.

    Raises:
      UserError: what can't be read or written; of a video that is cut short, after all that is there.
    """
    name = _only_video(arguments)
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(contextlib.closing(Video(name)))
        pipeline = _pipeline(arguments)
        summary = Summary(pipeline.predictor.classes)
        tracks, start, table, writer = TrackState(), 0, None, None
        sides: dict[str, int] = {}
        if arguments.annotate:
            writer = stack.enter_context(contextlib.closing(_writer(arguments.annotate, video)))
        if arguments.csv:
            settings = _settings(arguments, video, pipeline)
            table = VideoTable(arguments.csv, pipeline.predictor.classes, name, settings)
            tracks, start = _continued(stack.enter_context(table), summary, alone=writer is None)
        stream = pipeline.run(video.frames(start), tracks, batch_size(video.size), keep_images=writer is not None)
        progress = {"total": video.length or None, "initial": start, "unit": " frames", "leave": False}
        stream = stack.enter_context(contextlib.closing(stream))
        with _stop_told(table, writer), tqdm(disable=None, dynamic_ncols=True, **progress) as bar:
            for batch in stream:
                _record(batch, name, summary, table, tracks)
                for result in batch if writer else ():
                    writer.write(drawn(result, summary.classes, sides))
                bar.update(len(batch))
    print(summary.text())
    for path in filter(None, (arguments.csv, summary.frames and arguments.annotate)):
        print(f"wrote {path}", file=sys.stderr)
    video.check_end(summary.frames)
    return _status(summary, name)


def webcam(arguments: argparse.Namespace, out: Any = None) -> int:
    """Shows the faces of a camera until Ctrl-C, or until it gives no more pictures. Exit status 0 or NO_FACE.

    Raises:
      UserError: no such camera, one that gives no more pictures, or a CSV that can't be written.
    """
    name = f"camera {arguments.camera}"
    with contextlib.ExitStack() as stack:
        camera = stack.enter_context(contextlib.closing(Camera(arguments.camera)))
        pipeline = _pipeline(arguments)
        summary = Summary(pipeline.predictor.classes)
        table, tracks = None, TrackState()
        if arguments.csv:
            table = stack.enter_context(VideoTable(arguments.csv, summary.classes, name, settings=None))
        lines = Lines(out or sys.stdout, summary.classes)
        stream = stack.enter_context(contextlib.closing(pipeline.run(camera.frames(), tracks, batch=1)))
        asked = False
        try:
            for batch in stream:
                _record(batch, name, summary, table, tracks)
                lines.show(batch[0])
        except KeyboardInterrupt:
            asked = True
    print(summary.text())
    if not asked:
        raise UserError(f"{name}: gives no more pictures; is it still plugged in?")
    return _status(summary, name)


def drawn(result: FrameResult, classes: Sequence[str], sides: dict[str, int]) -> np.ndarray:
    """A frame's uint8[H,W,3] with its faces' boxes, the numbers of their tracks and smoothed probabilities.

    `sides` is `annotate`'s, the same for all frames of a video.
    """
    faces = result.faces
    named = [dict(zip(classes, face.smoothed.tolist(), strict=True)) for face in faces]
    titles = [str(face.track or "") for face in faces]
    labels = [classes[face.label] for face in faces]
    return annotate(result.frame.image, [face.found.box for face in faces], named, titles, labels, sides)


def _record(
    batch: Sequence[FrameResult], name: str, summary: Summary, table: VideoTable | None, tracks: TrackState
) -> None:
    some = [row for result in batch for row in rows(result, summary.classes, name)]
    for row in some:
        summary.add(row)
    if table:
        table.write(some, tracks, batch[-1].frame.number + 1)


def _only_video(arguments: argparse.Namespace) -> str:
    """The video's name.

    Raises:
      UserError: more than a video, or an option that is for pictures.
    """
    if len(arguments.pictures) > 1:
        raise UserError("a video is predicted by itself; give one video and no pictures beside it")
    if arguments.save:
        raise UserError("--save is for pictures; --annotate FILE.mp4 writes the video with boxes")
    if arguments.json:
        raise UserError("--json is for pictures; --csv FILE.csv writes a row for every face of a video")
    return arguments.pictures[0]


def _pipeline(arguments: argparse.Namespace) -> VideoPipeline:
    options = {name: getattr(arguments, name) for name in ("detector", "align", "equalize", "threads")}
    return make_pipeline(arguments.model, size=_size(arguments), **options)


def _size(arguments: argparse.Namespace) -> int:
    return SIZE if arguments.size is None else arguments.size


def _writer(path: Path, video: Video) -> VideoWriter:
    if path.exists() and path.samefile(video.path):
        raise UserError(f"{path}: the video itself; give another name to --annotate")
    return VideoWriter(path, video.rate, video.size)


def _settings(arguments: argparse.Namespace, video: Video, pipeline: VideoPipeline) -> dict[str, Any]:
    """All that decides what the rows are."""
    digests = {"video": digest(video.path), "model": digest(Path(pipeline.predictor.model.origin))}
    options = {name: getattr(arguments, name) for name in ("detector", "align", "equalize")}
    return {"name": arguments.pictures[0], **digests, **options, "size": _size(arguments), "version": __version__}


def _continued(table: VideoTable, summary: Summary, alone: bool) -> tuple[TrackState, int]:
    """The tracks and the frame to go on with. An annotated video is one piece: with it, all begins again."""
    if not table.start:
        return TrackState(), 0
    if not alone:
        print(f"{table.path}: an annotated video can't be continued in its middle; beginning again", file=sys.stderr)
        table.begin()
        return TrackState(), 0
    print(f"{table.path}: going on with frame {table.start:,}", file=sys.stderr)
    for row in table.past():
        summary.add(row)
    return TrackState.restored(table.known), table.start


@contextlib.contextmanager
def _stop_told(table: VideoTable | None, writer: VideoWriter | None) -> Iterator[None]:
    """After Ctrl-C, says what there is."""
    try:
        yield
    except KeyboardInterrupt:
        told = [f"{table.path} holds {table.start:,} frames, and the same command goes on"] if table else []
        told += [f"{writer.path} holds {writer.frames:,} frames"] if writer else []
        if told:
            print("; ".join(told), file=sys.stderr)
        raise


def _status(summary: Summary, name: str) -> int:
    if summary.faces:
        return 0
    print(f"{name}: no face found", file=sys.stderr)
    return NO_FACE
