"""Tiny trees in the layouts in which the data sets are uploaded again. The class is in the pixels: every image is
plain, and its gray value says what it shows, so that a label that got lost on the way is seen."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from expressnet_jax.data.labels import WITH_CONTEMPT

STEP = 30  # gray values between two classes


def shade(name: str) -> int:
    return 20 + STEP * WITH_CONTEMPT.index(name)


def shown(pixels: np.ndarray) -> str:
    """The class that an image shows."""
    return WITH_CONTEMPT[round((float(np.mean(pixels)) - 20) / STEP)]


def image(path: Path, name: str, size: int = 48, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size, size), shade(name)).convert(mode).save(path)
    return path


def write_rows(path: Path, rows: Sequence[Sequence], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def pixel_text(name: str) -> str:
    return " ".join([str(shade(name))] * 48 * 48)


CK_CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
AFFECTNET_CODES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
RAF_CODES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
WORDS = {"happiness": "happy", "sadness": "sad", "anger": "angry"}


def ckextended(root: Path) -> dict[str, int]:
    usages = ["Training"] * 4 + ["PublicTest"] * 2 + ["PrivateTest"] * 2
    rows = [[code, pixel_text(name), usage] for code, (name, usage) in enumerate(zip(CK_CODES, usages, strict=True))]
    write_rows(root / "ckextended.csv", [["emotion", "pixels", "Usage"], *rows])
    return {"train": 4, "validation": 2, "test": 2}


def ck_in_splits(root: Path) -> dict[str, int]:
    for split in ("train", "test"):
        for i, name in enumerate(CK_CODES[:6]):
            image(root / split / WORDS.get(name, name) / f"S0{i:02d}_001_00000011.png", name)
    return {"train": 6, "test": 6}


def affectnet_with_list(root: Path) -> dict[str, int]:
    """Kaggle: labels.csv corrects the folders, here two of eight; one image isn't in it."""
    rows = []
    for i, name in enumerate(AFFECTNET_CODES):
        folder = "anger" if i in (1, 2) else name
        image(root / folder / f"image{i:07d}.jpg", name, 96, "RGB")
        rows.append([i, f"{folder}/image{i:07d}.jpg", WORDS.get(name, name), 0.9])
    image(root / "anger" / "unlisted.jpg", "anger", 96, "RGB")
    write_rows(root / "labels.csv", [["", "pth", "label", "relFCs"], *rows])
    return {"all": 8}


def affectnet_numbered(root: Path) -> dict[str, int]:
    for split in ("train", "valid"):
        for code, name in enumerate(AFFECTNET_CODES):
            image(root / "AffectNet" / split / str(code) / f"{code}.png", name, 96, "RGB")
    return {"train": 8, "validation": 8}


def affectnet_yolo(root: Path) -> dict[str, int]:
    """The face fills the box and another gray value the rest."""
    names = sorted(AFFECTNET_CODES)
    for split in ("train", "valid"):
        for i, name in enumerate(names):
            path = root / "YOLO_format" / split / "images" / f"ffhq_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = Image.new("L", (96, 96), 250)
            whole.paste(shade(name), (24, 12, 72, 84))
            whole.convert("RGB").save(path)
            label = path.parent.parent / "labels" / f"{path.stem}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text(f"{i} 0.5 0.5 0.5 0.75\n")
    (root / "YOLO_format/data.yaml").write_text(f"nc: 8\nnames: {[name.title() for name in names]}\n")
    return {"train": 8, "validation": 8}


VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")


def votes(name: str) -> list[int]:
    """Nine votes for one class and one stray."""
    return [9 if column == name else int(column == "unknown") for column in VOTE_COLUMNS]


def ferplus_generated(root: Path) -> dict[str, int]:
    number = 0
    for folder in ("FER2013Train", "FER2013Valid", "FER2013Test"):
        rows = []
        for name in VOTE_COLUMNS[:8]:
            image(root / "data" / folder / f"fer{number:07d}.png", name)
            rows.append([f"fer{number:07d}.png", "(0, 0, 48, 48)", *votes(name)])
            number += 1
        write_rows(root / "data" / folder / "label.csv", rows)
    return {"train": 8, "validation": 8, "test": 8}


def ferplus_generated_with_one_table(root: Path) -> dict[str, int]:
    ferplus_generated(root)
    rows, number = [["Usage", "Image name", *VOTE_COLUMNS]], 0
    for folder, usage in zip(("FER2013Train", "FER2013Valid"), ("Training", "PublicTest"), strict=True):
        (root / "data" / folder / "label.csv").unlink()
        for name in VOTE_COLUMNS[:8]:
            rows.append([usage, f"fer{number:07d}.png", *votes(name)])
            rows.append([usage, "", *votes("NF")])  # no image is made of what isn't a face
            number += 1
    write_rows(root / "fer2013new.csv", rows)
    (root / "data").rename(root / "images")
    return {"train": 8, "validation": 8, "test": 8}


def ferplus_folders(root: Path) -> dict[str, int]:
    for split in ("train", "validation", "test"):
        for name in VOTE_COLUMNS[:8]:
            image(root / split / WORDS.get(name, name) / "fer0.png", name, 112)
    return {"train": 8, "validation": 8, "test": 8}


def fer2013_split_tables(root: Path) -> dict[str, int]:
    rows = [[code, pixel_text(name)] for code, name in enumerate(CK_CODES[:7])]
    write_rows(root / "train.csv", [["emotion", "pixels"], *rows])
    write_rows(root / "test.csv", [["pixels"], *[row[1:] for row in rows]])
    return {"train": 7}


def fer2013_folders(root: Path) -> dict[str, int]:
    for split in ("train", "test"):
        for name in CK_CODES[:7]:
            image(root / "archive" / split / WORDS.get(name, name) / "Training_1.jpg", name)
    return {"train": 7, "test": 7}


def rafdb_numbered(root: Path, splits: Sequence[str], end: str) -> dict[str, int]:
    for split in splits:
        for code, name in enumerate(RAF_CODES, start=1):
            image(root / split / str(code) / f"{split}_{code:05d}{end}", name, 100, "RGB")
    return {"train": 7, "test": 7}


def rafdb_poster(root: Path) -> dict[str, int]:
    return rafdb_numbered(root, ("train", "valid"), "_aligned.jpg")


def rafdb_png(root: Path) -> dict[str, int]:
    return rafdb_numbered(root / "RAF-DB", ("train", "test"), ".png")


def rafdb_with_lists(root: Path) -> dict[str, int]:
    """Kaggle; its lists say .jpg, the images were converted."""
    for split in ("train", "test"):
        rows = [[f"{split}_{code:05d}_aligned.jpg", code] for code in range(7, 0, -1)]
        write_rows(root / f"{split}_labels.csv", [["image", "label"], *rows])
    return rafdb_numbered(root / "DATASET", ("train", "test"), "_aligned.png")


def rafdb_by_name(root: Path) -> dict[str, int]:
    for split in ("train", "test"):
        for name in RAF_CODES:
            image(root / split / WORDS.get(name, name) / f"{split}_1.jpg", name, 100, "RGB")
    return {"train": 7, "test": 7}


def rafdb_aligned_again(root: Path) -> dict[str, int]:
    for split in ("train", "test"):
        for code, name in enumerate(RAF_CODES, start=1):
            image(root / f"{split}_set" / str(code) / f"{code}.jpg", name, 112, "RGB")
    return {"train": 7, "test": 7}


def rafdb_official_as_png(root: Path) -> dict[str, int]:
    lines = []
    for split in ("train", "test"):
        for code, name in enumerate(RAF_CODES, start=1):
            image(root / f"RAF/basic/Image/aligned/{split}_{code:05d}.png", name, 100, "RGB")
            lines.append(f"{split}_{code:05d}.jpg {code}\n")
    (root / "RAF/basic/EmoLabel").mkdir()
    (root / "RAF/basic/EmoLabel/list_patition_label.txt").write_text("".join(lines))
    return {"train": 7, "test": 7}


def jaffe_in_class_folders(root: Path) -> dict[str, int]:
    for code, name in (("AN", "anger"), ("HA", "happiness"), ("SU", "surprise")):
        image(root / "JAFFE" / WORDS.get(name, name) / f"KA.{code}1.39.tiff", name, 256)
    return {"all": 3}


def jaffe_as_png(root: Path) -> dict[str, int]:
    for code, name in (("AN", "anger"), ("NE", "neutral"), ("SU", "surprise")):
        image(root / "jaffedbase" / f"KA.{code}1.39.png", name, 256)
    return {"all": 3}


@dataclass(frozen=True)
class Reupload:
    """A data set, what writes its tree (and gives the number of images of each split), and words of its notes."""

    name: str
    build: Callable[[Path], dict[str, int]]
    notes: tuple[str, ...] = ()
    options: dict = field(default_factory=dict)


REUPLOADS = [
    Reupload("ckplus", ckextended, ("splits share people",)),
    Reupload("ckplus", ck_in_splits),
    Reupload("affectnet", affectnet_with_list, ("2 of 8 differ", "1 images that are not in labels.csv are left out")),
    Reupload("affectnet", affectnet_numbered, ("read from AffectNet/",)),
    Reupload("affectnet", affectnet_yolo, ("read from YOLO_format/",)),
    Reupload("ferplus", ferplus_generated),
    Reupload("ferplus", ferplus_generated, options={"mode": "majority"}),
    Reupload("ferplus", ferplus_generated_with_one_table),
    Reupload("ferplus", ferplus_folders, ("the uploader's",)),
    Reupload("fer2013", fer2013_split_tables, ("test.csv left out: it has no labels",)),
    Reupload("fer2013", fer2013_folders, ("read from archive/",)),
    Reupload("rafdb", rafdb_poster, ("official test part", "7 of the official 3068")),
    Reupload("rafdb", rafdb_png),
    Reupload("rafdb", rafdb_with_lists),
    Reupload("rafdb", rafdb_by_name),
    Reupload("rafdb", rafdb_aligned_again),
    Reupload("rafdb", rafdb_official_as_png),
    Reupload("jaffe", jaffe_as_png),
    Reupload("jaffe", jaffe_in_class_folders),
]
