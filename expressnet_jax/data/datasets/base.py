"""What every data set is: records in their official order, and the TFDS builder that checks and stores them.

Shapes: H height, W width, C channels, K classes, N examples of a split.
"""

import abc
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from expressnet_jax.data.datasets import FORMAT_VERSION
from expressnet_jax.data.datasets.bad_images import BadImage, refuse, why_bad
from expressnet_jax.data.datasets.split_index import DIGEST, PIXELS, SHAPE, SplitIndex
from expressnet_jax.data.decode import validate_and_encode
from expressnet_jax.data.duplicates import pixel_digest
from expressnet_jax.data.fields import Field
from expressnet_jax.data.fingerprint import files_below
from expressnet_jax.data.prepared import stored_split
from expressnet_jax.data.remarks import LEFT_OUT
from expressnet_jax.data.sound import validate_and_encode_sound
from expressnet_jax.data.tokenizer import validate_and_encode_text
from expressnet_jax.errors import UserError
from expressnet_jax.parallel import parallel_map, work_and_items


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled image as a data set's files give it.

    Attributes:
      key: where it stands in the source: file name or row. It names the record in every message.
      image: encoded bytes, the path of a file, or uint8[H,W] or uint8[H,W,C] pixels (C = 1, or 3 in the order R, G, B).
        Where the builder's MEDIA is "waveform", a sound: bytes, the path of a file, or int16[n];
        where it is "text", that in UTF-8.
      label: 0..K-1, into the builder's CLASSES.
      votes: float32[K], how often annotators chose each class.
      subject: the person's identity, as the data set writes it.
      valence, arousal: -1..1.
      extras: further values, by the names in the builder's COLUMNS.
      sound: where the builder has SOUND, what is heard next to the image: int16[n] at 16 kHz; None of what is mute.
    """

    key: str
    image: bytes | Path | np.ndarray
    label: int
    votes: np.ndarray | None = None
    subject: str = ""
    valence: float = float("nan")
    arousal: float = float("nan")
    extras: Mapping[str, np.ndarray | np.generic] = field(default_factory=dict)
    sound: np.ndarray | None = None


_NUMBERS = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class RecordValidator:
    """A record -> what TFDS stores of it, and its SHAPE, DIGEST and PIXELS; a plain value, so that it can be sent.

    The attributes are those of the builder. Raises UserError where the record is not as they say.
    """

    name: str
    classes: tuple[str, ...]
    channels: int | None
    size: tuple[int, int] | None
    columns: Mapping[str, tuple[tuple[int, ...], Any]]
    media: str = "image"
    sound: bool = False

    def __call__(self, record: Record) -> tuple[dict[str, Any], dict[str, Any]]:
        if not 0 <= record.label < len(self.classes):
            raise UserError(f"{self.name}: {record.key}: label {record.label} is not 0..{len(self.classes) - 1}")
        try:
            encoded, pixels = self.encode(record.image)
        except (UserError, OSError) as error:
            raise BadImage(f"{self.name}: {record.key}", record.key, why_bad(error)) from error
        example = {self.media: encoded, "label": int(record.label), "key": record.key}
        heard = np.zeros(0, "<i2") if record.sound is None else record.sound.astype("<i2")
        if self.sound:
            example["waveform"] = heard.tobytes()
        for name, (shape, dtype) in self.columns.items():
            value = record.extras[name] if name in record.extras else getattr(record, name)
            example[name] = str(value) if dtype is str else np.asarray(value, dtype).reshape(shape)
        digest = hashlib.sha256(np.asarray([record.label, *pixels.shape], "<i4").tobytes())
        digest.update(pixels.tobytes())
        digest.update(heard.tobytes())  # nothing, of what has no sound
        seen = {DIGEST: digest.digest(), PIXELS: pixel_digest(pixels)}
        hashes = {name: np.frombuffer(value, np.uint8) for name, value in seen.items()}
        return example, {SHAPE: np.array(pixels.shape, np.int32)} | hashes

    def encode(self, media: bytes | Path | np.ndarray) -> tuple[bytes, np.ndarray]:
        """Return the bytes to store, and the pixels uint8[H,W,C] or samples int16[n]."""
        if self.media == "waveform":
            return validate_and_encode_sound(media)
        if self.media == "text" and isinstance(media, bytes):
            return validate_and_encode_text(media)
        return validate_and_encode(media, self.channels, self.size)

    def attempt(self, make: Callable[[Any], Record], item: Any) -> tuple[dict[str, Any], dict[str, Any]] | BadImage:
        """Return what the record that `make` makes of an item comes to, or what is wrong with its image."""
        try:
            return self(make(item))
        except BadImage as error:
            return error


class _LocalInfo(tfds.core.DatasetInfo):
    """TFDS's facts about a data set, from this computer alone."""

    def initialize_from_bucket(self) -> None:
        """Do nothing, where TFDS looks for the data set in its cloud bucket and leaves a temporary folder behind."""


class FaceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A data set of faces: its layout on disk -> checked records in ArrayRecord.

    A subclass declares the attributes below and implements `read`. An attribute that depends on an option or on the
    source is a property; `self.source` and `self.options` are there when it is asked for.

    Attributes:
      CLASSES: the class names, in label order.
      MEDIA: what a record is: "image", "waveform" or "text".
      SOUND: whether records of images or clips have sound next to them.
      CHANNELS: 1, 3, or None for whatever the images have.
      SIZE: (height, width) of every image, or None for any.
      LICENSE: on what terms the images may be used, in one sentence.
      HOW_TO_GET: where to ask for them and where to put them; part of the message when they are missing.
      COLUMNS: what a record carries besides image and label, name -> (shape, dtype); `votes`, `subject`, `valence`
        and `arousal` are fields of `Record`, every other name is looked up in its `extras`. dtype `str` is text.
      TARGETS: the columns that are targets and whose names are none of `fields.STANDARD`, or need a mirror, and the
        tokens of a text; a class is -1, another value NaN where an example does not have it.
      OPTIONS: the options that `prepare` accepts, with their defaults.
      FILES: which files may be given instead of a folder: "table" for text, and names of `media_types.identify`.
      NEEDS_SOURCE: False when the images are made, not read.
    """

    if TYPE_CHECKING:  # which TFDS takes out of sight of a type checker

        def __init_subclass__(cls, *, skip_registration: bool = False) -> None: ...

    VERSION = tfds.core.Version(FORMAT_VERSION)
    MANUAL_DOWNLOAD_INSTRUCTIONS = "See HOW_TO_GET of the builder."
    # TFDS searches the builder's folder for checksums of downloads. There are none, and with etils >= 1.15 the search
    # needs importlib_resources, which neither of them installs.
    code_path = None

    CLASSES: ClassVar[tuple[str, ...]]
    MEDIA: ClassVar[str] = "image"
    SOUND: ClassVar[bool] = False
    CHANNELS: ClassVar[int | None] = None
    SIZE: ClassVar[tuple[int, int] | None] = None
    LICENSE: ClassVar[str]
    HOW_TO_GET: ClassVar[str]
    COLUMNS: ClassVar[dict[str, tuple[tuple[int, ...], Any]]] = {}
    TARGETS: ClassVar[dict[str, Field]] = {}
    OPTIONS: ClassVar[dict[str, Any]] = {}
    FILES: ClassVar[tuple[str, ...]] = ()
    NEEDS_SOURCE: ClassVar[bool] = True

    def __init__(self, *, source: Path | None = None, options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self.source: Path = source  # type: ignore[assignment]  # None only where NEEDS_SOURCE is False
        self.options = self.all_options(options or {})
        self.notes: dict[str, Any] = {}  # what `read` wants said in facts.json: rows left out, missing parts
        self.ledgers: dict[str, SplitIndex] = {}
        self.splits_read: tuple[str, ...] = ()
        self.skip_bad = False  # leave out what can't be used, else refuse all of it
        self.refused = False
        self.collect: Callable[[RecordValidator, Iterable[Record]], Any] | None = (
            None  # how TFDS is to have them, if not in turn
        )
        super().__init__(file_format="array_record", **kwargs)

    @classmethod
    def all_options(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given options, and the defaults of all others.

        Raises:
          UserError: an option that the data set does not have, or text where it needs a number or true or false.
        """
        if unknown := given.keys() - cls.OPTIONS.keys():
            valid = ", ".join(cls.OPTIONS) or "none"
            raise UserError(f"{cls.name}: unknown option {', '.join(sorted(unknown))}; the options are: {valid}")
        for option, value in given.items():
            kind = type(cls.OPTIONS[option])
            fits = (int, float) if kind is float else kind
            if kind in _NUMBERS and (not isinstance(value, fits) or isinstance(value, bool) != (kind is bool)):
                raise UserError(f"{cls.name}: {option} is {value}; it must be {_NUMBERS[kind]}")
        return {**cls.OPTIONS, **given}

    @classmethod
    def source_files(cls, source: Path) -> Iterable[Path]:
        """Return the files that `read` looks at: `source` itself, or all that lies below it."""
        return [source] if source.is_file() else files_below(source)

    @abc.abstractmethod
    def read(self, source: Path) -> Mapping[str, Iterable[Record]]:
        """Return the official splits ("train", "validation", "test", or "all"), each in its official order.

        Only splits that exist are keys. `source` is the file or folder that the user named (None if not NEEDS_SOURCE).
        """

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Tell by names alone whether a folder is laid out as this data set is."""
        return False

    def missing(self, what: str) -> UserError:
        """Return the error for a source that is not there: what was looked for, and where to get it."""
        return UserError(f"{self.name}: {what}. {self.HOW_TO_GET}")

    def _info(self) -> tfds.core.DatasetInfo:
        height, width = self.SIZE or (None, None)
        features = {
            self.MEDIA: tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=list(self.CLASSES)),
            "key": tfds.features.Text(),
        }
        if self.MEDIA == "image":
            features["image"] = tfds.features.Image(shape=(height, width, self.CHANNELS or 3))
        if self.SOUND:
            features["waveform"] = tfds.features.Text()
        for name, (shape, dtype) in self.COLUMNS.items():
            text = dtype is str
            features[name] = tfds.features.Text() if text else tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype))
        return _LocalInfo(
            builder=self,
            description=(type(self).__doc__ or self.name).strip(),
            features=tfds.features.FeaturesDict(features),
            license=self.LICENSE,
            disable_shuffling=True,  # record i of a split is the i-th of the official order
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        source = self.source
        if source is None and self.NEEDS_SOURCE:
            source = Path(dl_manager.manual_dir)
        splits = self.read(source)
        self.splits_read = tuple(splits)
        return {stored_split(split): self._generate_examples(split, records) for split, records in splits.items()}

    def _generate_examples(self, split: str, records: Iterable[Record]) -> Any:
        return self.collect(self.check, records) if self.collect else enumerate(self._examples(split, records))

    def _examples(self, split: str, records: Iterable[Record]) -> Iterator[dict[str, Any]]:
        yield from self.examples(split, records)
        self.refuse_bad()

    def examples(self, split: str, records: Iterable[Record]) -> Iterator[dict[str, Any]]:
        """Check the records on all cores, note each in the split's ledger, and yield it as TFDS stores it.

        After the first image that can't be used, unless `skip_bad`, nothing more is yielded, and the rest is only
        searched for others, which `refuse_bad` then names.
        """
        ledger = self.ledgers.setdefault(split, SplitIndex())
        make, items = work_and_items(records)
        for found in parallel_map(partial(self.check.attempt, make), items):
            if isinstance(found, BadImage):
                ledger.add_bad(found.key, found.reason)
                self.refused = not self.skip_bad
            elif not self.refused:
                example, seen = found
                known = {name: value for name, value in example.items() if name not in (self.MEDIA, "waveform")}
                ledger.add(known | seen)
                yield example

    def refuse_bad(self) -> None:
        """Raise a UserError that names every image that can't be used, unless they may be skipped; those are noted."""
        bad = [pair for ledger in self.ledgers.values() for pair in ledger.bad]
        if not self.skip_bad:
            refuse(self.name, bad)
        elif bad:
            self.notes[LEFT_OUT] = self.notes.get(LEFT_OUT, {}) | dict(bad)

    @property
    def check(self) -> RecordValidator:
        """What every record has to pass."""
        stored = (self.CHANNELS, self.SIZE, self.COLUMNS, self.MEDIA, self.SOUND)
        return RecordValidator(self.name, self.CLASSES, *stored)
