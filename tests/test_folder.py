"""Anybody's images: class folders and CSV lists, their class names, and what is refused."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.datasets.folder import class_names
from expressnet_jax.data.decode import decode
from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.remarks import remarks
from expressnet_jax.data.store import load
from expressnet_jax.errors import UserError


def image(path, value, size=(6, 5), mode="L", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path, **options)
    return path


def tree(root, splits=("",), classes=("happy", "sad"), count=2):
    for i, split in enumerate(splits):
        for j, name in enumerate(classes):
            for k in range(count):
                image(root / split / name / f"{k}.png", 100 * i + 10 * j + k)
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
    image(root / "happy" / "deep" / "a.jpg", 10, (20, 30), "RGB", quality=100)
    image(root / "happy" / "b.bmp", 20, (4, 4))
    image(root / "sad" / "c.webp", 30, (9, 7), "RGB", lossless=True)
    image(root / "sad" / "d.TIFF", 40, (5, 5), "RGBA")
    prepared = prepare("folder", root, tmp_path / "data")
    facts = prepared.facts["splits"]["all"]
    assert (facts["height"], facts["width"], facts["channels"]) == ([4, 30], [4, 20], [1, 3])
    np.testing.assert_allclose(values(prepared.split("all")), [20, 10, 30, 40], atol=1)


@pytest.mark.parametrize("splits", [("",), ("train", "test")])
def test_what_takes_no_part_is_counted_and_named(tmp_path, splits):
    root = tree(tmp_path / "faces", splits)
    part = root / splits[-1]
    image = (part / "happy" / "0.png").read_bytes()
    litter = (".DS_Store", "happy/._0.png", "__MACOSX/happy/0.png", ".git/x/y.png", "sad/@eaDir/0.png", "Thumbs.db")
    others = {"sad/notes.jpg": b"text", "happy/clip.png": b"FLV\x01" + bytes(20), "a.png": image, "sad/empty.png": b""}
    for name, content in {**dict.fromkeys(litter, image), **others}.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).write_bytes(content)
    prepared = prepare("folder", root, tmp_path / "data")
    assert sum(prepared.splits.values()) == 4 * len(splits)
    assert prepared.facts["notes"]["litter"] == len(litter)
    assert prepared.facts["notes"]["left out"] == {
        (Path(splits[-1]) / name).as_posix(): reason
        for name, reason in {
            "a.png": "an image in no class folder",
            "happy/clip.png": "a video",
            "sad/empty.png": "an empty file",
            "sad/notes.jpg": "text",
        }.items()
    }
    lines = remarks("faces", prepared.facts["notes"])
    assert lines[0] == "faces: left out 4 files:" and lines[-1].startswith("skipped 6 files of litter")
    assert len(lines) == 6 and any(line.endswith("notes.jpg (text)") for line in lines)


def test_content_decides_and_not_the_suffix(tmp_path):
    root = tree(tmp_path / "faces", count=4)
    for name in ("happy", "sad"):
        (root / name / "0.png").rename(root / name / "0.jfif")
        (root / name / "1.png").rename(root / name / "one")
        (root / name / "2.png").rename(root / name / "2.txt")
    assert prepare("folder", root, tmp_path / "data").splits == {"all": 8}


def test_names_in_another_encoding_are_prepared(tmp_path):
    root = os.fsencode(tree(tmp_path / "faces", count=1))
    os.rename(root + b"/sad/0.png", root + "/sad/\u7167\u7247.png".encode("gbk"))
    os.rename(root + b"/sad", root + "/\u7167".encode("gbk"))
    prepared = prepare("folder", tmp_path / "faces", tmp_path / "data")
    assert prepared.classes == ("\\xd5\\xd5", "happy") and len(prepared.split("all")) == 2
    assert prepared.split("all").keys[-1].startswith("\\xd5\\xd5/\\xd5\\xd5")


def torn(path):
    """Half of a JPEG that is more than a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((60, 60), 90).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_all_bad_images_are_named_and_nothing_is_written(tmp_path):
    root = tree(tmp_path / "faces", ("train", "test"))
    names = ["train/happy/0.png", "train/sad/b.jpg", "test/sad/1.png"]
    for name in names:
        torn(root / name)
    with pytest.raises(UserError, match="faces: 3 images are bad:") as error:
        prepare("folder", root, tmp_path / "data", name="faces")
    _, *lines, last = str(error.value).split("\n")
    assert [line.split(": ")[0].strip() for line in lines] == names
    assert all("truncated" in line for line in lines) and "--skip_bad" in last
    assert not [path for path in (tmp_path / "data").iterdir() if not path.name.endswith(".lock")]
    for name in names[1:]:
        (root / name).unlink()
    with pytest.raises(UserError, match=r"^folder: train/happy/0\.png: truncated.*leave it out with --skip_bad"):
        prepare("folder", root, tmp_path / "data")


def test_of_many_bad_images_the_first_are_named(tmp_path):
    root = tree(tmp_path / "faces", count=1)
    for i in range(25):
        torn(root / "sad" / f"{i:02d}.jpg")
    with pytest.raises(UserError, match="and 5 more") as error:
        prepare("folder", root, tmp_path / "data")
    assert str(error.value).count("truncated or damaged") == 20


def test_bad_images_are_skipped_counted_and_named(tmp_path):
    root = tree(tmp_path / "faces", count=3)
    for name in ("happy/1.png", "sad/2.png"):
        torn(root / name)
    prepared = prepare("folder", root, tmp_path / "data", skip_bad=True)
    assert values(prepared.split("all")) == [0, 2, 10, 11]
    assert prepared.split("all").labels.tolist() == [3, 3, 4, 4]
    left_out = prepared.facts["notes"]["left out"]
    assert list(left_out) == ["happy/1.png", "sad/2.png"] and all("truncated" in why for why in left_out.values())
    for path in root.rglob("*"):
        if path.is_file():
            torn(path)
    with pytest.raises(UserError, match="holds no images that can be used"):
        prepare("folder", root, tmp_path / "other", skip_bad=True)


def test_labels_of_one_meaning_are_said_or_kept_apart(tmp_path):
    root = tree(tmp_path / "faces", classes=("smile", "joy", "neutral"))
    prepared = prepare("folder", root, tmp_path / "merged")
    assert prepared.facts["notes"]["merged labels"] == {"happiness": ["joy", "smile"]}
    (line,) = remarks("faces", prepared.facts["notes"])
    assert line.startswith("faces: joy and smile are both read as happiness; --option labels=own")
    apart = prepare("folder", root, tmp_path / "apart", labels="own")
    assert apart.classes == ("joy", "neutral", "smile") and not apart.facts["notes"]
    with pytest.raises(UserError, match="labels: 'mine' is not one of auto, own"):
        prepare("folder", root, tmp_path / "apart", labels="mine")
    alone = prepare("folder", tree(tmp_path / "two", classes=("smile", "joy")), tmp_path / "alone")
    assert alone.classes == ("joy", "smile") and alone.split("all").labels.tolist() == [0, 0, 1, 1]
    (line,) = remarks("two", alone.facts["notes"])
    assert line == "two: joy and smile mean happiness, and there is no other class: each is kept as its own class"


def test_one_label_in_two_cases_is_no_remark(tmp_path):
    root = tree(tree(tmp_path / "faces", ("train",)), ("test",), ("Happy", "SAD"))
    assert prepare("folder", root, tmp_path / "data").facts["notes"] == {}


def test_csv_of_paths_and_labels(tmp_path):
    tree(tmp_path / "images")
    elsewhere = image(tmp_path / "elsewhere.png", 77)
    rows = [("sad/1.png", " Sad "), (elsewhere, "happy"), ("../elsewhere.png", "sad")]
    prepared = prepare("folder", table(tmp_path / "images" / "list.csv", rows), tmp_path / "data")
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


def test_trees_that_make_no_sense_are_refused(tmp_path):
    empty = tmp_path / "empty"
    (empty / "happy").mkdir(parents=True)
    with pytest.raises(UserError, match="no class folders with images"):
        prepare("folder", empty, tmp_path / "data")
    with pytest.raises(UserError, match="val/ and validation/ are both the validation split"):
        prepare("folder", tree(tmp_path / "twice", ("train", "val", "validation")), tmp_path / "data")
    with pytest.raises(UserError, match="sad/ is next to train/"):
        prepare("folder", tree(tree(tmp_path / "mixed", ("train",)), classes=("sad",)), tmp_path / "data")
    with pytest.raises(UserError, match="one class, happiness"):
        prepare("folder", tree(tmp_path / "one", classes=("happy", "Happy")), tmp_path / "data")
    page = tmp_path / "one" / "sad" / "0.jpg"
    page.parent.mkdir()
    page.write_bytes(b"<html>404</html>")
    with pytest.raises(UserError, match=r"one class, happiness; .*; left out: sad/0\.jpg \(a web page\)"):
        prepare("folder", tmp_path / "one", tmp_path / "data")
