"""Write the records of a data set as ArrayRecord, with facts and an index."""

import json
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.split_index import SplitIndex
from expressnet_jax.data.fingerprint import content_identity
from expressnet_jax.data.prepared import stored_split
from expressnet_jax.data.remarks import named_left_out
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.io import write_arrays

EXAMPLES_PER_FILE = 16_384
EXAMPLES_PER_WRITE = 512


def write_records(builder: FaceBuilder) -> None:
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
      UserError: it is lost or torn, as after a power failure; the stage then removes what was half-prepared.
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


def write_facts(builder: FaceBuilder, dataset: str, source: Path | None) -> str:
    """Write the facts next to the records; return the identity of it all."""
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
