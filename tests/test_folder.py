"""Anybody's pictures: class folders and CSV lists, their class names, and what is refused."""

import csv

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.datasets.folder import class_names
from expressnet_jax.data.decode import decode
from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT
from expressnet_jax.data.prepare import load, prepare
from expressnet_jax.errors import UserError


def picture(path, value, size=(6, 5), mode="L", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path, **options)
    return path


def tree(root, splits=("",), classes=("happy", "sad"), count=2):
    for i, split in enumerate(splits):
        for j, name in enumerate(classes):
            for k in range(count):
                picture(root / split / name / f"{k}.png", 100 * i + 10 * j + k)
    return root


def table(path, rows, header=("path", "label")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def values(split):
    return [int(decode(split.encoded(i), None, 1)[0, 0, 0]) for i in range(len(split))]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("Happy", "1_sad"), BASIC),
        (("happy", "sad", "Contempt"), WITH_CONTEMPT),
        (("happy", "Joy", "sad"), BASIC),
        (("happy", "bored"), ("bored", "happy")),
        (("s02", "s01"), ("s01", "s02")),
    ],
)
def test_class_names_are_the_taxonomy_or_as_found(words, expected):
    assert class_names(words) == expected


def test_class_folders_without_splits_are_all(tmp_path):
    prepared = prepare("folder", tree(tmp_path / "faces"), tmp_path / "data")
    assert prepared.classes == BASIC
    split = prepared.split("all")
    assert split.keys.tolist() == ["happy/0.png", "happy/1.png", "sad/0.png", "sad/1.png"]
    assert [BASIC[label] for label in split.labels] == ["happiness", "happiness", "sadness", "sadness"]
    assert values(split) == [0, 1, 10, 11]
    assert split.subjects is None


def test_split_folders_by_any_of_their_names(tmp_path):
    prepared = prepare("folder", tree(tmp_path / "faces", ("Training", "val", "test")), tmp_path / "data")
    assert list(prepared.splits.items()) == [("train", 4), ("validation", 4), ("test", 4)]
    assert values(prepared.split("validation")) == [100, 101, 110, 111]


def test_other_class_names_stay_as_they_are(tmp_path):
    prepared = prepare("folder", tree(tmp_path / "faces", classes=("s2", "s10", "bored")), tmp_path / "data")
    assert prepared.classes == ("bored", "s10", "s2")
    assert prepared.split("all").labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_several_folders_live_side_by_side(tmp_path):
    for name, count in (("first_faces", 2), ("second", 3)):
        prepare("folder", tree(tmp_path / name, count=count), tmp_path / "data", name=name)
    assert load("first_faces", tmp_path / "data").splits == {"all": 4}
    assert load("second", tmp_path / "data").splits == {"all": 6}
    assert values(load("second", tmp_path / "data").split("all")) == [0, 1, 2, 10, 11, 12]


@pytest.mark.parametrize("name", ["fer2013", "My Faces", "../x", ""])
def test_names_that_could_be_taken_for_something_else_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=f"name '{name}'"):
        prepare("folder", tree(tmp_path / "faces"), tmp_path / "data", name=name)


def test_formats_sizes_and_depths_may_differ(tmp_path):
    root = tmp_path / "faces"
    picture(root / "happy" / "deep" / "a.jpg", 10, (20, 30), "RGB", quality=100)
    picture(root / "happy" / "b.bmp", 20, (4, 4))
    picture(root / "sad" / "c.webp", 30, (9, 7), "RGB", lossless=True)
    picture(root / "sad" / "d.TIFF", 40, (5, 5), "RGBA")
    prepared = prepare("folder", root, tmp_path / "data")
    facts = prepared.facts["splits"]["all"]
    assert (facts["height"], facts["width"], facts["channels"]) == ([4, 30], [4, 20], [1, 3])
    np.testing.assert_allclose(values(prepared.split("all")), [20, 10, 30, 40], atol=1)


def test_hidden_files_and_other_files_are_passed_over(tmp_path):
    root = tree(tmp_path / "faces")
    for name in (".DS_Store", "happy/._0.png", "sad/notes.txt", "__MACOSX/happy/0.png", ".git/x/y.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"rubbish")
    assert prepare("folder", root, tmp_path / "data").splits == {"all": 4}


def test_csv_of_paths_and_labels(tmp_path):
    tree(tmp_path / "pictures")
    elsewhere = picture(tmp_path / "elsewhere.png", 77)
    rows = [("sad/1.png", " Sad "), (elsewhere, "happy"), ("../elsewhere.png", "sad")]
    prepared = prepare("folder", table(tmp_path / "pictures" / "list.csv", rows), tmp_path / "data")
    split = prepared.split("all")
    assert values(split) == [11, 77, 77]
    assert [BASIC[label] for label in split.labels] == ["sadness", "happiness", "sadness"]


def test_csv_with_splits_and_subjects(tmp_path):
    tree(tmp_path)
    rows = [
        ("ann", "happy/0.png", "happy", "train"),
        ("bob", "sad/0.png", "sad", "Test"),
        ("", "sad/1.png", "sad", "training"),
    ]
    source = table(tmp_path / "list.csv", rows, ("Person", " File", "Emotion", "SPLIT"))
    prepared = prepare("folder", source, tmp_path / "data")
    assert prepared.splits == {"train": 2, "test": 1}
    assert prepared.split("train").subjects.tolist() == ["ann", ""]
    assert values(prepared.split("train")) == [0, 11]


BROKEN_ROWS = [
    (("nowhere.png", "sad"), r"row 3: no .*nowhere.png \(1 of 2 listed files are missing\)"),
    (("sad/0.png", ""), "row 3: the label is empty"),
    (("", "sad"), "row 3: the path is empty"),
    (("sad/0.png",), "row 3: the label is empty"),
]


@pytest.mark.parametrize(("row", "message"), BROKEN_ROWS)
def test_a_broken_row_is_named(tmp_path, row, message):
    tree(tmp_path)
    with pytest.raises(UserError, match=r"list\.csv " + message):
        prepare("folder", table(tmp_path / "list.csv", [("happy/0.png", "happy"), row]), tmp_path / "data")


def test_broken_tables_are_named(tmp_path):
    tree(tmp_path)
    for rows, header, message in (
        ([], ("path", "label"), "no rows below the header"),
        ([("a", "b")], ("path", "mood"), "no column for the label; it has path, mood; name it label, emotion or class"),
        ([("sad/0.png", "sad", "third")], ("path", "label", "split"), "row 2: split 'third' is not one of train"),
    ):
        with pytest.raises(UserError, match=message):
            prepare("folder", table(tmp_path / "list.csv", rows, header), tmp_path / "data")
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe,sad\n")
    with pytest.raises(UserError, match="not UTF-8 and was read as cp1252"):
        prepare("folder", tmp_path / "list.csv", tmp_path / "data")


def test_an_unreadable_picture_is_named(tmp_path):
    root = tree(tmp_path / "faces")
    (root / "sad" / "1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"folder: sad/1\.png: text, not an image"):
        prepare("folder", root, tmp_path / "data")


def test_trees_that_make_no_sense_are_refused(tmp_path):
    empty = tmp_path / "empty"
    (empty / "happy").mkdir(parents=True)
    with pytest.raises(UserError, match="no class folders with pictures"):
        prepare("folder", empty, tmp_path / "data")
    with pytest.raises(UserError, match="val/ and validation/ are both the validation split"):
        prepare("folder", tree(tmp_path / "twice", ("train", "val", "validation")), tmp_path / "data")
    with pytest.raises(UserError, match="sad/ is beside train/"):
        prepare("folder", tree(tree(tmp_path / "mixed", ("train",)), classes=("sad",)), tmp_path / "data")
    with pytest.raises(UserError, match="one class, happiness"):
        prepare("folder", tree(tmp_path / "one", classes=("happy", "joy")), tmp_path / "data")
