"""DFEW (Jiang et al. 2020): 16,372 clips from movies with one of seven expressions for 12,059 of them, in five folds.

Layout: EmoLabel_DataSplit/test(single-labeled)/set_1.csv to set_5.csv (video_name, label), which between them name each
clip with a label once, and the clips themselves: folders of frames (Clip/clip_224x224/00001/) or videos
(Clip/original/1.mp4). Fold k tests set k and trains on the other four; the column `fold` has k - 1.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from expressnet_jax.data import clip_frames
from expressnet_jax.data.datasets.annotation_files import csv_rows, label_of
from expressnet_jax.data.datasets.clips import CLIP_COLUMNS, Clip, ClipBuilder, frame_source
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.labels import BASIC, DFEW_CODES
from expressnet_jax.errors import UserError

LISTS = "EmoLabel_DataSplit/test(single-labeled)"
_SET = re.compile(r"(?:set_?)?(\d)\.csv", re.IGNORECASE)


class Dfew(ClipBuilder, skip_registration=True):
    """DFEW; `fold` is the official fold, for `expressnet folds dfew --fold-column fold`."""

    name = "dfew"
    CLASSES = BASIC
    LICENSE = "Research only, under the DFEW agreement; clips may not be passed on."
    HOW_TO_GET = (
        "Ask for access at https://dfew-dataset.github.io, unpack the clips, and give the folder that holds "
        "EmoLabel_DataSplit/ and Clip/ with --source"
    )
    COLUMNS: ClassVar = {**CLIP_COLUMNS, "fold": ((), np.int32)}

    OPTIONS: ClassVar = {**clip_frames.OPTIONS, "sound": False}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether the lists of the folds are there."""
        return (folder / LISTS).is_dir()

    def clips(self, source: Path) -> Mapping[str, Sequence[Clip]]:
        """Return the clips with a label in the order of the folds' lists, in the one split "all"."""
        root = locate(self, source, f"no {LISTS}/")
        lists = {int(match[1]): path for path in (root / LISTS).glob("*.csv") if (match := _SET.fullmatch(path.name))}
        folders = _clip_folders(root)
        if not lists or not folders:
            raise self.missing(f"{root} holds no {'lists like set_1.csv' if not lists else 'clips in Clip/*/'}")
        found = []
        for number, path in sorted(lists.items()):
            for place, row in csv_rows(path, ("video_name", "label"), ("video_name", "label")):
                label = label_of(row["label"], DFEW_CODES, BASIC, place)
                clip = _find(folders, row["video_name"], f"{self.name}: {place}")
                heard = clip if self.SOUND and isinstance(clip, Path) else None
                extras = {"fold": np.int32(number - 1)}
                found.append(Clip(row["video_name"], clip, label, extras=extras, sound=heard))
        if len({clip.key for clip in found}) < len(found):
            raise UserError(f"{self.name}: a clip is named by two test lists of {root / LISTS}; restore the lists")
        return {"all": found}


def _clip_folders(root: Path) -> list[Path]:
    """Return the folders of clips, those of cut faces first."""
    folders = [path for path in root.glob("Clip/*") if path.is_dir()] or [root / "Clip"]
    return sorted((path for path in folders if path.is_dir()), key=lambda path: ("224" not in path.name, path.name))


def _find(folders: Sequence[Path], name: str, place: str):
    """Return the source of a clip: a folder named 00001, or a video named 1 or 00001."""
    number = Path(name).stem
    names = dict.fromkeys((number, number.zfill(5), number.lstrip("0")))
    suffixes = ("", ".mp4", ".avi")
    for path in (folder / f"{word}{suffix}" for folder in folders for word in names for suffix in suffixes):
        if path.exists() and (source := frame_source(path)):
            return source
    raise UserError(f"{place}: no clip {name} in {folders[0].parent}; unpack all parts of the clips")
