"""RAF-DB, basic expressions (Li, Deng and Du 2017): 15,339 aligned colour faces of 100x100 pixels, seven classes.

Two layouts: the official one (EmoLabel/list_patition_label.txt, spelt so, and Image/aligned/train_00001_aligned.jpg),
and numbered class folders (train/1..7 and test/1..7, with or without train_labels.csv and test_labels.csv).
"""

from pathlib import Path

from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.datasets.listed import csv_rows, first_dir, first_file, label_of, require_files, text_rows
from expressnet_jax.data.labels import BASIC, RAFDB_CODES
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError

LIST = "list_patition_label.txt"
OFFICIAL_COUNTS = {"train": 12_271, "test": 3_068}


class RafDb(FaceBuilder, skip_registration=True):
    """RAF-DB's basic expressions with the official train and test parts."""

    name = "rafdb"
    CLASSES = BASIC
    CHANNELS = 3
    SIZE = (100, 100)
    LICENSE = "Non-commercial research only, under RAF-DB's agreement; pictures may not be passed on."
    HOW_TO_GET = (
        "Ask its authors for access at http://www.whdeng.cn/RAF/model1.html, unpack Image/aligned.zip, and give the "
        "folder that holds EmoLabel/ and Image/ (or train/1..7 and test/1..7) with --source"
    )

    def read(self, source: Path) -> dict[str, list[Record]]:
        """The official parts, in the order of the list, or of the file names where there is none."""
        root = first_dir(source / "basic", source)
        if root and (root / "EmoLabel" / LIST).is_file():
            splits = self._official(root)
        else:
            numbered = next((p for p in (source, source / "DATASET") if (p / "train" / "1").is_dir()), None)
            if numbered is None:
                raise self.missing(f"neither EmoLabel/{LIST} nor train/1 in {source}")
            splits = {split: self._numbered(numbered, split) for split in OFFICIAL_COUNTS}
        for split, official in OFFICIAL_COUNTS.items():
            if not splits[split]:
                raise self.missing(f"no {split} pictures in {source}: half of the data set is missing")
            if len(splits[split]) != official:
                self.notes[split] = f"{len(splits[split])} of the official {official} pictures"
        return splits

    def _official(self, root: Path) -> dict[str, list[Record]]:
        aligned = root / "Image" / "aligned"
        if not aligned.is_dir():
            raise self.missing(f"no Image/aligned in {root}")
        splits: dict[str, list[Record]] = {split: [] for split in OFFICIAL_COUNTS}
        wanted = []
        for place, (picture, code) in text_rows(root / "EmoLabel" / LIST, words=2):
            split, stem = picture.partition("_")[0], Path(picture).stem
            if split not in splits:
                raise UserError(f"{self.name}: {place}: {picture} is neither train_* nor test_*")
            path = aligned / f"{stem}_aligned.jpg"
            splits[split].append(Record(path.name, path, label_of(code, RAFDB_CODES, BASIC, f"{self.name}: {place}")))
            wanted.append((f"{self.name}: {place}", path))
        require_files(wanted, "unpack Image/aligned.zip again")
        return splits

    def _numbered(self, root: Path, split: str) -> list[Record]:
        table = first_file(root / f"{split}_labels.csv", root.parent / f"{split}_labels.csv")
        if table is None:
            files = sorted(no_litter((root / split).glob("[1-7]/*.jpg")), key=lambda path: path.name)
            return [Record(path.name, path, BASIC.index(RAFDB_CODES[int(path.parent.name)])) for path in files]
        records, wanted = [], []
        for place, row in csv_rows(table, ("image", "label")):
            label = label_of(row["label"], RAFDB_CODES, BASIC, f"{self.name}: {place}")
            path = root / split / row["label"] / row["image"]
            records.append(Record(path.name, path, label))
            wanted.append((f"{self.name}: {place}", path))
        require_files(wanted, "unpack the archive again")
        return records
