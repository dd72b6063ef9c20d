"""What a run learns from: recorded in its checkpoints, compared when it is resumed, found again when it is evaluated.

WORKDIR/trained_on.npz   labelled, unlabelled uint8[N,16]: the pixel hashes of all images that the network has learned
                         from, in this run and in the runs that it began with
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from expressnet_jax.data import selection
from expressnet_jax.data.decode import validate_and_encode
from expressnet_jax.data.duplicates import pixel_digest
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.errors import UserError, shorten
from expressnet_jax.io import read_json, write_arrays
from expressnet_jax.parallel import parallel_map
from expressnet_jax.training.checkpoints.manager import saved_steps
from expressnet_jax.training.checkpoints.reading import BEST, LATEST, Checkpoint

_TRAINED_ON = "trained_on.npz"
LABELLED, UNLABELLED = "labelled", "unlabelled"
_HASH = 16  # bytes
KEYS = ("data.name", "adapt.target")  # of a config, in the order of a run's records


class Learned(NamedTuple):
    """Examples that a run learns from, of one prepared set.

    Attributes:
      split: the name of the split that they are of.
      select: those that choose the best checkpoint, where they are of this set.
      labelled: whether their labels are learned, too; an adaptation sees its target without.
    """

    prepared: Prepared
    split: str
    examples: Split
    select: Split | None = None
    labelled: bool = True

    @property
    def record(self) -> dict[str, Any]:
        """Return what a checkpoint says of them, as plain JSON-able values."""
        return record_of(self.prepared) | {
            "split": self.split,
            "examples": len(self.examples),
            "labelled": self.labelled,
            "rows": self.rows,
        }

    @property
    def rows(self) -> str:
        """Return what changes with the choice of examples."""
        parts = [part.indices for part in (self.examples, self.select) if part is not None]
        return hashlib.sha256(b"|".join(np.asarray(part, "<i8").tobytes() for part in parts)).hexdigest()

    @property
    def digests(self) -> np.ndarray:
        """uint8[N,16], or uint8[0,16] for a set that was prepared before they were kept."""
        stored = self.prepared.digests(self.split)
        return np.zeros((0, _HASH), np.uint8) if stored is None else stored[self.examples.indices]


def record_of(prepared: Prepared) -> dict[str, Any]:
    """Return which set it is, with no more of its path than a person needs to know it again."""
    return {
        "name": prepared.name,
        "identity": prepared.identity,
        "source": "/".join(Path(prepared.source or "").parts[-2:]),
        "splits": dict(prepared.splits),
        "classes": list(prepared.classes),
    }


def in_words(record: Mapping[str, Any]) -> str:
    """Return a record as part of a message: `folder@0123456789ab (train 60, validation 15; from OUT/first)`."""
    counts = ", ".join(f"{split} {count:,}" for split, count in record["splits"].items())
    source = f"; from {record['source']}" if record["source"] else ""
    return f"{record['name']}@{record['identity']} ({counts}{source})"


def recorded(workdir: Path) -> list[dict[str, Any]] | None:
    """Return what the newest checkpoint of a run was trained on.

    None where there is no checkpoint yet; an empty list where the run is older than such records.
    """
    for folder in (LATEST, BEST):
        for step in reversed(saved_steps(workdir / folder)):
            if metadata := read_json(step / "metadata" / "metadata"):
                return metadata.get("trained_on", [])
    return None


def check_same(workdir: Path, before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> None:
    """Raise a UserError unless a run resumes with the very examples that it began with."""
    for key, old, new in zip_longest(KEYS, before, now):
        if old == new:
            continue
        check_same_set(workdir, old, new, key)
        if old["rows"] != new["rows"] or old["labelled"] != new["labelled"]:
            raise UserError(
                f"--workdir {workdir}: was trained on {old['examples']:,} examples of {old['split']} of"
                f" {in_words(old)}; these are {new['examples']:,} others of {new['split']}; give another --workdir, or"
                " the settings and the audit that chose the first ones"
            )


def check_same_set(
    workdir: Path, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, key: str = KEYS[0]
) -> None:
    """Raise a UserError unless both records are of the same set; `key` of the config names it."""
    if old and new and old["identity"] == new["identity"]:
        return
    was, is_now = (in_words(each) if each else "no other data" for each in (old, new))
    if old and new and old["classes"] != new["classes"]:
        is_now += f", whose classes are {shorten(new['classes'])} and not {shorten(old['classes'])}"
    again = f" with --config.{key}={old['name']}@{old['identity']}" if old else ""
    raise UserError(
        f"--workdir {workdir}: was trained on {was}; this is {is_now}; give another --workdir, or the first data{again}"
    )


def write_trained_on(workdir: Path, learned: Sequence[Learned], origin: Path | None) -> None:
    """Write the pixel hashes of what a run learns from, and of what the checkpoint `origin` had learned from."""
    known = read_trained_on(origin) if origin else None
    parts = {name: [known[name]] if known else [] for name in (LABELLED, UNLABELLED)}
    for each in learned:
        parts[LABELLED if each.labelled else UNLABELLED].append(each.digests)
    empty = np.zeros((0, _HASH), np.uint8)
    hashes = {name: np.unique(np.concatenate([empty, *found]), axis=0) for name, found in parts.items()}
    write_arrays(workdir / _TRAINED_ON, hashes)


def read_trained_on(checkpoint: Path) -> dict[str, np.ndarray] | None:
    """Return the pixel hashes that the run of a checkpoint has written, or None where it wrote none."""
    try:
        with np.load(checkpoint.absolute().parent.parent / _TRAINED_ON, allow_pickle=False) as file:
            return {name: file[name] for name in (LABELLED, UNLABELLED)}
    except (OSError, ValueError, KeyError):
        return None


def was_trained_on(checkpoint: Checkpoint, prepared: Prepared) -> bool:
    """Return whether a run learned from this set; of a run older than the records only the name is known."""
    if records := checkpoint.metadata.get("trained_on"):
        return any(record["identity"] == prepared.identity for record in records)
    return checkpoint.metadata["config"]["data"]["name"] == prepared.name


def seen_in_training(
    checkpoint: Checkpoint, prepared: Prepared, split: str, examples: Split
) -> dict[str, np.ndarray] | None:
    """Return which examples of a split the checkpoint has learned from, with labels and without: bool[N] each.

    Equal pixels are the same image, whatever it is called and wherever it lies. None where nothing is known.
    """
    known, chosen = read_trained_on(checkpoint.path), _chosen_again(checkpoint, prepared)
    if known is None and chosen is None:
        return None
    seen = {name: np.zeros(len(examples), bool) for name in (LABELLED, UNLABELLED)}
    if known is not None:
        stored = prepared.digests(split)
        rows = _hash_all(examples) if stored is None else stored[examples.indices]
        for name, hashes in known.items():
            found = {row.tobytes() for row in hashes}
            seen[name] = np.array([row.tobytes() in found for row in rows], bool)
    if chosen is not None and split == chosen.train_name:
        seen[LABELLED] |= np.isin(examples.indices, chosen.train.indices)
    return seen


def _hash_all(split: Split) -> list[np.ndarray]:
    hash_of = lambda i: np.frombuffer(pixel_digest(validate_and_encode(split.encoded(i), None, None)[1]), np.uint8)
    return list(parallel_map(hash_of, range(len(split))))


def _chosen_again(checkpoint: Checkpoint, prepared: Prepared) -> selection.Splits | None:
    """Return the training examples that the settings of a run choose from the set that it has learned from."""
    records, config = checkpoint.metadata.get("trained_on", []), checkpoint.metadata["config"]
    if not any(record["labelled"] and record["identity"] == prepared.identity for record in records):
        return None
    given = {name: value for name, value in config["data"].items() if name in selection.SETTINGS}
    try:
        return selection.select_splits(prepared, **given, seed=config["seed"])
    except UserError:  # the audit that left examples out is gone
        return None
