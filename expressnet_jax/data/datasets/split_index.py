"""What is known of a split besides its images. N examples, M images that are left out."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

SHAPE, DIGEST, PIXELS = "shape", "digest", "pixels"
BAD = "bad"  # str[M,2], the keys and reasons of images that are left out between the others


class SplitIndex:
    """What is known of a split besides its images, part after part: every column in order, and of each image its
    shape, int32[N,3], the SHA-256 of label, shape and pixels, uint8[N,32], and a hash of the pixels, uint8[N,16]. Of a
    sound the shape is int32[N,1], of a text int32[N,2], and its samples or bytes stand for pixels."""

    def __init__(self) -> None:
        self.parts: list[dict[str, np.ndarray]] = []
        self._rows: list[dict[str, Any]] = []
        self._bad: list[tuple[str, str]] = []

    def add(self, row: dict[str, Any]) -> None:
        """Note one record: a value for each column."""
        self._rows.append(row)

    def add_bad(self, key: str, reason: str) -> None:
        """Note an image that can't be used."""
        self._bad.append((key, reason))

    @property
    def bad(self) -> list[tuple[str, str]]:
        """(key, reason) of every image that can't be used, in order."""
        return [(str(key), str(reason)) for part in self.parts for key, reason in part.get(BAD, ())] + self._bad

    def close_part(self) -> dict[str, np.ndarray]:
        """Return the columns of what was added since the last part, now one by itself."""
        rows, self._rows = self._rows, []
        part = {name: np.asarray([row[name] for row in rows]) for name in rows[0]}
        bad, self._bad = np.array(self._bad, str).reshape(-1, 2), []
        self.parts.append(part | {"label": part["label"].astype(np.int32), BAD: bad})
        return self.parts[-1]

    def columns(self) -> dict[str, np.ndarray]:
        """Return every column over all parts: label int32[N], key str[N], and what the builder's COLUMNS name."""
        names = [name for name in self.parts[0] if name not in (SHAPE, DIGEST, PIXELS, BAD)]
        return {name: self._whole(name) for name in names}

    def facts(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return counts, sizes and the hash of all the hashes in order, as they stand in facts.json."""
        counts = np.bincount(self._whole("label"), minlength=len(classes)).tolist()
        shapes = self._whole(SHAPE)
        low, high = shapes.min(0).tolist(), shapes.max(0).tolist()
        sizes: dict[str, Any] = {"samples": [low[0], high[0]]}
        if len(low) == 2:
            sizes = {"bytes": [low[0], high[0]]}
        if len(low) == 3:
            sizes = {"height": [low[0], high[0]], "width": [low[1], high[1]]}
            sizes["channels"] = np.unique(shapes[:, 2]).tolist()
        return {
            "examples": len(shapes),
            "per_class": dict(zip(classes, counts, strict=True)),
            **sizes,
            "sha256": hashlib.sha256(self._whole(DIGEST).tobytes()).hexdigest(),
        }

    def pixels(self) -> np.ndarray:
        """Return uint8[N,16], the hashes of the pixels alone."""
        return self._whole(PIXELS)

    def _whole(self, name: str) -> np.ndarray:
        return np.concatenate([part[name] for part in self.parts])
