"""Data sets of clips: which frames are taken, what the readers find in their layouts, and that a run can take them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.clip_frames import ClipShape, read_clip, sample_frames
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError

SMALL = {"frames": 4, "size": 16}
SHAPE = ClipShape(**SMALL)


def frames_of(folder, count, first=0, mode="L", suffix="png"):
    """Frames whose number can be read off them: frame i is 10 * i everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        Image.fromarray(np.full((20, 24), 10 * i, np.uint8)).convert(mode).save(folder / f"{i:03d}.{suffix}")


def video_of(path, count, first=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    for i in range(first, first + count):
        writer.write(np.full((32, 32, 3), 10 * i, np.uint8))
    writer.release()
    return path


def seen(prepared, split="all"):
    """The number of every stored frame, int[N,T]."""
    part = prepared.split(split)
    assert prepared.facts["notes"]["frames"] == SMALL["frames"]
    clips = decode_all(part, None, 1).reshape(len(part), SMALL["frames"], -1)
    return np.round(clips.mean(-1) / 10).astype(int).tolist()


def labels(prepared, split="all"):
    part = prepared.split(split)
    return [part.classes[i] for i in part.labels]


def test_uniform_frames_go_from_the_first_to_the_last_and_a_short_source_repeats_them():
    assert sample_frames(10, SHAPE).tolist() == [0, 3, 6, 9]
    assert sample_frames(4, SHAPE).tolist() == [0, 1, 2, 3]
    assert sample_frames(1, SHAPE).tolist() == [0, 0, 0, 0]
    assert sorted(set(sample_frames(2, SHAPE).tolist())) == [0, 1]


def test_strided_frames_begin_anywhere_but_always_at_the_same_place_for_one_clip():
    shape = ClipShape(4, 16, "strided", stride=3)
    drawn = [sample_frames(30, shape, key) for key in map(str, range(200))]
    assert {tuple(np.diff(each)) for each in drawn} == {(3, 3, 3)}
    assert {int(each[0]) for each in drawn} == set(range(30 - 9))
    np.testing.assert_array_equal(sample_frames(30, shape, "7"), drawn[7])
    assert sample_frames(9, shape, "7").tolist() == sample_frames(9, SHAPE).tolist()  # too short for that stride


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"frames": 1}, "frames is 1; it must be from 2 to 512"),
        ({"size": 8}, "size is 8; it must be from 16 to 512"),
        ({"stride": 0}, "stride is 0"),
        ({"sampling": "dense"}, "sampling: no 'dense'; one of uniform, strided"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(options, named, tmp_path):
    video_of(tmp_path / "videos/happy/a.avi", 2)
    video_of(tmp_path / "videos/sad/a.avi", 2)
    with pytest.raises(UserError, match=named):
        prepare("folder", tmp_path / "videos", tmp_path / "data", **options)


def test_class_folders_of_videos_are_clips_by_content_and_a_damaged_one_is_named(tmp_path):
    video_of(tmp_path / "videos/train/happy/a.avi", 10).rename(tmp_path / "videos/train/happy/a.mov")
    video_of(tmp_path / "videos/train/sad/b%1.avi", 4, first=5)
    video_of(tmp_path / "videos/val/sad/c.avi", 2)
    video_of(tmp_path / "videos/val/happy/d.avi", 7)
    prepared = prepare("folder", tmp_path / "videos", tmp_path / "data", name="mine", **SMALL)
    assert seen(prepared, "train") == [[0, 3, 6, 9], [5, 6, 7, 8]] and prepared.classes == BASIC
    assert labels(prepared, "validation") == ["happiness", "sadness"]
    rates = prepared.split("train").columns["frame_rate"]  # of videos of 10 frames a second
    np.testing.assert_allclose(rates, [10 / 3, 10])
    path = tmp_path / "videos/val/sad/c.avi"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"val/sad/c.avi.*no video that can be decoded"):
        prepare("folder", tmp_path / "videos", tmp_path / "data", name="mine", **SMALL)


def test_a_clip_can_be_a_part_of_its_frames(tmp_path):
    frames_of(tmp_path, 4)
    files = sorted(tmp_path.iterdir())
    marked = np.zeros((20, 24), np.uint8)
    marked[4:8, 10:14] = 200
    Image.fromarray(marked).save(files[2])
    clip = read_clip(files, SHAPE, box=(10, 4, 14, 8)).pixels.reshape(4, 16, 16, 1)
    assert (clip[2] == 200).all() and clip[1].mean() == 10
    with pytest.raises(UserError, match="lies outside of a frame"):
        read_clip(files, SHAPE, box=(30, 4, 40, 8))


def test_dfew_has_the_fold_of_its_test_lists_and_frames_or_videos(tmp_path):
    root = tmp_path / "DFEW"
    lists = root / "EmoLabel_DataSplit/test(single-labeled)"
    lists.mkdir(parents=True)
    (lists / "set_1.csv").write_text("video_name,label\n00001,1\n2,7\n")
    (lists / "set_2.csv").write_text("video_name,label\n00003,3\n")
    frames_of(root / "Clip/clip_224x224/00001", 4, mode="RGB", suffix="jpg")
    frames_of(root / "Clip/clip_224x224/00003", 7, first=2, mode="RGB", suffix="jpg")
    video_of(root / "Clip/original/2.avi", 10)
    prepared = prepare("dfew", tmp_path, tmp_path / "data", **SMALL)
    assert labels(prepared) == ["happiness", "fear", "neutral"]
    assert seen(prepared) == [[0, 1, 2, 3], [0, 3, 6, 9], [2, 4, 6, 8]]
    assert prepared.split("all").columns["fold"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(prepared.split("all").columns["frame_rate"], [25, 10 / 3, 25 / 2])
    (lists / "set_2.csv").write_text("video_name,label\n00009,3\n")
    with pytest.raises(UserError, match=r"set_2.csv row 2: no clip 00009 in .*; unpack all parts"):
        prepare("dfew", root, tmp_path / "data", **SMALL)


def test_afew_takes_the_cut_faces_of_a_video_where_they_are(tmp_path):
    for split in ("Train_AFEW", "Val_AFEW"):
        video_of(tmp_path / split / "Angry/001.avi", 10)
        video_of(tmp_path / split / "Happy/002.avi", 10)
    frames_of(tmp_path / "Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/002", 4, first=3, mode="RGB")
    (tmp_path / "Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/001").mkdir()  # no face was found in this one
    (tmp_path / "Val_AFEW/Happy/003.avi").write_text("not found")
    prepared = prepare("afew", tmp_path, tmp_path / "data", **SMALL)
    assert seen(prepared, "train") == [[0, 3, 6, 9], [3, 4, 5, 6]]
    assert labels(prepared, "validation") == ["anger", "happiness"]
    assert list(prepared.facts["notes"]["left out"]) == ["Val_AFEW/Happy/003.avi"]


def test_oulu_casia_is_one_camera_and_light_with_people(tmp_path):
    for place, first in (("VL/Strong", 0), ("VL/Weak", 5), ("NI/Strong", 9)):
        frames_of(tmp_path / f"OriginalImg/{place}/P001/Anger", 4, first, "RGB", "jpeg")
        frames_of(tmp_path / f"OriginalImg/{place}/P002/Happiness", 7, first, "RGB", "jpeg")
    prepared = prepare("oulu_casia", tmp_path, tmp_path / "data", **SMALL)
    assert seen(prepared) == [[0, 1, 2, 3], [0, 2, 4, 6]] and labels(prepared) == ["anger", "happiness"]
    assert prepared.split("all").subjects.tolist() == ["P001", "P002"]
    assert seen(prepare("oulu_casia", tmp_path, tmp_path / "data", light="Weak", **SMALL))[0] == [5, 6, 7, 8]
    with pytest.raises(UserError, match="light: no 'dim'; one of Strong, Weak, Dark"):
        prepare("oulu_casia", tmp_path, tmp_path / "data", light="dim", **SMALL)


def test_sequences_of_ckplus_are_clips_from_neutral_to_the_peak(tmp_path):
    for person, code, count in (("S005", "3.0", 7), ("S010", "5.0", 4)):
        frames_of(tmp_path / f"raw/{person}", count)
        folder = tmp_path / f"cohn-kanade-images/{person}/001"
        folder.mkdir(parents=True)
        for i, path in enumerate(sorted((tmp_path / f"raw/{person}").iterdir()), start=1):
            path.rename(folder / f"{person}_001_{i:08d}.png")
        emotion = tmp_path / f"Emotion/{person}/001/{person}_001_{count:08d}_emotion.txt"
        emotion.parent.mkdir(parents=True)
        emotion.write_text(f"   {code}\n")
    prepared = prepare("ckplus", tmp_path, tmp_path / "data", **SMALL)
    assert seen(prepared) == [[0, 2, 4, 6], [0, 1, 2, 3]] and labels(prepared) == ["disgust", "happiness"]
    assert prepared.split("all").subjects.tolist() == ["S005", "S010"]
    for person, count in (("S005", 7), ("S010", 4)):  # then all frames are cut as the peak is
        points = tmp_path / f"Landmarks/{person}/001/{person}_001_{count:08d}_landmarks.txt"
        points.parent.mkdir(parents=True)
        points.write_text("8 5\n16 13\n")
        frame = tmp_path / f"cohn-kanade-images/{person}/001/{person}_001_00000001.png"
        marked = np.full((20, 24), 90, np.uint8)
        marked[3:15, 6:18] = 10  # the landmarks' square and a quarter of it on each side
        Image.fromarray(marked).save(frame)
    assert seen(prepare("ckplus", tmp_path, tmp_path / "data", **SMALL)) == [[1, 2, 4, 6], [1, 1, 2, 3]]
