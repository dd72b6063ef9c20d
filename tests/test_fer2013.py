"""FER2013 in its three layouts, and every way in which a copy of it can be broken."""

import csv

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.datasets.fer2013 import OFFICIAL_COUNTS, coverage
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError

USAGES = ["Training"] * 8 + ["PublicTest"] * 3 + ["PrivateTest"] * 4
SPLITS = {"train": slice(0, 8), "validation": slice(8, 11), "test": slice(11, 15)}
PIXELS = np.random.default_rng(0).integers(0, 256, (15, 48, 48), np.uint8)
LABELS = np.arange(15) % 7


def rows():
    return [
        [str(label), " ".join(map(str, pixels.ravel())), usage]
        for label, pixels, usage in zip(LABELS, PIXELS, USAGES, strict=True)
    ]


def write(path, rows, header=("emotion", "pixels", "Usage")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def folders(root, names=("angry", "Disgust", "fear", "happy", "2_sad", "surprised", "neutral"), splits=SPLITS):
    for split, rows in splits.items():
        for i in range(15)[rows]:
            path = root / split / names[LABELS[i]] / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PIXELS[i]).save(path)
    return root


def assert_complete(prepared):
    assert prepared.classes == BASIC
    assert prepared.splits == {"train": 8, "validation": 3, "test": 4}
    for name, rows in SPLITS.items():
        split = prepared.split(name)
        np.testing.assert_array_equal(split.labels, LABELS[rows])
        np.testing.assert_array_equal(decode_all(split, None, 1, 2)[..., 0], PIXELS[rows])


def test_fer2013_csv_keeps_labels_pixels_and_order(tmp_path):
    source = write(tmp_path / "fer2013.csv", rows())
    prepared = prepare("fer2013", source, tmp_path / "data")
    assert_complete(prepared)
    assert prepared.split("validation").keys.tolist() == ["row10", "row11", "row12"]


def test_icml_face_data_has_other_columns_and_spaces(tmp_path):
    moved = [[emotion, usage, pixels] for emotion, pixels, usage in rows()]
    write(tmp_path / "icml_face_data.csv", moved, ("emotion", " Usage", " pixels"))
    assert_complete(prepare("fer2013", tmp_path, tmp_path / "data"))


def test_rows_of_the_splits_may_be_mixed(tmp_path):
    mixed = rows()
    order = np.random.default_rng(1).permutation(15)
    prepared = prepare("fer2013", write(tmp_path / "fer.csv", [mixed[i] for i in order]), tmp_path / "data")
    expected = [LABELS[i] for i in order if USAGES[i] == "Training"]
    assert prepared.split("train").labels.tolist() == expected


def test_class_folders_are_read_in_the_order_of_their_names(tmp_path):
    prepared = prepare("fer2013", folders(tmp_path / "tree"), tmp_path / "data")
    train = prepared.split("train")
    assert train.keys[0] == "train/2_sad/04.png"
    assert train.keys.tolist() == sorted(train.keys)
    where = [int(key[-6:-4]) for key in train.keys]
    np.testing.assert_array_equal(train.labels, LABELS[where])
    np.testing.assert_array_equal(decode_all(train, None, 1, 1)[..., 0], PIXELS[where])


def test_a_part_of_the_splits_is_prepared_and_said(tmp_path):
    prepared = prepare("fer2013", write(tmp_path / "fer2013.csv", rows()[:11]), tmp_path / "data")
    assert prepared.splits == {"train": 8, "validation": 3}
    assert prepared.facts["notes"]["train"] == "8 of the official 28709 images"
    assert prepared.facts["notes"]["test"] == "0 of the official 3589 images"


def test_a_test_folder_that_holds_both_tests_is_said():
    both = {"train": [None] * 28_709, "test": [None] * 7_178}
    assert "PublicTest and PrivateTest together" in coverage(both)["test"]
    assert coverage({split: [None] * count for split, count in OFFICIAL_COUNTS.items()}) == {}


def set_cell(row, column, value):
    def change(table):
        table[row][column] = value

    return change


BROKEN_ROWS = {
    "row 6: 2303 pixels, not 2304": lambda table: set_cell(4, 1, table[4][1].rsplit(" ", 1)[0])(table),
    "row 6: 1 pixels": set_cell(4, 1, "12"),
    "row 6: pixel '256' is not": lambda table: set_cell(4, 1, "256 " + table[4][1].split(" ", 1)[1])(table),
    "row 6: pixel '-1' is not": lambda table: set_cell(4, 1, "-1 " + table[4][1].split(" ", 1)[1])(table),
    "row 6: pixel 'x' is not": lambda table: set_cell(4, 1, "x " + table[4][1].split(" ", 1)[1])(table),
    "row 6: emotion is '7'": set_cell(4, 0, "7"),
    "row 6: emotion is ''": set_cell(4, 0, ""),
    "row 6: Usage is 'Trai'": set_cell(4, 2, "Trai"),
    "row 6: 1 columns, not 3": lambda table: table.__setitem__(4, ["3"]),
    "no rows below the header": lambda table: table.clear(),
}


@pytest.mark.parametrize("message", BROKEN_ROWS)
def test_a_broken_row_is_named_and_nothing_is_prepared(tmp_path, message):
    table = rows()
    BROKEN_ROWS[message](table)
    with pytest.raises(UserError, match=r"^fer2013\.csv.*" + message):
        prepare("fer2013", write(tmp_path / "fer2013.csv", table), tmp_path / "data")
    assert not (tmp_path / "data" / "fer2013").exists()


def test_a_quote_that_is_never_closed_is_found_where_it_opens(tmp_path):
    source = write(tmp_path / "fer2013.csv", rows() * 20)
    lines = source.read_text().splitlines()
    lines[4] = '0,"' + lines[4][2:]
    source.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"fer2013\.csv row 5: torn"):
        prepare("fer2013", source, tmp_path / "data")


def test_a_header_without_the_columns_is_refused(tmp_path):
    source = write(tmp_path / "train.csv", [], ("emotion", "data"))
    with pytest.raises(UserError, match=r"row 1: .*needs emotion, Usage, pixels"):
        prepare("fer2013", source, tmp_path / "data")


@pytest.mark.parametrize("source", [None, "nowhere", ""])
def test_a_missing_source_says_where_to_get_it(tmp_path, source):
    with pytest.raises(UserError, match=r"challenges-in-representation-learning.*--source"):
        prepare("fer2013", None if source is None else tmp_path / source, tmp_path / "data")


def test_an_unknown_class_folder_is_named_with_the_valid_ones(tmp_path):
    names = ("angry", "disgust", "bored", "happy", "sad", "surprise", "neutral")
    with pytest.raises(UserError, match=r"train/bored; the classes are: anger, disgust"):
        prepare("fer2013", folders(tmp_path / "tree", names), tmp_path / "data")


def change_image(root, change):
    path = root / "train" / "fear" / "02.png"
    change(path)
    return root


BROKEN_IMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "colour where gray": lambda path: Image.fromarray(PIXELS[:3].transpose(1, 2, 0).copy()).save(path),
    "47x48, not 48x48": lambda path: Image.fromarray(PIXELS[0, :47]).save(path),
}


@pytest.mark.parametrize("message", BROKEN_IMAGES)
def test_a_broken_image_is_named(tmp_path, message):
    root = change_image(folders(tmp_path / "tree"), BROKEN_IMAGES[message])
    with pytest.raises(UserError, match=r"fer2013: train/fear/02\.png: .*" + message):
        prepare("fer2013", root, tmp_path / "data")


def test_gray_stored_as_three_equal_channels_is_gray(tmp_path):
    root = folders(tmp_path / "tree")
    change_image(root, lambda path: Image.fromarray(PIXELS[2]).convert("RGB").save(path))
    train = prepare("fer2013", root, tmp_path / "data").split("train")
    position = train.keys.tolist().index("train/fear/02.png")
    np.testing.assert_array_equal(decode_all(train, None, 1, 1)[position, ..., 0], PIXELS[2])


def test_an_empty_split_is_refused(tmp_path):
    root = folders(tmp_path / "tree", splits={"train": SPLITS["train"]})
    (root / "test" / "happy").mkdir(parents=True)
    with pytest.raises(UserError, match="test: no class folders with images"):
        prepare("fer2013", root, tmp_path / "data")


def test_one_class_only_is_refused(tmp_path):
    alike = [["3", pixels, usage] for _, pixels, usage in rows()]
    with pytest.raises(UserError, match="one class, happiness"):
        prepare("fer2013", write(tmp_path / "fer2013.csv", alike), tmp_path / "data")
