"""Predict every input of a run in its order; what can't be read is one line, and the others are predicted."""

import argparse
import contextlib
import sys
import tempfile
from collections import Counter
from functools import cached_property
from pathlib import Path

from PIL import Image

from expressnet_jax.errors import UserError, printable
from expressnet_jax.inference import outputs
from expressnet_jax.inference.images import load_image
from expressnet_jax.inference.inputs import Inputs, Source, find_inputs
from expressnet_jax.inference.model_inputs import model_inputs
from expressnet_jax.inference.output_files import (
    OutputError,
    OutputNames,
    Saver,
    TableError,
    identity,
    new_file,
    print_result,
)
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.inference.sound_commands import are_sounds, predict_sounds
from expressnet_jax.inference.text_commands import predict_texts

NO_FACE, UNREADABLE = 1, 2  # exit statuses; 0: every input was read and had a face
_ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF")


def predict_inputs(arguments: argparse.Namespace) -> int:
    """Predict images and videos, or what else the model takes; return the highest exit status.

    One video by itself has the CSV of videos, which an interrupted run continues, and images alone have theirs; both
    together, several videos or a folder with a video have one table of both kinds.

    Raises:
      UserError: nothing is there, an option that doesn't fit the inputs, or a table that can't be written.
    """
    taken = model_inputs(arguments.model)
    if "tokens" in taken and "waveform" not in taken:
        return predict_texts(arguments)
    with tempfile.TemporaryDirectory() as streams:
        inputs = find_inputs(arguments.inputs, Path(streams))
        if "clip" in taken:
            return _predict_clips(arguments, inputs)
        if arguments.clip_rate:
            raise UserError("--clip-rate: is for a --model of clips, which shows a network several frames at once")
        if "waveform" in taken or are_sounds(inputs.sources):
            return predict_sounds(arguments, inputs.sources)
        _check_options(arguments, inputs)
        if len(inputs.sources) == 1 and not inputs.searched and inputs.sources[0].kind == "video":
            return _predict_one_video(arguments, inputs)
        for line in inputs.describe_left_out():
            print(line, file=sys.stderr)
        return _InputRun(arguments, inputs).run()


def _predict_one_video(arguments: argparse.Namespace, inputs: Inputs) -> int:
    from expressnet_jax.inference.video_commands import predict_video

    source, names = inputs.sources[0], _annotated_names(arguments, inputs)
    return predict_video(arguments, source.name, names.name(source.shown) if names else None, shown=source.shown)


def _predict_clips(arguments: argparse.Namespace, inputs: Inputs) -> int:
    from expressnet_jax.inference.clip_commands import predict_clips

    _check_options(arguments, inputs)
    for line in inputs.describe_left_out():
        print(line, file=sys.stderr)
    return predict_clips(arguments, inputs.sources, _annotated_names(arguments, inputs))


def _check_options(arguments: argparse.Namespace, inputs: Inputs) -> None:
    kinds = {source.kind for source in inputs.sources}
    if arguments.annotate and kinds == {"image"}:
        raise UserError("--annotate is for videos; --save writes images with boxes")
    if arguments.save and kinds == {"video"}:
        raise UserError("--save is for images; --annotate writes videos with boxes")
    if arguments.csv and arguments.csv in (arguments.save, arguments.annotate):
        raise UserError(f"--csv: {arguments.csv}: the name of another output, too; give another")
    if arguments.csv and identity(arguments.csv) in {identity(source.name) for source in inputs.sources} - {None}:
        raise UserError(f"--csv: {arguments.csv}: one of the inputs, or something else is there; give another name")


def _annotated_names(arguments: argparse.Namespace, inputs: Inputs) -> OutputNames | None:
    """Return the names of the videos with boxes; None if they aren't wanted."""
    if not arguments.annotate:
        return None
    where, files = arguments.annotate, [source.name for source in inputs.sources]
    several = sum(source.kind == "video" for source in inputs.sources) > 1
    folder = where.is_dir() or not where.suffix
    if several and not folder:
        raise UserError(f"--annotate: {where}: several videos; give a folder")
    return OutputNames("--annotate", where, suffix=".mp4", folder=folder, inputs=files)


class _InputRun:
    """A run over images and videos with what they share: the network, the detectors, the table, names of outputs."""

    def __init__(self, arguments: argparse.Namespace, inputs: Inputs):
        self.arguments, self.inputs = arguments, inputs
        names = [source.name for source in inputs.sources]
        images = sum(source.kind == "image" for source in inputs.sources)
        self.only_images = images == len(names)
        self.saver = None
        if arguments.save:
            several = images > 1 or bool(inputs.searched) or (len(names) > 1 and not arguments.save.suffix)
            self.saver = Saver(arguments.save, several=several, inputs=names)
        self.annotated = _annotated_names(arguments, inputs)
        self.table: outputs.Csv | outputs.MediaCsv | None = None
        self.counts: Counter[str] = Counter()

    @cached_property
    def predictor(self) -> Predictor:
        names = ("detector", "size", "align", "equalize", "threads", "output")
        given = {name: getattr(self.arguments, name) for name in names if getattr(self.arguments, name) is not None}
        return Predictor(self.arguments.model, **given)

    @cached_property
    def pipeline(self):
        from expressnet_jax.inference.video_commands import make_run_pipeline

        return make_run_pipeline(self.arguments)

    def run(self) -> int:
        """Predict all inputs; return the exit status."""
        first = self.predictor if self.inputs.sources[0].kind == "image" else self.pipeline.predictor
        status = 0
        with contextlib.ExitStack() as stack:
            if self.arguments.csv:
                form = outputs.Csv if self.only_images else outputs.MediaCsv
                self.table = form(stack.enter_context(new_file(self.arguments.csv)), first.classes, first.model.fields)
            for source in self.inputs.sources:
                status = max(status, self._predict(source))
        if self.inputs.searched:
            print(self.inputs.summary(self.counts), file=sys.stderr)
        return status

    def _predict(self, source: Source) -> int:
        """Predict one input; return its exit status."""
        if source.kind == "image":
            return self._predict_image(source)
        try:
            return self._predict_video(source)
        except TableError:
            raise
        except OutputError as error:
            self._say(source, error)
            if isinstance(self.table, outputs.MediaCsv):
                self.table.mark(source.shown, "unfinished")
            self.counts["video"] += 1
            return UNREADABLE
        except UserError as error:
            return self._unreadable(source, error)

    def _predict_video(self, source: Source) -> int:
        from expressnet_jax.inference.video_commands import SharedOutputs, TruncatedVideo, predict_video

        path = self.annotated.name(source.shown) if self.annotated else None
        table = self.table if isinstance(self.table, outputs.MediaCsv) else None
        shared = SharedOutputs(self.pipeline, table)
        try:
            status = predict_video(self.arguments, source.name, path, shared, source.shown)
        except TruncatedVideo as error:
            self._say(source, error)
            if table:
                table.mark(source.shown, "truncated")
            status = UNREADABLE
        self.counts["video"] += 1
        return status

    def _predict_image(self, source: Source) -> int:
        try:
            image = load_image(source.name, source.shown)
        except UserError as error:
            return self._unreadable(source, error)
        faces = self.predictor.describe(image, self.predictor.detector.find(image))
        status = 0 if faces else NO_FACE
        if self.saver:
            try:
                print(
                    f"wrote {printable(self.saver.save(source.name, image, faces, self.predictor.model.fields))}",
                    file=sys.stderr,
                )
            except UserError as error:
                self._say(source, error)
                status = UNREADABLE
        _remark_animation(source)
        form = outputs.json_line if self.arguments.json else outputs.table
        print_result(form(source.shown, faces))
        if self.table:
            self.table.write(source.shown, faces)
        self.counts["image"] += 1
        return status

    def _unreadable(self, source: Source, error: UserError) -> int:
        """Say what is wrong with an input wherever the others are written; return its exit status."""
        self._say(source, error)
        self.counts["unreadable"] += 1
        if self.arguments.json:
            kind = "video" if source.kind == "video" else "image"
            print_result(outputs.json_error(source.shown, str(error), kind))
        if self.table:
            self.table.write(source.shown, None)
        return UNREADABLE

    def _say(self, source: Source, error: UserError) -> None:
        print(f"error: {printable(str(error).replace(source.name, source.shown))}", file=sys.stderr)


def _remark_animation(source: Source) -> None:
    """Say that of an animation only the first image is predicted."""
    try:
        with Image.open(source.name, formats=_ANIMATIONS) as image:
            frames = getattr(image, "n_frames", 1) if getattr(image, "is_animated", False) else 1
    except Exception:  # no such format, as with most images, or damaged behind its first image
        return
    if frames > 1:
        remark = f"an animation of {frames:,} images; the first is predicted, as a video all would be"
        print(f"{printable(source.shown)}: {remark}", file=sys.stderr)
