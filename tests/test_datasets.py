"""Every data set that comes under a licence, on tiny trees in exactly its layouts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_layouts import (
    LAYOUTS,
    UNLISTED,
    affectnet_annotations,
    affectnet_original,
    ckplus_sequences,
    expw,
    image,
    jaffe,
    rafdb_numbered,
    rafdb_official,
    write,
)
from expressnet_jax.data.datasets import builder_class
from expressnet_jax.data.decode import decode
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError

layouts = pytest.mark.parametrize("layout", LAYOUTS + UNLISTED, ids=lambda layout: layout.build.__name__)


def records(name: str, source: Path, tmp_path: Path, **options) -> tuple[object, dict[str, list]]:
    builder = builder_class(name)(data_dir=tmp_path / "unused", source=source, options=options)
    return builder, {split: list(rows) for split, rows in builder.read(source).items()}


@layouts
def test_every_layout_gives_its_images_classes_and_people_in_order(layout, tmp_path):
    expected = layout.build(tmp_path / "source")
    builder, splits = records(layout.name, tmp_path / "source", tmp_path)
    found = [(s, r.key, builder.CLASSES[r.label], r.subject) for s, rows in splits.items() for r in rows]
    assert found == expected


@layouts
def test_litter_next_to_every_file_changes_nothing(layout, tmp_path):
    expected = layout.build(tmp_path / "source")
    for path in [path for path in (tmp_path / "source").rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7\0\2\0\0")
        (path.parent / "@eaDir").mkdir(exist_ok=True)
        (path.parent / "@eaDir" / path.name).write_bytes(path.read_bytes())
    builder, splits = records(layout.name, tmp_path / "source", tmp_path)
    assert [(s, r.key, builder.CLASSES[r.label], r.subject) for s, rows in splits.items() for r in rows] == expected


def test_all_bad_faces_of_a_list_are_named_or_skipped(tmp_path):
    expw(tmp_path / "source")
    images = sorted((tmp_path / "source").rglob("*.jpg"))
    for path in images[:2]:
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="images are bad:") as error:
        prepare("expw", tmp_path / "source", tmp_path / "data")
    assert all(path.name in str(error.value) for path in images[:2])
    assert not any(path.name in str(error.value) for path in images[2:])


@layouts
def test_a_truncated_image_is_named_and_nothing_is_left_behind(layout, tmp_path):
    layout.build(tmp_path / "source")
    path = tmp_path / "source" / layout.image
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="truncated") as error:
        prepare(layout.name, tmp_path / "source", tmp_path / "data")
    assert path.name in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "data" / layout.name).exists()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.build.__name__)
def test_a_listed_image_that_is_missing_is_named_with_its_row(layout, tmp_path):
    layout.build(tmp_path / "source")
    (tmp_path / "source" / layout.image).unlink()
    with pytest.raises(UserError) as error:
        records(layout.name, tmp_path / "source", tmp_path)
    assert layout.where in str(error.value) and Path(layout.image).name in str(error.value)


@pytest.mark.parametrize("name", ["rafdb", "affectnet", "ckplus", "jaffe", "expw", "lfw_expression"])
@pytest.mark.parametrize("there", [True, False])
def test_an_empty_or_absent_source_says_where_to_ask(name, there, tmp_path):
    if there:
        (tmp_path / "source").mkdir()
    with pytest.raises(UserError) as error:
        records(name, tmp_path / "source", tmp_path)
    assert "https://" in str(error.value) or "http://" in str(error.value)
    assert "--source" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layout", "file", "old", "new", "where"),
    [
        (LAYOUTS[0], "EmoLabel/list_patition_label.txt", "1.jpg 5", "1.jpg 8", "row 1: label '8'"),
        (LAYOUTS[0], "EmoLabel/list_patition_label.txt", "1.jpg 5", "1.jpg", "row 1: 1 words, not 2"),
        (LAYOUTS[2], "train_labels.csv", "jpg,1", "jpg,0", "row 2: label '0'"),
        (LAYOUTS[3], "Manually_Annotated_file_lists/training.csv", ",7,", ",11,", "row 3: label '11'"),
        (LAYOUTS[3], "Manually_Annotated_file_lists/training.csv", "7,-0.5", "7,-1.5", "row 3: valence is '-1.5'"),
        (LAYOUTS[3], "Manually_Annotated_file_lists/training.csv", ",7,-0.5,0.5", "", "row 3: 6 columns, not 9"),
        (LAYOUTS[3], "Manually_Annotated_file_lists/training.csv", "0,0,60", "60,0,60", "row 3: the face box"),
        (LAYOUTS[8], "data/legend.csv", "emotion", "mood", "row 1: it has user.id, image, mood"),
        (LAYOUTS[5], "Emotion/S005/001/S005_001_00000005_emotion.txt", "3.0", "9.0", "label '9.0000000e+00'"),
        (LAYOUTS[6], "data/label/label.lst", "60 0", "60 7", "row 3: label '7'"),
        (LAYOUTS[6], "data/label/label.lst", "10 5 45", "10 x 45", "row 1: the box is 'x'"),
        (LAYOUTS[8], "data/legend.csv", "NEUTRAL", "bored", "row 3: emotion 'bored'"),
    ],
)
def test_a_bad_row_is_named(layout, file, old, new, where, tmp_path):
    layout.build(tmp_path / "source")
    path = tmp_path / "source" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError) as error:
        records(layout.name, tmp_path / "source", tmp_path)
    assert f"{path.name}" in str(error.value) and where in str(error.value)


def test_half_of_rafdb_is_refused(tmp_path):
    rafdb_numbered(tmp_path / "source")
    (tmp_path / "source/DATASET/test/2/test_0001_aligned.jpg").unlink()
    with pytest.raises(UserError, match="no test images"):
        records("rafdb", tmp_path / "source", tmp_path)


def test_an_image_of_another_size_is_refused(tmp_path):
    rafdb_official(tmp_path / "source")
    image(tmp_path / "source/Image/aligned/test_0002_aligned.jpg", (90, 100), "RGB")
    with pytest.raises(UserError, match=r"test_0002_aligned.jpg: the image is 100x90, not 100x100"):
        prepare("rafdb", tmp_path / "source", tmp_path / "data")


def test_affectnet_cuts_faces_out_by_their_box_and_keeps_valence_and_arousal(tmp_path):
    affectnet_original(tmp_path / "source")
    prepared = prepare("affectnet", tmp_path / "source", tmp_path / "data")
    train = prepared.split("train")
    with Image.open(tmp_path / "source/Manually_Annotated_Images/1/a.jpg") as file:
        expected = np.asarray(file.crop((10, 20, 50, 60))).astype(float)
    found = decode(train.encoded(0), None, 3)
    assert found.shape == (40, 40, 3)
    assert np.abs(found - expected).mean() < 12  # one more JPEG generation of noise, the hardest image for it
    assert decode(prepared.split("validation").encoded(0), None, 3).shape == (46, 46, 3)  # the box starts outside
    np.testing.assert_allclose(train.columns["valence"], [0.1, -0.5])
    np.testing.assert_allclose(train.columns["arousal"], [-0.2, 0.5])
    assert prepared.facts["notes"]["train left out"] == {"none": 1}


def test_affectnet_shrinks_faces_to_the_size_asked_for(tmp_path):
    affectnet_original(tmp_path / "source")
    prepared = prepare("affectnet", tmp_path / "source", tmp_path / "data", size=20)
    assert decode(prepared.split("train").encoded(1), None, 3).shape == (20, 15, 3)


def test_affectnet_of_seven_classes_leaves_contempt_out(tmp_path):
    affectnet_original(tmp_path / "source")
    builder, splits = records("affectnet", tmp_path / "source", tmp_path, classes=7)
    assert len(builder.CLASSES) == 7 and "contempt" not in builder.CLASSES
    assert [record.key for record in splits["train"]] == ["1/a.jpg"]
    assert builder.notes["train left out"] == {"contempt": 1, "none": 1}


def test_affectnet_annotations_keep_valence_and_arousal(tmp_path):
    affectnet_annotations(tmp_path / "source")
    _, splits = records("affectnet", tmp_path / "source", tmp_path)
    assert [(record.valence, record.arousal) for record in splits["train"]] == [(0.5, 0.125), (-0.25, 0.125)]


def test_affectnet_refuses_pickled_annotations(tmp_path):
    affectnet_annotations(tmp_path / "source")
    np.save(tmp_path / "source/val_set/annotations/0_exp.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"0_exp.npy doesn't hold one number"):
        records("affectnet", tmp_path / "source", tmp_path)


def test_affectnet_names_an_image_without_annotation(tmp_path):
    affectnet_annotations(tmp_path / "source")
    (tmp_path / "source/train_set/annotations/2_val.npy").unlink()
    with pytest.raises(UserError, match=r"2_val.npy .1 of "):
        records("affectnet", tmp_path / "source", tmp_path)


def test_ckplus_takes_the_last_frames_and_the_first_as_neutral(tmp_path):
    ckplus_sequences(tmp_path / "source")
    builder, splits = records("ckplus", tmp_path / "source", tmp_path, last=1, neutral=True)
    found = [(record.key[-6:-4], builder.CLASSES[record.label]) for record in splits["all"]]
    assert found == [("01", "neutral"), ("05", "disgust"), ("01", "neutral"), ("02", "surprise")]


def test_ckplus_cuts_faces_out_by_their_landmarks(tmp_path):
    ckplus_sequences(tmp_path / "source")
    corners = "2.0 10.0\n22.0 10.0\n12.0 30.0\n"  # 20 wide and high, its middle at (12, 20): 30 with the margins
    for path in (tmp_path / "source/cohn-kanade-images").rglob("*.png"):
        write(tmp_path / "source/Landmarks" / "/".join(path.parts[-3:-1]) / f"{path.stem}_landmarks.txt", corners)
    _, splits = records("ckplus", tmp_path / "source", tmp_path)
    with Image.open(tmp_path / "source/cohn-kanade-images/S005/001/S005_001_00000003.png") as file:
        np.testing.assert_array_equal(splits["all"][0].image, np.asarray(file)[5:35, 0:27])
    _, whole = records("ckplus", tmp_path / "source", tmp_path, crop=False)
    assert isinstance(whole["all"][0].image, Path)


def test_expw_cuts_by_top_left_right_bottom(tmp_path):
    expw(tmp_path / "source")
    prepared = prepare("expw", tmp_path / "source", tmp_path / "data")
    shapes = [decode(prepared.split("all").encoded(i), None, 3).shape[:2] for i in range(3)]
    assert shapes == [(40, 40), (30, 60), (30, 30)]  # the second box reaches beyond an image of 80x60
    np.testing.assert_allclose(prepared.split("all").columns["box_confidence"], [90.1, 12.5, 60], rtol=1e-6)


def test_people_are_kept_with_the_prepared_images(tmp_path):
    jaffe(tmp_path / "source")
    prepared = prepare("jaffe", tmp_path / "source", tmp_path / "data")
    assert prepared.split("all").subjects.tolist() == ["KA", "KA", "YM"]
    assert decode(prepared.split("all").encoded(0), None, 1).shape == (256, 256, 1)


@pytest.mark.parametrize(
    ("name", "build", "options", "message"),
    [
        ("ckplus", ckplus_sequences, {"last": 0}, "last is 0"),
        ("affectnet", affectnet_original, {"classes": 5}, "classes is 5"),
        ("expw", expw, {"size": "big"}, "size is big"),
    ],
)
def test_an_impossible_option_is_refused(name, build, options, message, tmp_path):
    build(tmp_path / "source")
    with pytest.raises(UserError, match=message):
        records(name, tmp_path / "source", tmp_path, **options)
