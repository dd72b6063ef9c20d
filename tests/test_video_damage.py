"""Damaged, trimmed, truncated and odd videos: what can be decoded is, and what is lost is counted."""

import os

import numpy as np
import pytest

from broken_videos import cut, encode, sound, trimmed, turned, with_hole, without_frames
from expressnet_jax.errors import UserError
from expressnet_jax.inference.video_container import Container, read_container
from expressnet_jax.inference.video_damage import DecodeCounter
from expressnet_jax.inference.video_reader import Video
from painted_videos import RATE, write_video


def read(path):
    """(frames, what is said of the damage)."""
    video = Video(path)
    frames = list(video.frames())
    video.close()
    return frames, video.damage


@pytest.mark.parametrize("lost", [range(20, 26), [0], [7, 30, 31], range(50, 60)])
def test_frames_that_cannot_be_decoded_are_passed_over_and_counted(tmp_path, lost):
    path = without_frames(encode(tmp_path / "hole.mov", "mjpg"), lost)
    frames, damage = read(path)
    left = [number for number in range(60) if number not in lost]
    assert [frame.number for frame in frames] == left
    np.testing.assert_allclose([frame.time for frame in frames], np.array(left) / RATE, atol=1e-3)
    assert damage.text() == f"{len(lost)} of 60 frames could not be decoded"
    assert (damage.decoded, damage.lost, damage.truncated) == (len(left), len(lost), "")


def test_a_video_without_any_good_frame_has_an_end(tmp_path):
    frames, damage = read(without_frames(encode(tmp_path / "bad.mov", "mjpg"), range(60)))
    assert frames == [] and damage.decoded == 0


@pytest.mark.parametrize(
    ("name", "codec"), [("h.mkv", "mp4v"), ("h.webm", "VP80"), ("h.ts", "mp4v"), ("h.flv", "FLV1")]
)
def test_what_the_demuxer_leaves_out_shows_in_the_times(tmp_path, name, codec):
    frames, damage = read(with_hole(encode(tmp_path / name, codec, 120), 0.45, 0.55))
    assert frames[-1].time == pytest.approx(119 / RATE, abs=1e-3)
    assert 5 < damage.lost < 30 and damage.lost + len(frames) == 120


@pytest.mark.parametrize(("skipped", "shown"), [(0, 1.5), (1, 1.5), (0.5, 0.7)])
def test_a_trimmed_video_is_whole(tmp_path, skipped, shown):
    path = trimmed(write_video(tmp_path / "trimmed.mp4", 60), skipped, shown)
    frames, damage = read(path)
    assert len(frames) == pytest.approx(shown * RATE, abs=1) and damage.text() == ""
    assert Video(path).length == round(shown * RATE)


@pytest.mark.parametrize(("name", "codec"), [("c.avi", "MJPG"), ("c.mkv", "mp4v"), ("c.webm", "VP90")])
def test_a_truncated_video_gives_what_is_there_and_says_so(tmp_path, name, codec):
    path = encode(tmp_path / name, codec, 120)
    size = path.stat().st_size
    frames, damage = read(cut(path, 0.5))
    assert 30 < len(frames) < 90 and damage.lost + len(frames) == 120
    assert f"truncated (there are {size // 2:,} of {size:,} bytes)" in damage.truncated
    assert read_container(path).bytes_promised == size


def test_an_mp4_whose_index_is_cut_off_is_called_truncated(tmp_path):
    path = cut(write_video(tmp_path / "torn.mp4"), 0.5)
    with pytest.raises(UserError, match=r"torn.mp4: not a video that can be read: truncated \(there are"):
        Video(path)


def counted(times, length, failed=(), **container):
    counter = DecodeCounter(RATE)
    for number, time in enumerate(times):
        counter.add(time, 2 if number in failed else 0)
    return counter.damage(length, Container(1000, 1000, **container))


def test_uneven_times_are_no_damage():
    """Phones and screen recorders leave frames out."""
    times = np.cumsum(np.random.default_rng(0).choice([0.03, 0.05, 0.1, 0.3], 200))
    assert counted(times, 200).text() == ""
    assert counted(np.arange(100) / RATE, 100).text() == ""


def test_a_gap_is_damage_only_where_nothing_counts_the_frames():
    times = np.delete(np.arange(200) / RATE, range(90, 100))
    assert counted(times, 200).lost == 10
    assert counted(times, 190, counts_frames=True).lost == 0
    assert counted(times, 200, failed=[90]).lost == 10


def test_sound_that_is_longer_than_the_images_is_no_damage():
    damage = counted(np.arange(60) / RATE, 120)
    assert (damage.lost, damage.truncated) == (0, "")
    assert damage.text() == "its images end at 3.0 s of 6.0 s"


def test_a_turned_video_is_upright(tmp_path):
    path = encode(tmp_path / "phone.mp4", "mp4v", 5)
    (flat, _), (upright, _) = read(path), read(turned(path))
    assert Video(path).size == (48, 64)
    for a, b in zip(flat, upright, strict=True):
        np.testing.assert_array_equal(np.rot90(a.image, -1), b.image)


def test_a_video_may_change_its_size(tmp_path):
    first, second = encode(tmp_path / "a.ts", "mpg2", 20), encode(tmp_path / "b.ts", "mpg2", 20, (96, 64))
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    shapes = [frame.image.shape[:2] for frame in read(path)[0]]
    assert len(shapes) >= 38 and shapes[0] == (48, 64) and set(shapes) <= {(48, 64), (64, 96)}


@pytest.mark.parametrize("size", [(63, 47), (17, 33)])
def test_odd_sizes_are_written(tmp_path, size):
    frames, damage = read(write_video(tmp_path / "odd.mp4", 4, width=size[0], height=size[1]))
    assert len(frames) == 4 and damage.text() == ""
    assert np.abs(np.array(frames[0].image.shape[1::-1]) - size).max() <= 1


def test_sound_is_called_sound(tmp_path):
    wav = sound(tmp_path / "speech.mp4")
    mp4 = write_video(tmp_path / "only_sound.mp4", 3)
    mp4.write_bytes(mp4.read_bytes().replace(b"vide", b"soun"))
    for path in (wav, mp4):
        with pytest.raises(UserError, match=rf"{path.name}: a sound file, no video in it"):
            Video(path)


@pytest.mark.parametrize("name", [os.fsdecode(b"video\xd5\xe9.mp4"), "100%d.mp4", "照片.mp4", "a b'c.mp4"])
def test_names_of_every_kind(tmp_path, name):
    path = write_video(tmp_path / name, 3)
    assert [p.name for p in tmp_path.iterdir()] == [name] and len(read(path)[0]) == 3


class Endless:
    """A capture whose reads always fail."""

    reads = 0

    def grab(self):
        self.reads += 1
        return False


def test_a_number_of_frames_that_cannot_be_does_not_keep_it_reading(tmp_path):
    video = Video(write_video(tmp_path / "a.mp4", 3))
    video.close()
    video.capture, video.length = Endless(), 10**12
    assert list(video.frames()) == [] and video.capture.reads <= 100_001
