"""Parquet files as the Hugging Face hub stores them: labels by name or number, splits by file name, bounded memory."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.datasets import parquet
from expressnet_jax.data.decode import decode
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from reuploads import image, shade, shown

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
HUB_NAMES = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")  # of the schema, in order
SHOWN = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def encoded(name, size=8):
    file = io.BytesIO()
    Image.new("L", (size, size), shade(name)).save(file, "PNG")
    return file.getvalue()


def write(path, labels, values=None, names=HUB_NAMES, image_name="image", label_name="label", **options):
    """A table with an image of each of `labels`; `values`: what stands in the label column, else the numbers."""
    images = [{"bytes": encoded(label), "path": f"{i}.png"} for i, label in enumerate(labels)]
    values = [SHOWN.index(label) for label in labels] if values is None else values
    table = pa.table({"index": list(range(len(labels))), image_name: images, label_name: values})
    features = {image_name: {"_type": "Image"}, label_name: {"names": list(names or ()), "_type": "ClassLabel"}}
    if names:
        metadata = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": metadata})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def assert_right(prepared, split, count):
    images = prepared.split(split)
    found = [shown(decode(images.encoded(i), None, 1)) for i in range(len(images))]
    assert len(found) == count and found == [prepared.classes[label] for label in images.labels]


@pytest.mark.parametrize(
    ("image_name", "label_name", "names", "values"),
    [
        ("image", "label", HUB_NAMES, None),
        ("img", "emotion", HUB_NAMES, None),
        ("face", "Expression", None, list(HUB_NAMES)),
        ("image", "label", None, list(SHOWN)),
    ],
)
def test_a_file_with_names_in_its_schema_or_words_in_its_rows(image_name, label_name, names, values, tmp_path):
    path = write(tmp_path / "affectnet.parquet", SHOWN, values, names, image_name, label_name)
    prepared = prepare("folder", path, tmp_path / "data")
    assert_right(prepared, "all", 8)
    assert prepared.classes[-1] == "contempt"
    assert prepared.split("all").keys[2] == "affectnet.parquet row 3"


@pytest.mark.parametrize(
    "pattern", ["{}-0000{}-of-00002.parquet", "data/{}-0000{}-of-00002.parquet", "default/{}/000{}.parquet"]
)
def test_splits_of_several_files_in_order(pattern, tmp_path):
    for split in ("train", "validation", "test"):
        for number in (1, 0):
            write(
                tmp_path / "hub" / pattern.format(split, number), SHOWN[4 * number :][:4] if split == "train" else SHOWN
            )
    prepared = prepare("folder", tmp_path / "hub", tmp_path / "data")
    assert prepared.splits == {"train": 8, "validation": 16, "test": 16}
    assert_right(prepared, "train", 8)
    assert [prepared.classes[label] for label in prepared.split("train").labels] == list(SHOWN)


def test_bytes_without_a_struct_and_files_next_to_the_table(tmp_path):
    pq.write_table(pa.table({"image": [encoded(n) for n in SHOWN], "label": list(SHOWN)}), tmp_path / "plain.parquet")
    assert_right(prepare("folder", tmp_path / "plain.parquet", tmp_path / "data"), "all", 8)
    rows = [{"bytes": None, "path": image(tmp_path / f"{n}.png", n).name} for n in SHOWN]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"image": pa.array(rows, kind), "label": list(SHOWN)})
    pq.write_table(table, tmp_path / "paths.parquet")
    assert_right(prepare("folder", tmp_path / "paths.parquet", tmp_path / "data", overwrite=True), "all", 8)
    (tmp_path / "fear.png").unlink()
    with pytest.raises(UserError, match=r"paths\.parquet row 4: no image in it, and no file fear\.png next to it"):
        prepare("folder", tmp_path / "paths.parquet", tmp_path / "data", overwrite=True)


def test_numbers_without_names_and_rows_without_labels(tmp_path):
    values = [0, 1, -1, 1, 0, None, 0, 1]
    path = write(tmp_path / "x.parquet", SHOWN, values, names=None)
    prepared = prepare("folder", path, tmp_path / "data")
    assert prepared.classes == ("0", "1") and prepared.splits == {"all": 6}
    assert prepared.facts["notes"]["all left out"] == {"no label": 2}
    named = prepare("folder", path, tmp_path / "data", name="named", label_names="calm,cross")
    assert [named.classes[label] for label in named.split("all").labels] == [
        "calm",
        "cross",
        "cross",
        "calm",
        "calm",
        "cross",
    ]


def test_only_a_few_rows_are_read_at_a_time(tmp_path, monkeypatch):
    """Of a file in row groups, so that the first images come before the last ones are read."""
    path = write(tmp_path / "x.parquet", SHOWN * 64, row_group_size=64)
    asked = []
    opened = parquet._opened

    def counted(path):
        file = opened(path)
        batches = file.iter_batches

        class Counted:
            schema_arrow = file.schema_arrow

            def iter_batches(self, rows, columns):
                for batch in batches(rows, columns=columns):
                    asked.append((columns, batch.num_rows))
                    yield batch

        return Counted()

    monkeypatch.setattr(parquet, "_opened", counted)
    faces = parquet.ParquetFaces({"all": [path]})
    assert {columns[0] for columns, _ in asked} == {"label"}  # the labels alone first
    asked.clear()
    next(faces.records("all", {name: i for i, name in enumerate(HUB_NAMES)}))
    assert asked == [(["image", "label"], 64)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"], "label": [0]}, "no column of images; its columns are text, label"),
        ({"image": [b"x"], "mood": [0]}, "no column of labels; its columns are image, mood"),
        ({"left": [b"x"], "right": [b"x"], "label": [0]}, "several columns of images: left, right"),
        ({"image": [b"not an image"], "label": [0]}, r"x\.parquet row 1: "),
    ],
)
def test_a_table_of_something_else_is_named(columns, message, tmp_path):
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=message):
        prepare("folder", tmp_path / "x.parquet", tmp_path / "data")


def test_a_torn_file_and_names_that_fit_no_split(tmp_path):
    path = write(tmp_path / "torn" / "x.parquet", SHOWN)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"x\.parquet is damaged or not readable"):
        prepare("folder", path, tmp_path / "data")
    write(tmp_path / "mixed" / "train.parquet", SHOWN)
    write(tmp_path / "mixed" / "extra.parquet", SHOWN)
    with pytest.raises(UserError, match=r"extra\.parquet: its name has no split"):
        prepare("folder", tmp_path / "mixed", tmp_path / "data")


def test_a_number_that_the_schema_has_no_name_for(tmp_path):
    with pytest.raises(UserError, match="label 8 is not one of the 8 names"):
        prepare("folder", write(tmp_path / "x.parquet", SHOWN[:1], [8]), tmp_path / "data")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "x.parquet", SHOWN)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'expressnet-jax\[parquet\]'"):
        prepare("folder", path, tmp_path / "data")


def test_another_data_set_given_parquet_says_which_command_reads_it(tmp_path):
    path = write(tmp_path / "hub" / "train-00000-of-00001.parquet", SHOWN)
    for source in (path, path.parent):
        with pytest.raises(UserError, match="expressnet prepare folder --source") as error:
            prepare("rafdb", source, tmp_path / "data")
        assert str(source) in str(error.value) and "\n" not in str(error.value)


def test_fifty_thousand_labels_are_counted_in_moments(tmp_path):
    count = 50_000
    table = pa.table({"image": [b"x"] * count, "label": np.arange(count) % 7})
    pq.write_table(table, tmp_path / "x.parquet")
    faces = parquet.ParquetFaces({"all": [tmp_path / "x.parquet"]})
    assert sum(faces.counts["all"].values()) == count and len(faces.words) == 7
