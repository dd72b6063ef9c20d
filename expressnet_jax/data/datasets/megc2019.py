"""MEGC 2019's composite of micro-expressions (See et al. 2019): SMIC, CASME II and SAMM, as optical flow and strain.

Layouts: a table with a clip in each row (columns onset, apex, label, subject; optional dataset), whose onset and apex
are the paths of two images; and one file micro.npz, in which the flow is computed already: flow28 uint8[N,28,28,3],
labels, class_names, dataset, subject, clip. There is no official split: the protocol leaves one subject out at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar
from zipfile import BadZipFile

import numpy as np

from expressnet_jax.data.datasets.annotation_files import csv_rows, require_files
from expressnet_jax.data.datasets.bad_images import BadImage
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.locate import ARRAYS, locate
from expressnet_jax.data.datasets.tables import header_of
from expressnet_jax.data.image_io import read_image
from expressnet_jax.data.optical_flow import flow_and_strain
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.parallel import InOrder

CLASSES = ("negative", "positive", "surprise")
SIDE = 28
COLUMNS = ("onset", "apex", "label", "subject")
NAMES = ("flow28", "labels", "class_names", "dataset", "subject", "clip")
OFFICIAL_COUNT = 442
# The emotions of CASME II and SAMM that are counted into a class; clips of others are left out (See et al. 2019, II.A).
_MEANING = {
    "negative": ("negative", "repression", "anger", "contempt", "disgust", "fear", "sadness"),
    "positive": ("positive", "happiness"),
    "surprise": ("surprise",),
}


@dataclass(frozen=True)
class Pair:
    """One row of a table: where it stands, two images, and what it says."""

    place: str
    onset: Path
    apex: Path
    label: int
    subject: str
    dataset: str


class Megc2019(FaceBuilder, skip_registration=True):
    """MEGC 2019; subject is the data set's name and the person's number there, as nobody is in two of them."""

    name = "megc2019"
    CLASSES = CLASSES
    CHANNELS = 3
    SIZE = (SIDE, SIDE)
    LICENSE = "Research only, under the signed agreements of SMIC, CASME II and SAMM; images may not be passed on."
    HOW_TO_GET = (
        "Ask for SMIC (oulu.fi/en/university/faculties-and-units/cmvs), CASME II (casme.psych.ac.cn) and SAMM "
        "(helward.mmu.ac.uk/STAFF/M.Yap), cut onset and apex frames to the face, list them in a CSV with the columns "
        "onset, apex, label, subject (and dataset), and give it, or micro.npz, with --source"
    )
    FILES: ClassVar = ("table", ARRAYS)
    COLUMNS: ClassVar = {"subject": ((), str), "dataset": ((), str)}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether a table of pairs, or micro.npz, is given or lies in the folder."""
        return _source_file(folder) is not None

    @classmethod
    def source_files(cls, source: Path) -> list[Path]:
        """Return the file of the source, and the images that a table names."""
        file = _source_file(source)
        if file is None or file.suffix == ".npz":
            return [file] if file else []
        return [file, *(path for pair in _pairs(file) for path in (pair.onset, pair.apex) if path.is_file())]

    def read(self, source: Path) -> Mapping[str, Sequence[Record]]:
        """Return all clips in the order of their list, in the one split "all"."""
        expected = "neither micro.npz nor a table with the columns onset and apex"
        file = _source_file(locate(self, source, expected))
        if file is None:
            raise self.missing(f"{expected} in {source}")
        records = _stored(file) if file.suffix == ".npz" else self._listed(file)
        if len(records) != OFFICIAL_COUNT:
            self.notes["all"] = f"{len(records)} of the official {OFFICIAL_COUNT} clips"
        return {"all": records}

    def _listed(self, table: Path) -> Sequence[Record]:
        pairs = list(_pairs(table))
        if not pairs:
            raise self.missing(f"{table} has no rows below the header that are {', '.join(CLASSES)}")
        named = ((pair.place, path) for pair in pairs for path in (pair.onset, pair.apex))
        require_files(named, "correct the list, or put them there; paths start at the list's folder")
        return InOrder(partial(_computed, root=table.parent), pairs)


def _source_file(source: Path) -> Path | None:
    if source.is_file():
        return source
    if (source / "micro.npz").is_file():
        return source / "micro.npz"
    tables = sorted(source.glob("*.csv"))
    found = [path for path in tables if {"onset", "apex"} <= header_of(path, COLUMNS)]
    return found[0] if len(found) == 1 else None


def _pairs(table: Path) -> list[Pair]:
    """Return the rows whose label is counted into a class.

    Raises:
      UserError: a column is missing.
    """
    classes = {word: CLASSES.index(name) for name, words in _MEANING.items() for word in words}
    found = []
    for place, row in csv_rows(table, COLUMNS):
        word, dataset = row["label"].lower(), row.get("dataset", "")
        if word in classes:
            onset, apex = (table.parent / row[name] for name in ("onset", "apex"))
            found.append(Pair(place, onset, apex, classes[word], row["subject"], dataset))
    return found


def _computed(pair: Pair, root: Path) -> Record:
    """Return a row's record; its flow is computed now."""
    key = "/".join(pair.onset.relative_to(root).parts)
    try:
        onset, apex = (read_image(path.read_bytes()).pixels for path in (pair.onset, pair.apex))
        flow = flow_and_strain(onset, apex, SIDE)
    except (UserError, OSError) as error:
        raise BadImage(f"megc2019: {pair.place}", key, str(error)) from error
    return Record(key, flow, pair.label, subject=_person(pair.dataset, pair.subject), extras=_of(pair.dataset))


def _stored(path: Path) -> list[Record]:
    """Return the records of a file of flows.

    Raises:
      UserError: it is damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            flows, labels, names, *texts = (arrays[name] for name in NAMES)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"megc2019: {path}: not a file of flows ({one_line(error)}); fetch it again") from error
    if flows.shape != (len(labels), SIDE, SIDE, 3) or flows.dtype != np.uint8 or set(names) != set(CLASSES):
        given = f"{flows.dtype}{list(flows.shape)} of the classes {', '.join(map(str, names))}"
        raise UserError(f"megc2019: {path}: flow28 is {given}; it must be uint8[N,28,28,3] of {', '.join(CLASSES)}")
    of_label = [CLASSES.index(str(name)) for name in names]
    found = []
    for i, (flow, label, dataset, subject, clip) in enumerate(zip(flows, labels, *texts, strict=True)):
        who, key = _person(dataset, subject), f"{dataset}/{subject}/{clip}#{i}"
        found.append(Record(key, flow, of_label[label], subject=who, extras=_of(dataset)))
    return found


def _person(dataset: str, subject: str) -> str:
    return f"{dataset}_{subject}" if dataset else str(subject)


def _of(dataset: str) -> dict[str, np.generic]:
    return {"dataset": np.str_(dataset)}
