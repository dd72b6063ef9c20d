"""Read every image of a data set once for the audit: what is the same, what is broken, and a thumbnail of each.

Shapes: N examples of all splits together, D distinct images, T the side of a thumbnail.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from expressnet_jax.data.decode import decode
from expressnet_jax.data.duplicates import SIDE, digest, thumbnail
from expressnet_jax.data.prepared import Split
from expressnet_jax.errors import UserError
from expressnet_jax.parallel import parallel_map

CHUNK = 256


@dataclass(frozen=True)
class Scan:
    """N rows, split after split.

    Attributes:
      splits: the split names.
      split, position: int64[N], which split a row belongs to and where it stands in it.
      label: int32[N].
      size: int32[N,2], height and width; 0 where the image can't be decoded.
      distinct: int64[N], 0..D-1, equal exactly for images whose pixels are equal.
      first: int64[D], the first row of each distinct image.
      thumbnails: uint8[D,T,T].
    """

    splits: tuple[str, ...]
    split: np.ndarray
    position: np.ndarray
    label: np.ndarray
    size: np.ndarray
    distinct: np.ndarray
    first: np.ndarray
    thumbnails: np.ndarray

    @property
    def readable(self) -> np.ndarray:
        """bool[N]."""
        return self.size[:, 0] > 0

    def by_split(self, chosen: np.ndarray) -> dict[str, list[int]]:
        """Map bool[N] to the chosen positions of every split that has any."""
        rows = {name: self.position[chosen & (self.split == s)].tolist() for s, name in enumerate(self.splits)}
        return {name: positions for name, positions in rows.items() if positions}


def scan(splits: Mapping[str, Split]) -> Scan:
    """Decode every image once, on all cores; keep about 600 bytes of each."""
    parts = [_scan_split(name, split) for name, split in splits.items()]
    digests = [value for part in parts for value in part[0]]
    numbers: dict[bytes, int] = {}
    distinct = np.array([numbers.setdefault(value, len(numbers)) for value in digests], np.int64)
    first = np.unique(distinct, return_index=True)[1]
    lengths = [len(split) for split in splits.values()]
    return Scan(
        splits=tuple(splits),
        split=np.repeat(np.arange(len(lengths)), lengths),
        position=np.concatenate([np.arange(n) for n in lengths]),
        label=np.concatenate([split.labels for split in splits.values()]),
        size=np.concatenate([part[1] for part in parts]),
        distinct=distinct,
        first=first,
        thumbnails=np.concatenate([part[2] for part in parts])[first],
    )


def _scan_split(name: str, split: Split) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    digests = [b""] * len(split)
    sizes = np.zeros((len(split), 2), np.int32)
    thumbnails = np.zeros((len(split), SIDE, SIDE), np.uint8)

    def fill(start: int) -> None:
        for i in range(start, min(start + CHUNK, len(split))):
            try:
                image = decode(split.encoded(i), None, 3)
            except UserError:
                digests[i] = f"unreadable {name} {i}".encode()
                continue
            digests[i], sizes[i], thumbnails[i] = digest(image), image.shape[:2], thumbnail(image)

    starts = range(0, len(split), CHUNK)
    for _ in tqdm(parallel_map(fill, starts), desc=f"reading {name}", total=len(starts), disable=None, leave=False):
        pass
    return digests, sizes, thumbnails
