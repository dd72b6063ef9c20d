"""Videos -> the label that annotators would give to what each face shows over a stretch of time, without JAX.

    >>> from expressnet_jax.inference.clip_predictor import ClipPredictor
    >>> for answer in ClipPredictor("clips.onnx")("talk.mp4"):
    ...     print(answer.track, answer.start, answer.end, answer.label)

Shapes: T frames of a clip, S pixels a side, C channels, K classes, W windows.
"""

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from expressnet_jax.data.fields import EXPRESSION
from expressnet_jax.environment import thread_count
from expressnet_jax.errors import UserError
from expressnet_jax.inference.clip_windows import Sighting, TrackWindows, Window
from expressnet_jax.inference.crop import find_place
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.detector import DEFAULT, make_detector
from expressnet_jax.inference.face_cutter import FaceCutter
from expressnet_jax.inference.face_finder import FaceFinder, FrameFaces
from expressnet_jax.inference.further import describe_outputs
from expressnet_jax.inference.model_inputs import clip_field, refuse_further
from expressnet_jax.inference.predictor import Answer, load_model
from expressnet_jax.inference.sound_windows import SoundWindows
from expressnet_jax.inference.tracking import Tracker
from expressnet_jax.inference.video_pipeline import batch_size, batches, threaded_pipeline
from expressnet_jax.inference.video_reader import Frame, Video

USUAL_RATE = 12.5  # frames a second of clips whose model says nothing of it: every second frame of most videos
SIZE = 320  # pixels that the detector looks at, as for other videos


@dataclass(frozen=True)
class ClipAnswer(Answer):
    """What a model predicts for one face from `start` to `end` in seconds.

    Attributes:
      track: the face's number through the video.
      found: where it is in the middle of that time.
      probabilities: of each class, by name.
      outputs: what else the network gives, as `Face.outputs`.
    """

    track: int
    start: float
    end: float
    found: Detection
    probabilities: dict[str, float]
    outputs: dict[str, Any] = field(default_factory=dict)


class ClipFrame(NamedTuple):
    """A frame with its faces, their tracks' numbers, and the answers that were complete with it.

    `frame` is None behind the last one, with the answers of the tracks that ended there.
    """

    frame: Frame | None
    found: Sequence[Detection]
    numbers: Sequence[int]
    answers: list[ClipAnswer]


class ClipTracks:
    """Follows the faces of a video and collects the windows of each."""

    def __init__(self, frames: int, rate: float):
        self.tracker = Tracker()
        self.frames, self.rate, self.time = frames, rate, 0.0
        self.windows: dict[int, TrackWindows] = {}

    def update(self, seen: FrameFaces) -> tuple[list[int], list[Window]]:
        """Return the number of each face of the next frame, 0 of one not seen often enough yet, and the windows that
        are complete."""
        elapsed = max(seen.frame.time - self.time, 1e-3)
        self.time = seen.frame.time
        numbers = self.tracker.update([found.box for found in seen.found], elapsed)
        done = [window for number in self._lost() for window in self._end(number)]
        for number, found, face in zip(numbers, seen.found, seen.faces, strict=True):
            if number:
                track = self.windows.setdefault(number, TrackWindows(number, self.frames, self.rate))
                done += track.add(Sighting(self.time, found, face.copy()))
        return numbers, done

    def end(self) -> list[Window]:
        """Return what is left of all tracks when the video has ended."""
        return [window for number in sorted(self.windows) for window in self._end(number)]

    def _lost(self) -> list[int]:
        return sorted(self.windows.keys() - self.tracker.numbers)

    def _end(self, number: int) -> list[Window]:
        return self.windows.pop(number).end()


class ClipPredictor(FaceCutter):
    """Finds faces in a video, follows them, and predicts each one stretch by stretch by a network of clips.

    A window has T frames at the rate of the clips that the network was trained on; windows of a track overlap by half,
    see `clip_windows`. A network that takes sound as well hears that of the same time.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        detector: str = DEFAULT,
        size: int = SIZE,
        align: bool = True,
        equalize: bool = False,
        threads: int = 0,
        output: str = EXPRESSION,
        clip_rate: float = 0.0,
    ):
        """`model` is a file of `expressnet export`; `clip_rate` frames a second, 0: what the file says; the rest is as
        of Predictor.

        Raises:
          UserError: it is no such file, or takes no clips, or what Predictor raises.
        """
        self.model = load_model(model, threads, output)
        clip = clip_field(self.model)
        if clip is None:
            raise UserError(f"model: {model} takes no clips; give a file of expressnet export of a network of clips")
        self.may_miss = self.model.metadata.get("missing_inputs") == "true"
        refuse_further(self.model, str(model), ("clip", "waveform"), "a video")
        self.sound = self.model.inputs.get("waveform")
        self.frames, self.stated_rate = clip.shape[0], clip_rate or clip.rate
        self.rate = self.stated_rate or USUAL_RATE
        detectors = [make_detector(detector, size=size, threads=1) for _ in range(thread_count(threads))]
        super().__init__(detectors[0], clip.shape[1:], align=align, equalize=equalize)
        self.finder = FaceFinder(self, detectors)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.model.classes

    def __call__(self, video: str | Path) -> list[ClipAnswer]:
        """Predict a video: its answers by the time at which they are complete; empty if there is no face in it.

        Raises:
          UserError: it can't be read.
        """
        with contextlib.closing(Video(video)) as read:
            return [answer for seen in self.run(read) for answer in seen.answers]

    def run(self, video: Video, keep_images: bool = False) -> Generator[ClipFrame]:
        """Yield every frame with its faces and the answers that are complete; images are dropped unless
        `keep_images`. However long the video is, few of its frames are in memory."""
        tracks = ClipTracks(self.frames, self.rate)
        with contextlib.ExitStack() as stack:
            sound = self._open_sound(video.path, stack)
            for seen in self._found(video.frames(), batch_size(video.size), keep_images):
                numbers, windows = tracks.update(seen)
                yield ClipFrame(seen.frame, seen.found, numbers, self.answers(windows, sound))
            yield ClipFrame(None, (), (), self.answers(tracks.end(), sound))

    def _open_sound(self, path: Path, stack: contextlib.ExitStack) -> SoundWindows | None:
        """Return the sound of a video where the network takes some.

        Raises:
          UserError: it has none, and the network can't do without.
        """
        if self.sound is None:
            return None
        sound = stack.enter_context(contextlib.closing(SoundWindows(path)))
        if not sound.present and not self.may_miss:
            raise UserError(
                f"{path}: the video has no sound track, which the model needs; train it with model.modality_dropout to"
                " do without"
            )
        return sound

    def _found(self, frames: Iterable[Frame], batch: int, keep_images: bool) -> Iterator[FrameFaces]:
        find = partial(self.finder.find, keep_image=keep_images)
        with self.finder.pool() as pool:
            stream = threaded_pipeline(batches(frames, batch), lambda some: list(pool.map(find, some)))
            with contextlib.closing(stream) as found:
                for some in found:
                    yield from some

    def answers(self, windows: Sequence[Window], sound: SoundWindows | None = None) -> list[ClipAnswer]:
        """Return what the network predicts for W windows, in their order; `sound` is that of the video."""
        return [self._answer(window, sound) for window in windows]

    def _answer(self, window: Window, sound: SoundWindows | None) -> ClipAnswer:
        probabilities, further = self.model.answers(self._inputs(window, sound))
        _, _, width, height = map(round, window.middle.box)  # of a detector that finds none, those of the image
        place = find_place((height, width, 3), window.middle, self.detector.margin, align=self.align)
        outputs = describe_outputs({name: values[0] for name, values in further.items()}, self.model.fields, place)
        named = dict(zip(self.classes, probabilities[0].tolist(), strict=True))
        return ClipAnswer(window.track, window.start, window.end, window.middle, named, outputs)

    def _inputs(self, window: Window, sound: SoundWindows | None) -> np.ndarray | dict[str, np.ndarray]:
        """Return what the network takes, a batch of one; sound that isn't there is silence, as in training."""
        clip = window.clip[None]
        if not self.model.inputs:
            return clip
        heard = {}
        if self.sound and sound:
            end = window.end + 1 / self.rate
            heard = {"waveform": sound.window(window.start, end, self.sound.shape[0])[None]}
        return {"clip": clip} | heard
