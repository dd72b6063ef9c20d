"""`identity`: images by person, for pretraining on who it is. LFW, CASIA-WebFace, VGGFace2, MS1M and their like.

ROOT/PERSON/*                   LFW (Aaron_Eckhart/), CASIA-WebFace (0000045/), MS1M as folders (m.0abc/)
ROOT/train|test/PERSON/*        VGGFace2 (train/n000002/): the people of all splits are put together
ROOT/legend.csv + images/       image and identity columns, or names like Aaron_Eckhart_0001.jpg

People are divided, not images: those of the split "validation" are met in no training batch, and pairs of their
images say how well the features tell people apart.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from expressnet_jax.data.datasets.annotation_files import csv_rows, require_files
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.class_folders import class_tree
from expressnet_jax.data.datasets.lfw_expression import identity
from expressnet_jax.errors import UserError, printable
from expressnet_jax.process import expanded


class Identity(FaceBuilder, skip_registration=True):
    """Images labelled with the person shown. The classes are the people, those to train on first.

    Options: `min_images` of a person to be used; `holdout`, the share of people kept for verification; or `pairs`,
    a file like LFW's pairs.txt, whose people are kept instead; the name to store it under.
    """

    name = "identity"
    LICENSE = "The terms of the images' owner; most sets of faces by person are for research only."
    HOW_TO_GET = "Give a folder with one folder for each person, with --source"
    COLUMNS: ClassVar = {"subject": ((), str)}
    OPTIONS: ClassVar = {"name": "identity", "min_images": 2, "holdout": 0.1, "pairs": "", "seed": 0}

    def __init__(self, *, options: dict | None = None, **kwargs) -> None:
        self.name = (options or {}).get("name", "identity")
        super().__init__(options=options, **kwargs)

    @cached_property
    def CLASSES(self) -> tuple[str, ...]:
        return (*self._divided["train"], *self._divided["validation"])

    def read(self, source: Path) -> dict[str, list[Record]]:
        """Return training people, then the held-out ones, each person's images in the order of their names."""
        self.notes["people"] = {split: len(people) for split, people in self._divided.items()}
        if self.options["pairs"]:
            self.notes["pairs"] = _read_pairs(expanded(self.options["pairs"]))
        numbers = {person: i for i, person in enumerate(self.CLASSES)}
        return {split: list(self._records(people, numbers)) for split, people in self._divided.items()}

    def _records(self, people: tuple[str, ...], numbers: dict[str, int]) -> Iterator[Record]:
        for person in people:
            for path in self._people[person]:
                key = printable(path.relative_to(self.source).as_posix())
                yield Record(key, path, numbers[person], subject=person)

    @cached_property
    def _people(self) -> dict[str, list[Path]]:
        """Person -> images, for people with enough of them."""
        has_legend = (self.source / "legend.csv").is_file()
        found = _by_legend(self.source) if has_legend else _by_folder(self.source, self.notes)
        least = max(int(self.options["min_images"]), 1)
        enough = {person: sorted(paths) for person, paths in sorted(found.items()) if len(paths) >= least}
        if len(enough) < 4:
            raise UserError(
                f"identity: {self.source}: {len(enough)} people with {least} images or more; four at least are needed"
                " to train on some and verify others; lower --option min_images or add people"
            )
        return enough

    @cached_property
    def _divided(self) -> dict[str, tuple[str, ...]]:
        people = list(self._people)
        if self.options["pairs"]:
            named = {row[i] for row in _read_pairs(expanded(self.options["pairs"])) for i in (0, 2)}
            held = {person for person in people if person in named}
            if not held or len(held) == len(people):
                raise UserError(
                    f"identity: {self.options['pairs']} names {len(held)} of the {len(people)} people; it must name"
                    " some and leave some to train on"
                )
        else:
            count = max(round(float(self.options["holdout"]) * len(people)), 2)
            order = np.random.Generator(np.random.Philox(key=[self.options["seed"], len(people)]))
            held = {people[i] for i in order.permutation(len(people))[:count]}
        train, validation = ([p for p in people if (p in held) == wanted] for wanted in (False, True))
        return {"train": tuple(train), "validation": tuple(validation)}


def _by_folder(root: Path, notes: dict[str, Any]) -> dict[str, list[Path]]:
    """Return the person -> images of a tree of folders, whatever splits it is divided into."""
    found: dict[str, list[Path]] = {}
    for people in class_tree(root, notes).values():
        for person, paths in people.items():
            found.setdefault(printable(person), []).extend(paths)
    return found


def _by_legend(root: Path) -> dict[str, list[Path]]:
    """Return the person -> images as legend.csv lists them."""
    found: dict[str, list[Path]] = {}
    wanted = []
    for place, row in csv_rows(root / "legend.csv", ("image",)):
        path = root / "images" / row["image"]
        found.setdefault(row.get("identity") or identity(path.stem), []).append(path)
        wanted.append((f"identity: {place}", path))
    require_files(wanted, "fetch the images again")
    return found


def _read_pairs(path: Path) -> list[list[str]]:
    """Read LFW's pairs.txt -> [person, number, person, number, fold], all as text; its first line says folds and pairs
    a fold, then each fold has so many of one person (name, two numbers) and so many of two (name, number, twice).

    Raises:
      UserError: no such file, or a line of another form.
    """
    try:
        header, *lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        folds, per_fold = (int(word) for word in header)
    except (OSError, ValueError) as error:
        raise UserError(f"identity: {path}: no pairs file like LFW's pairs.txt ({error})") from error
    if len(lines) != 2 * folds * per_fold:
        raise UserError(f"{path}: {len(lines)} pairs, not {folds} x 2 x {per_fold} as its first line says")
    rows = []
    for number, words in enumerate(lines):
        if len(words) not in (3, 4):
            raise UserError(f"{path.name} row {number + 2}: {len(words)} words; a pair has three or four")
        one, other = (words[:2], [words[0], words[2]]) if len(words) == 3 else (words[:2], words[2:])
        rows.append([*one, *other, str(number // (2 * per_fold))])
    return rows
