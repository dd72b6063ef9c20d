"""Preparing through Apache Beam, for a data set that outgrows one machine: TFDS's own Beam writer, in the same order.

What is stored is what `prepare` stores by itself; only the number of files is TFDS's choice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.split_index import SplitIndex
from expressnet_jax.data.prepared import stored_split
from expressnet_jax.errors import UserError
from expressnet_jax.parallel import work_and_items


def write_with_beam(builder: FaceBuilder, options: Sequence[str]) -> None:
    """Check and write every record in a pipeline of these options ("--runner=DirectRunner"), then reads them once to
    fill the ledgers.

    Raises:
      UserError: Beam is not installed, or a record is not as declared.
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError("--beam: Apache Beam is not installed; pip install 'expressnet-jax[beam]'") from error
    builder.collect = collection
    settings = {"beam_options": PipelineOptions(list(options)), "try_download_gcs": False}
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(**settings))
    except Exception as error:  # Beam wraps what a record raised, as text or as an exception that Beam makes
        raise _users_own(error) from error
    for split in builder.splits_read:
        ledger = builder.ledgers[split] = SplitIndex()
        for _ in builder.examples(split, _stored(builder, split)):
            pass
        ledger.close_part()


def collection(check: Callable[[Record], tuple[dict[str, Any], dict[str, Any]]], records: Iterable[Record]) -> Any:
    """Return the checked records as Beam makes them: numbered, each on whichever machine is free."""
    import apache_beam as beam

    work, items = work_and_items(records)

    def make(numbered: tuple[int, Any]) -> tuple[int, dict[str, Any]]:
        number, item = numbered
        return number, check(work(item))[0]

    return beam.Create(list(enumerate(items))) | beam.Map(make)


def _stored(builder: FaceBuilder, split: str) -> Iterator[Record]:
    """Yield what was written, as records, so that the ledger is filled from what is there."""
    decoders = {"image": tfds.decode.SkipDecoding()} if builder.MEDIA == "image" else None
    text = [name for name, (_, dtype) in builder.COLUMNS.items() if dtype is str]
    for example in builder.as_data_source(split=stored_split(split), decoders=decoders):
        columns = {name: example[name] for name in builder.COLUMNS}
        columns |= {name: example[name].decode() for name in text}
        stored = example[builder.MEDIA]
        media = np.frombuffer(stored, "<i2") if builder.MEDIA == "waveform" else stored
        sound = np.frombuffer(example["waveform"], "<i2") if builder.SOUND else None
        yield Record(example["key"].decode(), media, int(example["label"]), extras=columns, sound=sound)


def _users_own(error: BaseException) -> BaseException:
    """Return the UserError in an error's chain of causes, or the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error
