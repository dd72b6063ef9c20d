"""What is no source at all, or one level too high or too low: the message says what it is and what to do next."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from dataset_layouts import LAYOUTS, UNLISTED, rafdb_official
from expressnet_jax.data.datasets import DATASETS, SOURCES
from expressnet_jax.data.datasets.folder import list_samples
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from reuploads import affectnet_numbered, fer2013_folders, image, rafdb_poster

READERS = [name for name in DATASETS if name not in ("synthetic", "identity")]
layouts = pytest.mark.parametrize("layout", LAYOUTS + UNLISTED, ids=lambda layout: layout.build.__name__)


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"0" * 100)
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


def png():
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    return file.getvalue()


FILES = {
    "x.zip": (zipped("a/b.jpg"), "is a zip archive; unpack it"),
    "x.rar": (b"Rar!\x1a\x07\x01\x00", "is a RAR archive; unpack it"),
    "x.7z": (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it"),
    "x.tgz": (b"\x1f\x8b\x08\x00" + bytes(20), "is a gzip archive; unpack it"),
    "x.tar": (tarred(), "is a tar archive; unpack it"),
    "labels.xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), "is an Excel workbook; export the sheet as CSV"),
    "labels.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "is an Excel workbook; export the sheet as CSV"),
    "face.csv": (png(), r"is an image \(PNG\)"),
    "page.csv": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
    "empty.csv": (b"", "is an empty file"),
    "fer2013.h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
    "pointer.csv": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
}


@pytest.mark.parametrize(("file", "reader"), [*[(file, "fer2013") for file in FILES], *[("x.zip", r) for r in READERS]])
def test_a_file_of_the_wrong_kind_is_called_what_it_is(file, reader, tmp_path):
    content, message = FILES[file]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        prepare(reader, tmp_path / file, tmp_path / "data")
    assert str(error.value).startswith(f"{reader}: {tmp_path / file}") and "\n" not in str(error.value)


def test_a_text_file_where_a_folder_is_needed(tmp_path):
    rafdb_official(tmp_path / "source")
    with pytest.raises(UserError, match=r"list_patition_label\.txt is a text file, not a folder"):
        prepare("rafdb", tmp_path / "source/EmoLabel/list_patition_label.txt", tmp_path / "data")


@layouts
def test_one_or_two_levels_too_high_is_found(layout, tmp_path):
    expected = layout.build(tmp_path / "download" / "archive (1)" / "set")
    prepared = prepare(layout.name, tmp_path / "download", tmp_path / "data")
    found = [key for split in prepared.splits for key in prepared.split(split).keys.tolist()]
    assert found == [key for _, key, _, _ in expected]


@layouts
def test_two_copies_are_not_chosen_between(layout, tmp_path):
    for copy in ("first", "second"):
        layout.build(tmp_path / "download" / copy)
    with pytest.raises(UserError, match=r"more than once; give one of .*first.*, .*second"):
        prepare(layout.name, tmp_path / "download", tmp_path / "data")


def test_a_part_of_the_data_set_names_the_whole(tmp_path):
    rafdb_poster(tmp_path / "source")
    for part in ("train", "train/1"):
        with pytest.raises(UserError, match=f"give all of it: --source {tmp_path / 'source'}$"):
            prepare("rafdb", tmp_path / "source" / part, tmp_path / "data")


def test_another_data_set_is_recognized(tmp_path):
    rafdb_official(tmp_path / "raf")
    for name in ("fer2013", "affectnet", "jaffe", "expw", "ckplus"):
        with pytest.raises(
            UserError, match=f"laid out like rafdb; run: expressnet prepare rafdb --source {tmp_path}/raf"
        ):
            prepare(name, tmp_path / "raf", tmp_path / "data")
    affectnet_numbered(tmp_path / "numbered")
    with pytest.raises(UserError, match="laid out like affectnet"):
        prepare("jaffe", tmp_path / "numbered/AffectNet", tmp_path / "data")
    fer2013_folders(tmp_path / "anybody")
    with pytest.raises(UserError, match="laid out like folder"):
        prepare("jaffe", tmp_path / "anybody/archive", tmp_path / "data")


@pytest.mark.parametrize("reader", READERS)
def test_an_archive_that_was_not_unpacked_is_pointed_at(reader, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/archive.zip").write_bytes(zipped("a/b.jpg"))
    with pytest.raises(UserError, match=r"unpack archive\.zip there first"):
        prepare(reader, tmp_path / "source", tmp_path / "data")


@pytest.mark.parametrize("reader", READERS)
def test_what_is_there_is_said_without_the_litter(reader, tmp_path):
    for name in ("notes/a.txt", "readme.md", ".DS_Store", "__MACOSX/x"):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(b"x")
    with pytest.raises(UserError) as error:
        prepare(reader, tmp_path / "source", tmp_path / "data")
    assert "DS_Store" not in str(error.value) and "MACOSX" not in str(error.value)
    if reader != "folder":
        assert "it holds notes/, readme.md" in str(error.value)


def test_a_folder_of_ones_own_one_level_too_high_or_too_low(tmp_path):
    for name in ("happy", "sad"):
        image(tmp_path / "download/faces" / name / "0.png", {"happy": "happiness", "sad": "sadness"}[name])
    prepared = prepare("folder", tmp_path / "download", tmp_path / "data")
    assert prepared.splits == {"all": 2} and "faces" in prepared.facts["notes"]["source"]
    with pytest.raises(UserError, match=r"not in class folders; did you mean --source .*download/faces\?"):
        prepare("folder", tmp_path / "download/faces/happy", tmp_path / "data")


def test_a_table_of_pixels_given_to_folder_is_sent_to_its_reader(tmp_path):
    (tmp_path / "x.csv").write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    with pytest.raises(UserError, match=r"expressnet prepare fer2013 \(or ckplus\) --source .*x\.csv"):
        prepare("folder", tmp_path / "x.csv", tmp_path / "data")


@pytest.mark.parametrize("file", ["x.zip", "labels.xlsx"])
def test_lists_for_fine_tuning_are_looked_at_too(file, tmp_path):
    (tmp_path / file).write_bytes(FILES[file][0])
    with pytest.raises(UserError, match=FILES[file][1]):
        list(list_samples(tmp_path / file))


def test_several_lists_are_not_chosen_between(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path,label\nx.png,happy\n")
    with pytest.raises(UserError, match=r"several lists; give one of them with --source: a\.csv, b\.csv"):
        prepare("folder", tmp_path, tmp_path / "elsewhere")


def test_every_data_set_says_what_it_reads():
    assert list(SOURCES) == list(DATASETS)


def test_an_address_and_a_device_are_called_so(tmp_path):
    with pytest.raises(UserError, match="an address, not a file; nothing is fetched"):
        prepare("folder", Path("https://example.org/faces.zip"), tmp_path)
    with pytest.raises(UserError, match="folder: /dev/null is a pipe or a device, not a file"):
        prepare("folder", Path("/dev/null"), tmp_path)
