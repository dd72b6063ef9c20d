"""Tiny trees in exactly the layouts in which the data sets under a licence are handed out. Each builder returns what a
reader must find there: (split, key, class, subject) of every image, in order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

Row = tuple[str, str, str, str]  # split, key, class, subject

AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
)


def image(path: Path, size: tuple[int, int] = (48, 48), mode: str = "L", seed: int = 0) -> None:
    """Writes noise of (width, height) `size`; the suffix sets the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def rafdb_official(root: Path) -> list[Row]:
    names = {"train_00001": 5, "train_00002": 1, "test_0001": 7, "test_0002": 3}
    write(root / "EmoLabel/list_patition_label.txt", "".join(f"{name}.jpg {code}\n" for name, code in names.items()))
    for seed, name in enumerate(names):
        image(root / f"Image/aligned/{name}_aligned.jpg", (100, 100), "RGB", seed)
    classes = ("sadness", "surprise", "neutral", "disgust")
    return [(n.split("_")[0], f"{n}_aligned.jpg", c, "") for n, c in zip(names, classes, strict=True)]


def rafdb_in_basic(root: Path) -> list[Row]:
    return rafdb_official(root / "basic")


def rafdb_numbered(root: Path) -> list[Row]:
    rows = [("train", 4, "train_00001"), ("train", 1, "train_00002"), ("test", 2, "test_0001")]
    for split, code, name in rows:
        image(root / f"DATASET/{split}/{code}/{name}_aligned.jpg", (100, 100), "RGB")
    classes = ("happiness", "surprise", "fear")
    return [(split, f"{name}_aligned.jpg", c, "") for (split, _, name), c in zip(rows, classes, strict=True)]


def rafdb_numbered_with_lists(root: Path) -> list[Row]:
    rows = rafdb_numbered(root)
    write(root / "train_labels.csv", "image,label\ntrain_00002_aligned.jpg,1\ntrain_00001_aligned.jpg,4\n")
    write(root / "test_labels.csv", "image,label\ntest_0001_aligned.jpg,2\n")
    return [rows[1], rows[0], rows[2]]


def affectnet_original(root: Path) -> list[Row]:
    rows = ["1/a.jpg,10,20,40,40,1;2,0,0.1,-0.2", "1/b.jpg,0,0,60,80,,7,-0.5,0.5", "2/c.png,5,5,30,30,,8,-2,-2"]
    write(root / "Manually_Annotated_file_lists/training.csv", AFFECTNET_HEADER + "\n".join(rows) + "\n")
    write(root / "Manually_Annotated_file_lists/validation.csv", "2/d.jpg,-4,-4,50,50,,6,0.9,0.25\n")
    for name in ("1/a.jpg", "1/b.jpg", "2/d.jpg"):
        image(root / "Manually_Annotated_Images" / name, (60, 80), "RGB")
    return [
        ("train", "1/a.jpg", "neutral", ""),
        ("train", "1/b.jpg", "contempt", ""),
        ("validation", "2/d.jpg", "anger", ""),
    ]


def affectnet_annotations(root: Path) -> list[Row]:
    faces = {"train_set": {"2": ("3", "0.5"), "10": ("1", "-0.25")}, "val_set": {"0": ("5", "0")}}
    for folder, values in faces.items():
        for stem, (expression, valence) in values.items():
            image(root / folder / f"images/{stem}.jpg", (224, 224), "RGB")
            (root / folder / "annotations").mkdir(exist_ok=True)
            for kind, value in (("exp", expression), ("val", valence), ("aro", "0.125"), ("lnd", "7")):
                np.save(root / folder / f"annotations/{stem}_{kind}.npy", np.array(value))
    return [
        ("train", "2.jpg", "surprise", ""),
        ("train", "10.jpg", "happiness", ""),
        ("validation", "0.jpg", "disgust", ""),
    ]


def ckplus_sequences(root: Path) -> list[Row]:
    for subject, sequence, frames, code in (("S005", "001", 5, 3), ("S010", "002", 2, 7), ("S011", "001", 4, None)):
        stems = [f"{subject}_{sequence}_{i:08d}" for i in range(1, frames + 1)]
        for stem in stems:
            image(root / f"cohn-kanade-images/{subject}/{sequence}/{stem}.png", (64, 49))
        if code is not None:
            write(root / f"Emotion/{subject}/{sequence}/{stems[-1]}_emotion.txt", f"   {code:.7e}\n")
    first = [("all", f"S005/001/S005_001_{i:08d}.png", "disgust", "S005") for i in (3, 4, 5)]
    return first + [("all", f"S010/002/S010_002_{i:08d}.png", "surprise", "S010") for i in (1, 2)]


def ckplus_folders(root: Path) -> list[Row]:
    rows = [
        ("anger", "S010_004_00000017.png"),
        ("contempt", "S138_008_00000008.png"),
        ("happy", "S011_006_00000011.png"),
    ]
    for folder, name in rows:
        image(root / "CK+48" / folder / name)
    classes = ("anger", "contempt", "happiness")
    return [("all", f"{f}/{name}", c, name[:4]) for (f, name), c in zip(rows, classes, strict=True)]


def jaffe(root: Path) -> list[Row]:
    names = {"KA.AN1.39.tiff": "anger", "KA.NE2.27.tiff": "neutral", "YM.SU3.66.tiff": "surprise"}
    for name in names:
        image(root / name, (256, 256))
    return [("all", name, c, name[:2]) for name, c in names.items()]


def expw(root: Path) -> list[Row]:
    lines = ["a.jpg 0 10 5 45 50 90.1 3", "a.jpg 1 30 20 100 90 12.5 6", "b.jpg 0 0 0 30 30 60 0"]
    write(root / "data/label/label.lst", "\n".join(lines) + "\n")
    for seed, name in enumerate(("a.jpg", "b.jpg")):
        image(root / "data/image/origin" / name, (80, 60), "RGB", seed)
    return [("all", "a.jpg#0", "happiness", ""), ("all", "a.jpg#1", "neutral", ""), ("all", "b.jpg#0", "anger", "")]


def lfw_with_identities(root: Path) -> list[Row]:
    write(root / "legend.csv", "image,emotion,identity\r\nx.jpg,contempt,Ann_Lee\r\nBo_0001.jpg,neutral,Bo\r\n")
    for name in ("x.jpg", "Bo_0001.jpg"):
        image(root / "images" / name, (64, 64))
    return [("all", "x.jpg", "contempt", "Ann_Lee"), ("all", "Bo_0001.jpg", "neutral", "Bo")]


def lfw_of_muxspace(root: Path) -> list[Row]:
    names = ("Aaron_Eckhart_0001.jpg", "Aaron_Eckhart_0012.jpg", "facial-expressions_2868588k.jpg")
    words = ("happiness", "NEUTRAL", "angry")
    rows = "".join(f"302,{name},{word}\n" for name, word in zip(names, words, strict=True))
    write(root / "data/legend.csv", "user.id,image,emotion\n" + rows)
    for name in names:
        image(root / "images" / name, (60, 70), "RGB")
    classes, people = ("happiness", "neutral", "anger"), ("Aaron_Eckhart", "Aaron_Eckhart", names[2][:-4])
    return [("all", *row) for row in zip(names, classes, people, strict=True)]


@dataclass(frozen=True)
class Layout:
    """A data set, what writes its tree, one image in it, and what the message about that image must name."""

    name: str
    build: Callable[[Path], list[Row]]
    image: str
    where: str


LAYOUTS = [
    Layout("rafdb", rafdb_official, "Image/aligned/train_00002_aligned.jpg", "list_patition_label.txt row 2"),
    Layout("rafdb", rafdb_in_basic, "basic/Image/aligned/test_0001_aligned.jpg", "list_patition_label.txt row 3"),
    Layout("rafdb", rafdb_numbered_with_lists, "DATASET/train/4/train_00001_aligned.jpg", "train_labels.csv row 3"),
    Layout("affectnet", affectnet_original, "Manually_Annotated_Images/1/b.jpg", "training.csv row 3"),
    Layout("affectnet", affectnet_annotations, "train_set/images/10.jpg", "train_set"),
    Layout(
        "ckplus", ckplus_sequences, "cohn-kanade-images/S005/001/S005_001_00000005.png", "S005_001_00000005_emotion"
    ),
    Layout("expw", expw, "data/image/origin/b.jpg", "label.lst row 3"),
    Layout("lfw_expression", lfw_with_identities, "images/Bo_0001.jpg", "legend.csv row 3"),
    Layout("lfw_expression", lfw_of_muxspace, "images/Aaron_Eckhart_0012.jpg", "legend.csv row 3"),
]
UNLISTED = [
    Layout("rafdb", rafdb_numbered, "DATASET/test/2/test_0001_aligned.jpg", ""),
    Layout("ckplus", ckplus_folders, "CK+48/happy/S011_006_00000011.png", ""),
    Layout("jaffe", jaffe, "KA.NE2.27.tiff", ""),
]
