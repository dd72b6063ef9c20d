"""Frames -> faces with numbers and smoothed probabilities: the pipeline that videos and cameras share.

Reading, finding and cutting faces, and predicting run in threads of their own, with short queues between them: OpenCV,
FFmpeg and ONNX Runtime work without Python's lock, and however long a video is, few of its frames are in memory.

Shapes: N faces, S pixels a side of a face, C channels, K classes.
"""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from expressnet_jax.environment import thread_count
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.detector import Detector, make_detector
from expressnet_jax.inference.face_finder import FaceFinder, FrameFaces
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.inference.smoothing import Smoother
from expressnet_jax.inference.tracking import Tracker
from expressnet_jax.inference.video_reader import NO_PIXELS, Frame

BATCH, PIXELS = 8, 16_000_000  # frames of a batch, and pixels of all of them together, at most
FACES = 8  # that the network is shown at once; more are hardly quicker on a CPU
DEPTH = 1  # batches that wait between two threads
_PAUSE = 0.1  # seconds until a waiting thread looks whether it is to stop

T = TypeVar("T")


class TrackedFace(NamedTuple):
    """A face in a frame.

    Attributes:
      track: its number; 0 of a face that was not seen often enough yet.
      found: where it is.
      raw, smoothed: probabilities float[K] of this frame alone, and of the track up to it.
      label: the class to show: smoothed, with hysteresis; of a face without a number, the likeliest.
      outputs: what else the network gives in this frame, as `Face.outputs`.
    """

    track: int
    found: Detection
    raw: np.ndarray
    smoothed: np.ndarray
    label: int
    outputs: Mapping[str, Any] = MappingProxyType({})


class FrameResult(NamedTuple):
    """A frame and its faces."""

    frame: Frame
    faces: list[TrackedFace]


class TrackState:
    """What is known of the faces so far: the tracker, and a smoother for each track."""

    def __init__(self) -> None:
        self.tracker = Tracker()
        self.smoothers: dict[int, Smoother] = {}
        self.time = 0.0

    def update(self, seen: FrameFaces) -> FrameResult:
        """Add the next frame; call it in the order of time."""
        elapsed = max(seen.frame.time - self.time, 1e-3)  # the first frame has none before it
        self.time = seen.frame.time
        numbers = self.tracker.update([found.box for found in seen.found], elapsed)
        outputs = [{}] * len(numbers) if seen.outputs is None else seen.outputs
        faces = [
            TrackedFace(number, found, row, *self._smooth(number, row), further)
            for number, found, row, further in zip(numbers, seen.found, seen.probabilities, outputs, strict=True)
        ]
        self.smoothers = {number: self.smoothers[number] for number in sorted(self.tracker.numbers)}
        return FrameResult(seen.frame, faces)

    def _smooth(self, number: int, row: np.ndarray) -> tuple[np.ndarray, int]:
        smoother = self.smoothers.setdefault(number, Smoother()) if number else Smoother()
        return smoother.update(row, self.time)

    def state(self) -> dict[str, Any]:
        """Return all that it knows, in JSON's types."""
        smoothers = {str(number): smoother.state() for number, smoother in self.smoothers.items()}
        return {"tracker": self.tracker.state(), "smoothers": smoothers, "time": self.time}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "TrackState":
        """Return one that continues from `state`."""
        tracks = cls()
        tracks.tracker = Tracker.restored(state["tracker"])
        tracks.smoothers = {int(n): Smoother.restored(known) for n, known in state["smoothers"].items()}
        tracks.time = state["time"]
        return tracks


class VideoPipeline(FaceFinder):
    """Finds, cuts and predicts the faces of frames."""

    def __init__(self, predictor: Predictor, detectors: Sequence[Detector]):
        super().__init__(predictor, detectors)
        self.predictor = predictor

    def run(
        self, frames: Iterable[Frame], tracks: TrackState, batch: int = BATCH, keep_images: bool = False
    ) -> Generator[list[FrameResult]]:
        """Yield frames with their faces, a batch at a time, in order. Images are dropped unless `keep_images`.

        `tracks` has seen what is yielded, and no more. Batches depend on the frames' order alone.
        """
        with self.pool() as pool:
            find = lambda some: list(pool.map(lambda frame: self.find(frame, keep_images), some))
            predict = lambda some: self.predict(some, pool)
            with contextlib.closing(threaded_pipeline(batches(frames, batch), find, predict)) as stream:
                for seen in stream:
                    yield [tracks.update(each) for each in seen]

    def predict(self, batch: list[FrameFaces], pool: Executor) -> list[FrameFaces]:
        """Predict the faces of several frames, FACES of them at a time."""
        faces = np.concatenate([seen.faces for seen in batch])
        parts = [faces[i : i + FACES] for i in range(0, len(faces), FACES)] or [faces]
        found = list(pool.map(self.predictor.answers, parts))
        rows = np.concatenate([part[0] for part in found])
        further = {name: np.concatenate([part[1][name] for part in found]) for name in found[0][1]}
        described = self.predictor.describe_further(further, [place for seen in batch for place in seen.places])
        ends = np.cumsum([len(seen.places) for seen in batch])
        starts = [0, *ends[:-1]]
        each = zip(batch, np.split(rows, ends[:-1]), starts, ends, strict=True)
        return [
            seen._replace(faces=NO_PIXELS, probabilities=own, outputs=described[start:end])
            for seen, own, start, end in each
        ]


def make_pipeline(model: str, *, detector: str, threads: int = 0, **options: Any) -> VideoPipeline:
    """Make a pipeline; `options` are the Predictor's. threads 0: one for each core.

    Raises:
      UserError: as of Predictor.
    """
    workers = thread_count(threads)
    predictor = Predictor(model, detector=detector, threads=1, **options)
    more = [make_detector(detector, size=options["size"], threads=1) for _ in range(workers - 1)]
    return VideoPipeline(predictor, [predictor.detector, *more])


def batch_size(size: tuple[int, int]) -> int:
    """Return how many frames of `size` (width, height) that make a batch: fewer of large ones, so that memory does not
    grow."""
    return int(np.clip(PIXELS // max(size[0] * size[1], 1), 1, BATCH))


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def threaded_pipeline(items: Iterable[Any], *stages: Callable[[Any], Any], depth: int = DEPTH) -> Generator[Any]:
    """Pass every item through all stages, in order; reading the items and each stage is a thread's work.

    At most `depth` wait between two threads. When the caller stops, so do they; what one raises is raised here, after
    all that came before it.

    Raises:
      UserError: a thread ended with any error.
    """
    stop = threading.Event()
    stream, threads = _ahead(iter(items), depth, stop)
    for stage in stages:
        stream, more = _ahead(map(stage, stream), depth, stop)
        threads += more
    try:
        yield from stream
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"stopped by {type(error).__name__}: {one_line(error)}") from error
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class _End(NamedTuple):
    """No more items, because of an error or because there are none."""

    error: BaseException | None = None


def _ahead(items: Iterator[Any], depth: int, stop: threading.Event) -> tuple[Iterator[Any], list[threading.Thread]]:
    """Yield the same items, pulled by a thread into a queue."""
    waiting: queue.Queue[Any] = queue.Queue(depth)

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                return waiting.put(item, timeout=_PAUSE)
            except queue.Full:
                pass

    def pull() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(_End())
        except BaseException as error:  # a thread that ends without a word would be waited for in vain
            put(_End(error))

    def drain() -> Iterator[Any]:
        while not stop.is_set():
            try:
                item = waiting.get(timeout=_PAUSE)
            except queue.Empty:
                continue
            if isinstance(item, _End):
                if item.error:
                    raise item.error
                return
            yield item

    thread = threading.Thread(target=pull, daemon=True)
    thread.start()
    return drain(), [thread]
