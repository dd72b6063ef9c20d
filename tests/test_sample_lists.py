"""Lists of images as people save them: delimiters, encodings, headers, paths from elsewhere, and what is refused."""

import json
import os
import unicodedata

import numpy as np
import pytest

from expressnet_jax.data.datasets.listed_files import ListedFiles
from expressnet_jax.data.datasets.tables import Table, encoding_of
from expressnet_jax.data.decode import decode
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from reuploads import image, shown, write_rows

NAMES = ("happiness", "sadness", "surprise")


def faces(root, names=NAMES):
    return [image(root / name / f"{i}.png", name) for name in names for i in range(2)]


def rows(root, folder=None, word=lambda name: name):
    """(path, label) of every face below `root`, in order."""
    paths = sorted(root.glob("*/*.png"))
    return [(os.path.relpath(path, folder or root), word(path.parent.name)) for path in paths]


def assert_right(prepared, split="all", count=6):
    images = prepared.split(split)
    found = [shown(decode(images.encoded(i), None, 1)) for i in range(len(images))]
    assert len(found) == count and len(set(found)) >= 2
    assert found == [prepared.classes[label] for label in images.labels]


def prepare_list(tmp_path, header, lines, **options):
    faces(tmp_path / "faces")
    table = write_rows(tmp_path / "faces" / "list.csv", [header, *lines] if header else lines, **options)
    return prepare("folder", table, tmp_path / "data")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_any_delimiter_and_encoding(delimiter, encoding, tmp_path):
    faces(tmp_path / "faces")
    image(tmp_path / "faces/sadness/Zoë, 2.png", "sadness")
    lines = rows(tmp_path / "faces")
    table = write_rows(tmp_path / "faces/list.csv", [("path", "label"), *lines], delimiter, encoding)
    prepared = prepare("folder", table, tmp_path / "data")
    assert_right(prepared, count=7)
    assert "sadness/Zoë, 2.png" in prepared.split("all").keys
    guess = prepared.facts["notes"].get("encoding", "")
    assert encoding in guess if encoding in ("utf-16-le", "cp1252") else not guess


def test_chinese_names_in_gbk_are_found_whatever_bytes_the_disk_has(tmp_path):
    faces(tmp_path / "faces")
    for encoding in ("utf-8", "gbk"):  # a zip from Windows leaves the names in GBK
        path = os.path.join(os.fsencode(tmp_path / "faces"), b"sadness", f"照片{encoding}.png".encode(encoding))
        with open(path, "wb") as file:
            file.write((tmp_path / "faces/sadness/0.png").read_bytes())
    lines = [("sadness/照片utf-8.png", "sadness"), ("sadness/照片gbk.png", "sadness"), ("happiness/0.png", "happiness")]
    table = write_rows(tmp_path / "faces/list.csv", [("path", "label"), *lines], encoding="gbk")
    assert encoding_of(table) == "gb18030"
    prepared = prepare("folder", table, tmp_path / "data")
    assert_right(prepared, count=3)
    assert prepared.split("all").keys.tolist() == [path for path, _ in lines]


@pytest.mark.parametrize("text", ["Zoë Müller,straße,çà et là", "naïve;Ångström", "Fünf große Äpfel"])
def test_western_text_is_not_taken_for_chinese(text, tmp_path):
    (tmp_path / "list.csv").write_bytes(text.encode("cp1252"))
    assert encoding_of(tmp_path / "list.csv") == "cp1252"
    assert "".join("".join(v) for _, v in Table(tmp_path / "list.csv", ()).rows())[:3] == text[:3]


def test_names_that_a_mac_wrote_apart_are_found(tmp_path):
    name = unicodedata.normalize("NFD", "Zoë.png")
    image(tmp_path / name, "sadness")
    assert ListedFiles(tmp_path, [unicodedata.normalize("NFC", "Zoë.png")]).path("Zoë.png").is_file()


@pytest.mark.parametrize(
    "header",
    [
        ("img", "expression"),
        ("Image Name", "Category"),
        ("subDirectory_filePath", "class_name"),
        ("FILENAME", "Target"),
        ("file_path", "Emotion"),
        (" pth ", "label"),
    ],
)
def test_headers_as_people_name_them(header, tmp_path):
    faces(tmp_path / "faces")
    assert_right(prepare_list(tmp_path, header, rows(tmp_path / "faces")))


def test_other_columns_and_an_index_do_not_disturb(tmp_path):
    faces(tmp_path / "faces")
    lines = [(i, path, label, 0.9) for i, (path, label) in enumerate(rows(tmp_path / "faces"))]
    assert_right(prepare_list(tmp_path, ("", "pth", "label", "relFCs"), lines))


def test_a_table_without_header_and_one_of_words_with_spaces(tmp_path):
    faces(tmp_path / "faces")
    assert_right(prepare_list(tmp_path, None, rows(tmp_path / "faces")))
    (tmp_path / "faces/list.txt").write_text("".join(f"{path} {label}\n" for path, label in rows(tmp_path / "faces")))
    assert_right(prepare("folder", tmp_path / "faces/list.txt", tmp_path / "data", name="spaces"))


def test_a_column_for_each_class(tmp_path):
    """Roboflow's _classes.csv."""
    faces(tmp_path / "faces")
    words = [label for _, label in rows(tmp_path / "faces")]
    lines = [(path, *(int(name == label) for name in NAMES)) for path, label in rows(tmp_path / "faces")]
    prepared = prepare_list(tmp_path, ("filename", *NAMES), lines)
    assert_right(prepared)
    assert [prepared.classes[label] for label in prepared.split("all").labels] == words
    lines[2] = (lines[2][0], 1, 1, 0)
    with pytest.raises(UserError, match="row 4: 2 classes are marked, not one: happiness, sadness"):
        prepare_list(tmp_path, ("filename", *NAMES), lines)


def test_the_first_line_of_excel_is_understood(tmp_path):
    faces(tmp_path / "faces")
    body = "".join(f"{path};{label}\n" for path, label in rows(tmp_path / "faces"))
    (tmp_path / "faces/list.csv").write_text("sep=;\npath;label\n" + body)
    assert_right(prepare("folder", tmp_path / "faces/list.csv", tmp_path / "data"))


ELSEWHERE = {
    "Windows, relative": lambda path: path.replace("/", "\\"),
    "Windows, another computer": lambda path: "C:\\Users\\Ann\\faces\\" + path.replace("/", "\\"),
    "a notebook's disk": lambda path: f"/content/drive/MyDrive/faces/{path}",
    "from the folder above": lambda path: f"faces/{path}",
    "from here": lambda path: f"./{path}",
}


@pytest.mark.parametrize("written", ELSEWHERE)
def test_paths_written_elsewhere_are_found(written, tmp_path):
    faces(tmp_path / "faces")
    lines = [(ELSEWHERE[written](path), label) for path, label in rows(tmp_path / "faces")]
    prepared = prepare_list(tmp_path, ("path", "label"), lines)
    assert_right(prepared)
    assert ("without their first" in prepared.facts["notes"].get("paths", "")) == (
        "another" in written or "disk" in written
    )


def test_images_in_a_folder_next_to_the_list_are_found(tmp_path):
    for name in NAMES:
        image(tmp_path / "faces/images" / f"{name}.png", name)
    lines = [(f"{name}.png", name) for name in NAMES]
    table = write_rows(tmp_path / "faces/labels.csv", [("file_name", "label"), *lines])
    assert_right(prepare("folder", table, tmp_path / "data"), count=3)
    assert_right(prepare("folder", tmp_path / "faces", tmp_path / "data", name="of_folder"), count=3)


def test_two_paths_never_become_one(tmp_path):
    """Without their folders both would be 0.png, and one image would get both labels."""
    image(tmp_path / "0.png", "sadness")
    table = write_rows(tmp_path / "list.csv", [("path", "label"), ("/a/sad/0.png", "sad"), ("/a/happy/0.png", "happy")])
    with pytest.raises(UserError, match="2 of 2 listed files are missing"):
        prepare("folder", table, tmp_path / "data")


def test_all_that_is_missing_or_empty_is_counted_in_one_message(tmp_path):
    lines = [(f"gone/{i}.png", "sad") for i in range(30)] + [("happiness/0.png", "happy")]
    with pytest.raises(UserError, match=r"row 2: no .*gone/0\.png \(30 of 31 .* start at .*faces"):
        prepare_list(tmp_path, ("path", "label"), lines)
    lines = [("happiness/0.png", "" if i % 2 else "happy") for i in range(40)]
    with pytest.raises(UserError, match=r"20 rows: 3, 5, 7, .*21, \.\.\.: the label is empty"):
        prepare_list(tmp_path, ("path", "label"), lines)


def test_numbers_stay_numbers_with_a_word_or_get_their_names(tmp_path):
    faces(tmp_path / "faces")
    lines = rows(tmp_path / "faces", word=lambda name: str(NAMES.index(name)))
    prepared = prepare_list(tmp_path, ("path", "label"), lines)
    assert prepared.classes == ("0", "1", "2") and "label_names" in prepared.facts["notes"]["labels"]
    for start in (0, 1):  # 1.0, 2.0: as pandas writes a column with a gap
        moved = [(path, f"{int(label) + start}.0") for path, label in lines]
        table = write_rows(tmp_path / "faces/list.csv", [("path", "label"), *moved])
        named = prepare("folder", table, tmp_path / "data", name=f"named{start}", label_names="happy,sad,surprise")
        assert_right(named)


def test_many_numbers_are_in_the_order_of_numbers(tmp_path):
    lines = [("happiness/0.png", str(i)) for i in range(12)]
    assert prepare_list(tmp_path, ("path", "label"), lines).classes == tuple(map(str, range(12)))


def test_names_that_do_not_fit_the_numbers_are_refused(tmp_path):
    faces(tmp_path / "faces")
    table = write_rows(tmp_path / "faces/list.csv", [("path", "label"), ("sadness/0.png", "3"), ("sadness/1.png", "0")])
    with pytest.raises(UserError, match=r"label_names has 2 names, and there is a label 3"):
        prepare("folder", table, tmp_path / "data", label_names="a,b")
    with pytest.raises(UserError, match="the labels are happiness, sadness, surprise"):
        prepare(
            "folder",
            write_rows(table, [("path", "label"), *rows(tmp_path / "faces")]),
            tmp_path / "data",
            label_names="a",
        )


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
@pytest.mark.parametrize("splits", [("",), ("train", "test")])
def test_imagefolder_of_the_hub_with_its_metadata(name, splits, tmp_path):
    for split in splits:
        root = tmp_path / "faces" / split
        for label in NAMES:
            image(root / f"{label}.png", label)
        lines = [(f"{label}.png", label) for label in NAMES]
        if name.endswith("csv"):
            write_rows(root / name, [("file_name", "label"), *lines])
        else:
            (root / name).write_text(
                "".join(json.dumps({"file_name": path, "label": word}) + "\n" for path, word in lines)
            )
    prepared = prepare("folder", tmp_path / "faces", tmp_path / "data")
    for split in splits:
        assert_right(prepared, split or "all", 3)


def test_lists_named_after_splits(tmp_path):
    faces(tmp_path / "faces/images")
    for name in ("train", "val_labels"):
        write_rows(tmp_path / "faces" / f"{name}.csv", [("path", "label"), *rows(tmp_path / "faces/images")])
    prepared = prepare("folder", tmp_path / "faces", tmp_path / "data")
    assert_right(prepared, "train")
    assert_right(prepared, "validation")


def test_json_that_is_no_list_of_images_is_refused(tmp_path):
    for text, message in (("{", "not JSON"), ('{"a": 1}', "row 1: not an object with path and label")):
        (tmp_path / "list.jsonl").write_text(text)
        with pytest.raises(UserError, match=message):
            prepare("folder", tmp_path / "list.jsonl", tmp_path / "data")


def test_a_hundred_thousand_rows_take_few_looks_at_the_disk(tmp_path, monkeypatch):
    faces(tmp_path)
    names = [f"sadness/{i % 2}.png" for i in range(100_000)]
    looks = []
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: looks.append(path) or listed(path))
    files = ListedFiles(tmp_path, names)
    assert all(np.array([files.path(name).name == name[-5:] for name in names])) and len(looks) < 10


@pytest.mark.parametrize("word", ["NaN", "nan", "<NA>", "N/A", "null"])
def test_an_empty_label_is_none_however_a_tool_writes_it(word, tmp_path):
    with pytest.raises(UserError, match=r"list\.csv row 4: the label is empty; fill it in or remove the row"):
        prepare_list(tmp_path, ("path", "label"), [*rows_of_two(), ("happiness/1.png", word)])


def test_a_folder_in_a_list_is_one_bad_image(tmp_path):
    with pytest.raises(UserError, match=r"folder: happiness: can't be read \(Is a directory\), or leave it out"):
        prepare_list(tmp_path, ("path", "label"), [*rows_of_two(), ("happiness", "happiness")])


def rows_of_two():
    return [("happiness/0.png", "happiness"), ("sadness/0.png", "sadness")]
