"""Prepare a data set once: what is on disk -> checked ArrayRecord, with facts and an index (see `prepared`)."""

import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from expressnet_jax.data import store
from expressnet_jax.data.datasets import DATASETS, builder_class
from expressnet_jax.data.datasets.base import FaceBuilder
from expressnet_jax.data.datasets.locate import refuse_wrong_file
from expressnet_jax.data.fingerprint import source_fingerprint
from expressnet_jax.data.media_files import missing
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.data.record_writer import write_facts, write_records
from expressnet_jax.data.stage import clear_stage, disk_errors, open_stage
from expressnet_jax.data.store import Origin
from expressnet_jax.data.with_beam import write_with_beam
from expressnet_jax.errors import UserError
from expressnet_jax.process import expanded

# Several of these can be stored side by side, by their option `name`.
_NAMED_BY_USER = ("folder", "identity", "meshes", "synthetic")


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
    content is stored next to it. Nothing is visible under its name until everything is written. A run that was
    killed leaves its complete files of 16,384 images in a hidden folder, and the same call resumes after
    them. Of two calls at once with the same source, the second one waits.
    With `beam`, options of an Apache Beam pipeline, that writes it on its machines, and a killed run starts again.
    An image that can't be used ends it, after all such images are found and named; with `skip_bad` they are left out.
    `folder`, `identity`, `meshes` and `synthetic` have the option `name`: what they are stored and loaded as.
    """
    data_dir, source = expanded(data_dir), None if source is None else expanded(source)
    name = _stored_as(dataset, options)
    if skip_bad and beam is not None:
        raise UserError("--skip_bad: not with --beam, whose machines don't know how many others have left out")
    cls = _checked_class(dataset, source)
    options = cls.all_options(options)
    with disk_errors(data_dir):
        origin = _origin(dataset, cls, source, options)
        if not overwrite and (found := _found(name, data_dir, origin)):
            return found
        with open_stage(data_dir, name, origin) as stage:
            if not overwrite and (found := _found(name, data_dir, origin)):  # the one that was waited for made it
                return found
            if before := store.changed_since(name, data_dir, origin):
                print(f"{name}: {source} has changed since it was prepared as {name}@{before}", file=sys.stderr)
            clear_stage(stage, origin, overwrite or beam is not None)
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
    name = options.get("name", dataset) if dataset in _NAMED_BY_USER else dataset
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
    """Write the records and what is known of them; return the identity of it all."""
    builder.skip_bad = skip_bad
    write_records(builder) if beam is None else write_with_beam(builder, beam)
    return write_facts(builder, dataset, source)


def _tell_change(name: str, before: str, identity: str) -> None:
    now = "its images and labels are the same" if identity == before else f"it is now {name}@{identity}"
    print(f"{name}: {now}", file=sys.stderr)
