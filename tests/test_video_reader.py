"""Containers: frames, times and their ends."""

import cv2
import numpy as np
import pytest

from broken_videos import encode, recorded
from expressnet_jax.inference.video_damage import Damage
from expressnet_jax.inference.video_reader import Video
from expressnet_jax.inference.video_writer import VideoWriter
from painted_videos import RATE, noise, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "noise.mp4")


def test_a_video_gives_its_frames_with_their_times(video):
    read = Video(video)
    assert (read.rate, read.length, read.size) == (RATE, 30, (64, 48))
    frames = list(read.frames())
    assert read.damage == Damage(decoded=30)
    read.close()
    assert [frame.number for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(30) / RATE, atol=1e-6)
    for frame, image in zip(frames, noise(30), strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 12  # red, green and blue in their places


def test_a_video_read_from_a_later_frame_is_the_same(video):
    first, second = Video(video), Video(video)
    straight, later = list(first.frames())[11:], list(second.frames(11))
    assert [f.number for f in later] == list(range(11, 30))
    for a, b in zip(straight, later, strict=True):
        assert a.time == b.time
        np.testing.assert_array_equal(a.image, b.image)
    first.close()
    second.close()


def test_the_rate_of_a_browsers_recording_is_measured(tmp_path):
    steps = np.random.default_rng(0).integers(20, 60, 39)
    path = recorded(encode(tmp_path / "camera.webm", "VP80", frames=40), steps)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 1000  # which a video with boxes would be shown at
    read = Video(path)
    assert read.rate == pytest.approx(1000 / steps.mean(), abs=0.1)
    assert read.length == round(2.0 * read.rate)  # of the seconds that the file promises
    assert [round(1000 * frame.time) for frame in read.frames()] == np.cumsum([0, *steps]).tolist()
    assert read.damage == Damage(decoded=40)
    read.close()


class Clock:
    """What a container says about time, in the place of a cv2.VideoCapture."""

    def __init__(self, seconds):
        self.seconds, self.at = seconds, -1

    def grab(self):
        self.at += 1
        return self.at < len(self.seconds)

    def retrieve(self):
        return True, np.zeros((2, 2, 3), np.uint8)

    def get(self, name):
        assert name == cv2.CAP_PROP_POS_MSEC
        return 1000 * self.seconds[self.at]

    def release(self):
        pass


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ([0, 0.1, 0.15, 0.9], [0, 0.1, 0.15, 0.9]),  # uneven frames
        ([0, 0, 0, 0], [0, 0.05, 0.1, 0.15]),  # a container that tells nothing
        ([0, 0.3, 0.2, 0.4], [0, 0.3, 0.35, 0.4]),  # one that goes back
    ],
)
def test_times_are_the_containers_where_it_tells_them_and_never_stand_still(video, told, times):
    read = Video(video)
    read.close()
    read.capture = Clock(told)
    np.testing.assert_allclose([frame.time for frame in read.frames()], times)


def test_an_annotated_video_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "out.mp4"
    writer = VideoWriter(path, RATE, (64, 48))
    writer.write(next(noise(1)))
    assert not path.exists()
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    VideoWriter(tmp_path / "none.mp4", RATE, (64, 48)).close()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
