"""The data sets as Kaggle and others hand them on: every image keeps its label, wherever the label is written."""

import numpy as np
import pytest

from expressnet_jax.data.decode import decode
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.remarks import remarks
from expressnet_jax.errors import UserError
from reuploads import (
    REUPLOADS,
    affectnet_numbered,
    affectnet_with_list,
    affectnet_yolo,
    ckextended,
    ferplus_generated,
    image,
    rafdb_numbered,
    shown,
    write_rows,
)


def pairs(prepared, split):
    """(what an image shows, what its label says) of every image of a split."""
    images = prepared.split(split)
    found = [shown(decode(images.encoded(i), None, 1)) for i in range(len(images))]
    return list(zip(found, [prepared.classes[label] for label in images.labels], strict=True))


@pytest.mark.parametrize("layout", REUPLOADS, ids=lambda layout: layout.build.__name__)
def test_every_image_has_the_label_that_it_shows(layout, tmp_path):
    expected = layout.build(tmp_path / "source")
    prepared = prepare(layout.name, tmp_path / "source", tmp_path / "data", **layout.options)
    assert prepared.splits == expected
    for split, count in expected.items():
        found = pairs(prepared, split)
        assert all(seen == said for seen, said in found), found
        assert len({said for _, said in found}) >= count // 2  # they don't all show the same
    said = "\n".join(remarks(layout.name, prepared.facts["notes"]))
    assert all(words in said for words in layout.notes), said
    assert "left out 1 file" not in said  # a list that is read isn't called left out


def test_ckplus_reads_its_table_of_pixels_by_itself_and_has_no_people(tmp_path):
    ckextended(tmp_path / "source")
    prepared = prepare("ckplus", tmp_path / "source/ckextended.csv", tmp_path / "data")
    assert prepared.split("train").subjects is None
    assert [said for _, said in pairs(prepared, "train")] == ["anger", "disgust", "fear", "happiness"]
    assert [said for _, said in pairs(prepared, "test")] == ["neutral", "contempt"]


def test_ckplus_names_a_code_that_it_does_not_know(tmp_path):
    path = tmp_path / "source/ckextended.csv"
    ckextended(tmp_path / "source")
    path.write_text(path.read_text().replace("\n7,", "\n8,"))
    with pytest.raises(UserError, match=r"ckextended\.csv row 9: label '8' is not one of 0, 1"):
        prepare("ckplus", path, tmp_path / "data")


def test_affectnet_of_seven_classes_counts_the_contempt_of_folders_and_boxes(tmp_path):
    for name, build in (("numbered", affectnet_numbered), ("yolo", affectnet_yolo)):
        build(tmp_path / name)
        prepared = prepare("affectnet", tmp_path / name, tmp_path / f"data_{name}", classes=7)
        assert prepared.splits == {"train": 7, "validation": 7}
        assert all(seen == said for seen, said in pairs(prepared, "train"))
        assert prepared.facts["notes"]["train left out"] == {"contempt": 1}


def test_affectnet_cuts_the_box_out_and_nothing_else(tmp_path):
    affectnet_yolo(tmp_path / "source")
    train = prepare("affectnet", tmp_path / "source", tmp_path / "data").split("train")
    pixels = decode(train.encoded(0), None, 3)
    assert pixels.shape == (72, 48, 3) and np.ptp(pixels) <= 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("9 0.5 0.5 0.5 0.5", r"labels/ffhq_3\.txt row 1: 9, 0\.5.* is not a class \(0\.\.7\)"),
        ("1 0.5 0.5 0.5", "is not a class"),
        ("1 0.5 0.5 2 0.5", "the box is '2'"),
    ],
)
def test_a_box_that_cannot_be_is_named(line, message, tmp_path):
    affectnet_yolo(tmp_path / "source")
    (tmp_path / "source/YOLO_format/train/labels/ffhq_3.txt").write_text(line)
    with pytest.raises(UserError, match=message):
        prepare("affectnet", tmp_path / "source", tmp_path / "data")


def test_a_bad_image_with_a_box_is_named_or_skipped_and_litter_is_no_image(tmp_path):
    affectnet_yolo(tmp_path / "source")
    folder = tmp_path / "source/YOLO_format/train"
    for path in (folder / "images/._ffhq_3.png", folder / "labels/._ffhq_3.txt"):
        path.write_bytes(b"\0\5\26\7\xff\xfe")  # as macOS copies files to other disks
    bad = next(path for path in (folder / "images").iterdir() if path.stem == "ffhq_3")
    bad.write_text("nothing")
    with pytest.raises(UserError, match=rf"{bad.name}: cannot identify image file .*leave it out with --skip_bad"):
        prepare("affectnet", tmp_path / "source", tmp_path / "data")
    assert prepare("affectnet", tmp_path / "source", tmp_path / "data", skip_bad=True).splits["train"] == 7


def test_affectnet_names_a_label_of_its_list_that_is_no_expression(tmp_path):
    affectnet_with_list(tmp_path / "source")
    table = tmp_path / "source/labels.csv"
    table.write_text(table.read_text().replace("surprise,0.9", "bored,0.9"))
    with pytest.raises(UserError, match=r"labels\.csv: label 'bored' is not one of neutral"):
        prepare("affectnet", tmp_path / "source", tmp_path / "data")


def test_ferplus_keeps_the_votes_of_label_csv(tmp_path):
    ferplus_generated(tmp_path / "source")
    table = tmp_path / "source/data/FER2013Train/label.csv"
    lines = table.read_text().splitlines()
    lines[0] = 'fer0000000.png,"(0, 0, 48, 48)",6,2,0,2,0,0,0,0,0,0'
    table.write_text("\n".join(lines))
    train = prepare("ferplus", tmp_path / "source", tmp_path / "data").split("train")
    wanted = np.zeros(8)
    wanted[[6, 3, 4]] = 0.6, 0.2, 0.2  # neutral, happiness, sadness in the order of the classes
    np.testing.assert_allclose(train.votes[0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(0, 0, 48, 48)", "(4, 4, 44, 44)", r"FER2013Valid/label\.csv row 1: .* is not the box"),
        (",9,", ",x,", "row 1: the votes are not ten whole numbers"),
        ("fer0000008", "fer0000999", r"row 1: no .*fer0000999\.png \(1 of 8 .* make the images with"),
    ],
)
def test_a_row_of_votes_that_cannot_be_is_named(old, new, message, tmp_path):
    ferplus_generated(tmp_path / "source")
    table = tmp_path / "source/data/FER2013Valid/label.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        prepare("ferplus", tmp_path / "source", tmp_path / "data")


def test_ferplus_without_the_images_of_the_generator_says_how_to_make_them(tmp_path):
    """As the repository comes: label.csv, but no image."""
    ferplus_generated(tmp_path / "source")
    for path in (tmp_path / "source").rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match=r"8 of 8 .*generate_training_data\.py"):
        prepare("ferplus", tmp_path / "source", tmp_path / "data")


def test_rafdb_numbered_from_zero_is_not_guessed(tmp_path):
    for code in range(7):
        for split in ("train", "test"):
            image(tmp_path / "source" / split / str(code) / "1.jpg", "anger", 100, "RGB")
    with pytest.raises(UserError, match=r"numbered from 0, RAF-DB's from 1"):
        prepare("rafdb", tmp_path / "source", tmp_path / "data")


def test_rafdb_names_an_image_that_is_in_another_class_than_its_list_says(tmp_path):
    rafdb_numbered(tmp_path / "source", ("train", "test"), "_aligned.jpg")
    rows = [[f"train_{code:05d}_aligned.jpg", code if code != 3 else 4] for code in range(1, 8)]
    write_rows(tmp_path / "source/train_labels.csv", [["image", "label"], *rows])
    with pytest.raises(UserError, match=r"train_labels\.csv row 4: no .*4/train_00003_aligned\.jpg"):
        prepare("rafdb", tmp_path / "source", tmp_path / "data")
