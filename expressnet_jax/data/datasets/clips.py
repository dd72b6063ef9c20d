"""What the data sets of clips have in common: a label and a source of frames for each, read while they are stored."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from expressnet_jax.data import clip_frames
from expressnet_jax.data.clip_frames import USUAL_RATE, Box, ClipShape, Source, read_clip
from expressnet_jax.data.datasets.bad_images import BadImage
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.media_files import media_kind, no_litter
from expressnet_jax.data.sound import RATE
from expressnet_jax.data.sound_track import find_sound_track, import_av
from expressnet_jax.errors import UserError
from expressnet_jax.parallel import InOrder


@dataclass(frozen=True)
class Clip:
    """A labelled source of frames.

    Its attributes are those of `Record`, the part of a frame that is the face, how many frames a second its folder of
    frames has, and the video whose sound is stored with it.
    """

    key: str
    source: Source
    label: int
    subject: str = ""
    box: Box | None = None
    extras: Mapping[str, np.generic] | None = None
    rate: float = USUAL_RATE
    sound: Path | None = None


CLIP_COLUMNS: dict[str, tuple[tuple[int, ...], Any]] = {"frame_rate": ((), np.float32)}  # frames of a clip a second


class ClipBuilder(FaceBuilder, skip_registration=True):
    """A data set of clips of equally many frames; a subclass implements `clips`."""

    CHANNELS = 3
    OPTIONS: ClassVar[dict[str, Any]] = clip_frames.OPTIONS
    COLUMNS: ClassVar = CLIP_COLUMNS

    @cached_property
    def shape(self) -> ClipShape:
        """What the options ask for."""
        return ClipShape.of(self.options, self.name)

    @property
    def SIZE(self) -> tuple[int, int]:
        return self.shape.stored

    @abc.abstractmethod
    def clips(self, source: Path) -> Mapping[str, Sequence[Clip]]:
        """Return the clips of each official split, or of "all"."""

    @property
    def SOUND(self) -> bool:
        """Whether the sound of the videos is asked for."""
        return wants_sound(self.options)

    def read(self, source: Path) -> Mapping[str, Sequence[Record]]:
        """Return the records, each made when it is asked for."""
        self.notes |= clip_notes(self.shape, self.SOUND)
        return {split: clip_records(self.name, clips, self.shape) for split, clips in self.clips(source).items()}


def wants_sound(options: Mapping[str, Any]) -> bool:
    """Return whether the option `sound` of a data set of videos is on.

    Raises:
      UserError: it is, and a package for it is missing.
    """
    if options.get("sound"):
        import_av()
    return bool(options.get("sound"))


def clip_notes(shape: ClipShape, sound: bool) -> dict[str, Any]:
    """Return what facts.json says of clips."""
    return {"frames": shape.frames} | ({"with_sound": RATE} if sound else {})


def clip_records(name: str, clips: Sequence[Clip], shape: ClipShape) -> Sequence[Record]:
    """Return the records of a data set `name`, read on all cores while they are asked for."""
    return InOrder(partial(_record, name, shape), clips)


def _record(name: str, shape: ClipShape, clip: Clip) -> Record:
    try:
        pixels, rate, span = read_clip(clip.source, shape, clip.key, clip.box, clip.rate)
        heard = _heard(clip.sound, *span) if clip.sound else None
    except (UserError, OSError) as error:
        raise BadImage(f"{name}: {clip.key}", clip.key, str(error)) from error
    extras = {**(clip.extras or {}), "frame_rate": np.float32(rate)}
    return Record(clip.key, pixels, clip.label, subject=clip.subject, extras=extras, sound=heard)


def _heard(video: Path, start: float, end: float) -> np.ndarray | None:
    """Return the sound of a stretch of a video in seconds, int16[n]; None where there is none, or silence alone."""
    samples = find_sound_track(video)
    part = None if samples is None else samples[round(start * RATE) : round(end * RATE)]
    return part if part is not None and part.any() else None


def frame_source(path: Path) -> Source | None:
    """Return a video, or the frames of a folder in the order of their names; None of anything else."""
    if path.is_dir():
        frames = sorted(file for file in no_litter(path.iterdir()) if file.is_file() and media_kind(file) == "image")
        return tuple(frames) or None
    return path if path.is_file() and media_kind(path) == "video" else None
