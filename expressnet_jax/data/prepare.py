"""Once: what people have on disk -> checked ArrayRecord, with facts and an index (see `prepared`)."""

import errno
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from expressnet_jax.data import store
from expressnet_jax.data.datasets import DATASETS, builder_class
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.locate import refuse_wrong_file
from expressnet_jax.data.datasets.split_index import SplitIndex
from expressnet_jax.data.fingerprint import content_identity, source_fingerprint
from expressnet_jax.data.media_files import missing
from expressnet_jax.data.prepared import Prepared, Split, stored_split
from expressnet_jax.data.readers import only_one
from expressnet_jax.data.remarks import named_left_out
from expressnet_jax.data.store import Origin, default_data_dir, load
from expressnet_jax.data.with_beam import write_with_beam
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.io import write_arrays
from expressnet_jax.process import expanded

__all__ = ["Prepared", "Split", "default_data_dir", "load", "prepare"]

EXAMPLES_PER_FILE = 16_384
EXAMPLES_PER_WRITE = 512
ORIGIN = "origin.json"  # in the hidden folder: of what it is
NAMED_BY_USER = (
    "folder",
    "identity",
    "meshes",
    "synthetic",
)  # several of these can lie side by side, by their option `name`


def prepare(
    dataset: str,
    /,
    source: Path | None,
    data_dir: Path,
    overwrite: bool = False,
    beam: Sequence[str] | None = None,
    skip_bad: bool = False,
    **options: Any,
) -> Prepared:
    """Read a data set's official layout, check every image, and store all of it below `data_dir`, by its content.

    What was prepared before from the same files with the same options is returned as it is, unless `overwrite`; other
    content comes to lie next to it. Nothing is visible under its name until everything is written. A run that was
    killed leaves its complete files of EXAMPLES_PER_FILE images in a hidden folder, and the same call resumes after
    them. Of two calls at once with the same source, the second one waits.
    With `beam`, options of an Apache Beam pipeline, that writes it on its machines, and a killed run starts again.
    An image that can't be used ends it, after all such images are found and named; with `skip_bad` they are left out.
    The data sets of NAMED_BY_USER have the option `name`: what it is stored and loaded as.
    """
    data_dir, source = expanded(data_dir), None if source is None else expanded(source)
    name = _stored_as(dataset, options)
    if skip_bad and beam is not None:
        raise UserError("--skip_bad: not with --beam, whose machines don't know how many others have left out")
    cls = _checked_class(dataset, source)
    options = cls.all_options(options)
    with _disk_errors(data_dir):
        origin = _origin(dataset, cls, source, options)
        if not overwrite and (found := _found(name, data_dir, origin)):
            return found
        with _stage(data_dir, name, origin) as stage:
            if not overwrite and (found := _found(name, data_dir, origin)):  # the one that was waited for made it
                return found
            if before := store.changed_since(name, data_dir, origin):
                print(f"{name}: {source} has changed since it was prepared as {name}@{before}", file=sys.stderr)
            _begin(stage, origin, overwrite or beam is not None)
            builder = cls(data_dir=stage, source=source, options=options)
            identity = _write(builder, dataset, source, beam, skip_bad)
            if overwrite or not store.with_identity(name, data_dir, identity):
                store.adopt(stage / name, data_dir / name / identity, overwrite)
            store.remember(name, data_dir, origin, identity)
            shutil.rmtree(stage)
            if before:
                _tell_change(name, before, identity)
    return store.load(f"{name}@{identity}", data_dir)


def _found(name: str, data_dir: Path, origin: Origin) -> Prepared | None:
    """Return the set that was made of these files, which is then the last prepared one of its name."""
    found = store.find(name, data_dir, origin)
    if found:
        with suppress(OSError):  # on a disk that can only be read, it is found all the same
            store.remember(name, data_dir, origin, found.identity)
    return found


def _stored_as(dataset: str, options: dict[str, Any]) -> str:
    name = options.get("name", dataset) if dataset in NAMED_BY_USER else dataset
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise UserError(f"name {name!r}: use lower-case letters, digits and _, beginning with a letter")
    if name != dataset and name in DATASETS:
        raise UserError(f"name {name!r} belongs to another data set; choose another --name")
    return name


def _checked_class(dataset: str, source: Path | None) -> type[FaceBuilder]:
    cls = builder_class(dataset)
    if cls.NEEDS_SOURCE and source is None:
        raise UserError(f"{dataset}: no source given. {cls.HOW_TO_GET}")
    if source is not None and not source.exists():
        raise UserError(f"{dataset}: {source}: {missing(source, 'no such file or folder')}. {cls.HOW_TO_GET}")
    if source is not None and not (source.is_file() or source.is_dir()):
        raise UserError(f"{dataset}: {source} is a pipe or a device, not a file. {cls.HOW_TO_GET}")
    if source is not None and source.is_file():
        refuse_wrong_file(dataset, source, cls.FILES, cls.HOW_TO_GET)
    return cls


def _origin(dataset: str, cls: type[FaceBuilder], source: Path | None, options: dict[str, Any]) -> Origin:
    """Return what is to be prepared, and a fingerprint of all files that are read, those that an option names too."""
    chosen = {key: value for key, value in options.items() if key != "name" and value != cls.OPTIONS[key]}
    where = None if source is None else source.resolve()
    files = [] if where is None else list(cls.source_files(where))
    files += [path for path in map(_as_path, chosen.values()) if path and path.is_file()]
    return Origin(dataset, str(where or ""), chosen, source_fingerprint(files))


def _as_path(value: Any) -> Path | None:
    return Path(value).expanduser() if isinstance(value, str) and value else None


def _write(builder: FaceBuilder, dataset: str, source: Path | None, beam: Sequence[str] | None, skip_bad: bool) -> str:
    """Write the records and what is known of them. -> the identity of it all."""
    builder.skip_bad = skip_bad
    _write_records(builder) if beam is None else write_with_beam(builder, beam)
    return _write_facts(builder, dataset, source)


def _tell_change(name: str, before: str, identity: str) -> None:
    now = "its images and labels are the same" if identity == before else f"it is now {name}@{identity}"
    print(f"{name}: {now}", file=sys.stderr)


def _begin(stage: Path, origin: Origin, overwrite: bool) -> None:
    """Leave in the stage what a killed run wrote, if that was of the same origin and is whole, and else nothing."""
    if not overwrite and store.read_json(stage / ORIGIN) == origin.plain and _written(stage):
        return
    shutil.rmtree(stage)
    stage.mkdir()
    (stage / ORIGIN).write_text(json.dumps(origin.plain), encoding="utf-8")


def _written(stage: Path) -> int:
    """Return how many whole files of records are in the stage."""
    found = [store.read_json(path) or {} for path in stage.glob("*/*/dataset_info.json")]
    return sum(len(split.get("shardLengths", ())) for info in found for split in info.get("splits", ()))


def _write_records(builder: FaceBuilder) -> None:
    """Stream every split into ArrayRecord, behind the files that are there.

    TFDS's own `download_and_prepare` sorts a split in memory first, and beyond 1 GB asks TensorFlow for temporary
    files; its sequential writer does neither and keeps the order. It counts a file as soon as that is whole, so what
    the ledger knows of the file's images is written before its last ones are.
    """
    splits = builder.read(builder.source)
    folder = Path(builder.data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    lengths = {name: info.shard_lengths for name, info in builder.info.splits.items()}
    writer = tfds.core.SequentialWriter(builder.info, EXAMPLES_PER_FILE, overwrite=False, file_format="array_record")
    writer.initialize_splits([stored_split(split) for split in splits], fail_if_exists=False)
    for split, records in splits.items():
        _write_split(builder, writer, split, records, lengths.get(stored_split(split), ()))
    builder.refuse_bad()
    (folder / "metadata.json").unlink(missing_ok=True)  # empty; TFDS writes one when it continues


def _write_split(
    builder: FaceBuilder,
    writer: tfds.core.SequentialWriter,
    split: str,
    records: Iterable[Record],
    files: Sequence[int],
) -> None:
    """Write what comes after the `files`, given by their numbers of examples."""
    ledger = builder.ledgers[split] = SplitIndex()
    part = lambda number: Path(builder.data_dir).parents[1] / f"{split}_{number}.npz"
    store_part = lambda: write_arrays(part(len(ledger.parts)), ledger.close_part())
    ledger.parts += [_read_part(builder.name, part(number)) for number in range(len(files))]
    shown = _shown(builder, split, records, sum(files), len(ledger.bad))
    left = EXAMPLES_PER_FILE
    while batch := list(islice(shown, min(EXAMPLES_PER_WRITE, left))):
        left -= len(batch)
        if not left:
            store_part()
            left = EXAMPLES_PER_FILE
        writer.add_examples({stored_split(split): batch})
    if left < EXAMPLES_PER_FILE:
        store_part()
    writer.close_splits([stored_split(split)])
    if not ledger.parts and not builder.refused:
        left_out = named_left_out(builder.notes)
        raise UserError(
            f"{builder.name}: the split {split} holds no images that can be used; check the source{left_out}"
        )


def _read_part(name: str, path: Path) -> dict[str, np.ndarray]:
    """Return what an interrupted preparation knew of a file's images.

    Raises:
      UserError: it is lost or torn, as after a power failure; `_stage` then removes what was half-prepared.
    """
    try:
        with np.load(path, allow_pickle=False) as columns:
            return dict(columns)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{name}: what an interrupted preparation left is damaged ({path.name}: {one_line(error)}) and was removed;"
            " the same command starts again"
        ) from error


def _shown(
    builder: FaceBuilder, split: str, records: Iterable[Record], done: int, bad: int
) -> Iterator[dict[str, Any]]:
    """Yield the split's examples behind the first `done` and as many `bad` ones, with a bar on a terminal."""
    if done:
        print(f"{builder.name} {split}: resuming after {done:,} images", file=sys.stderr)
    total = len(records) if isinstance(records, Sized) else None
    first = done + bad
    rest = records[first:] if isinstance(records, Sequence) else islice(records, first, None)
    examples = builder.examples(split, rest)
    yield from tqdm(examples, f"{builder.name} {split}", total, initial=done, unit="", disable=not sys.stderr.isatty())


def _write_facts(builder: FaceBuilder, dataset: str, source: Path | None) -> str:
    """Write the facts next to the records. -> the identity of it all."""
    directory = Path(builder.data_dir)
    columns = {split: ledger.columns() for split, ledger in builder.ledgers.items()}
    found = {builder.CLASSES[label] for split in columns.values() for label in np.unique(split["label"])}
    if len(found) < 2:
        only = f"every image is of one class, {found.pop()}; nothing can be learned from it"
        raise UserError(f"{builder.name}: {only}{named_left_out(builder.notes)}")
    facts = {
        "name": builder.name,
        "classes": list(builder.CLASSES),
        "license": builder.LICENSE,
        "dataset": dataset,
        "options": builder.options,
        "source": None if source is None else source.resolve().name,
        "notes": builder.notes,
        "targets": {name: field.to_json() for name, field in builder.TARGETS.items()},
        "splits": {split: ledger.facts(builder.CLASSES) for split, ledger in builder.ledgers.items()},
    }
    facts = json.loads(json.dumps(facts))
    facts["identity"] = content_identity(facts, columns)
    for split, arrays in columns.items():
        write_arrays(directory / f"index_{split}.npz", arrays, compress=True)
        np.save(directory / f"digests_{split}.npy", builder.ledgers[split].pixels())
    (directory / "facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts["identity"]


@contextmanager
def _stage(data_dir: Path, name: str, origin: Origin) -> Iterator[Path]:
    """A hidden folder on the same disk, one preparation of a source at a time; gone afterwards unless whole files of
    records are in it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    stage = data_dir / f".{name}.{origin.key}{store.PARTIAL}"
    with only_one(stage):
        stage.mkdir(exist_ok=True)
        try:
            yield stage
        except UserError:  # of the source, which will differ once it is corrected
            shutil.rmtree(stage)
            raise
        finally:
            if not _written(stage):
                shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _disk_errors(data_dir: Path) -> Iterator[None]:
    """The errors of the disk itself as one line for the user."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # ArrayRecord's writer reports a full disk as a RuntimeError
        if any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT)):
            raise UserError(f"no space left on the disk of {data_dir}; free some, or give another data_dir") from error
        if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
            reason = os.strerror(error.errno or errno.EACCES).lower()
            raise UserError(f"{error.filename or data_dir}: {reason}; give another path") from error
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            raise UserError(f"{error.filename or data_dir} is a file, not a folder; give another data_dir") from error
        raise
