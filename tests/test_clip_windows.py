"""Windows of a track: which frames of a video they are made of, whatever its rate, and how short tracks are filled."""

import numpy as np
import pytest

from expressnet_jax.data.clip_frames import ClipShape, sample_frames
from expressnet_jax.inference.clip_windows import Sighting, TrackWindows
from expressnet_jax.inference.detection import Detection


def sightings(times):
    """Faces of one pixel that is the number of its frame."""
    return [Sighting(t, Detection((0.0, 0.0, 1.0, 1.0), 1.0), np.full((1, 1, 1), i)) for i, t in enumerate(times)]


def windows(times, frames=4, rate=5.0):
    """The numbers of the frames of every window."""
    track = TrackWindows(7, frames, rate)
    found = [window for seen in sightings(times) for window in track.add(seen)]
    found += track.end()
    assert all(window.track == 7 and window.clip.shape == (frames, 1, 1, 1) for window in found)
    assert [(each.start, each.end) for each in found] == [
        (times[int(each.clip[0, 0, 0, 0])], times[int(each.clip[-1, 0, 0, 0])]) for each in found
    ]
    return [window.clip.ravel().tolist() for window in found]


def test_windows_have_the_rate_of_training_and_overlap_by_half_and_the_last_one_ends_with_the_track():
    assert windows(np.arange(29) / 20) == [[0, 4, 8, 12], [8, 12, 16, 20], [16, 20, 24, 28]]
    assert windows(np.arange(25) / 20) == [[0, 4, 8, 12], [8, 12, 16, 20], [12, 16, 20, 24]]
    assert windows(np.arange(13) / 20) == [[0, 4, 8, 12]]


@pytest.mark.parametrize("video_rate", [30.0, 23.976, 4.0])
def test_frames_are_the_nearest_in_time_to_even_ticks(video_rate):
    times = np.arange(60) / video_rate + 0.3
    first = windows(times, frames=6, rate=7.0)[0]
    assert first == [int(np.abs(times - (times[0] + tick / 7)).argmin()) for tick in range(6)]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12])
def test_a_track_shorter_than_a_window_is_spread_as_training_spreads_a_short_source(length):
    times = np.arange(length) / 20
    assert windows(times) == [sample_frames(length, ClipShape(4, 16, "strided", stride=4)).tolist()]


def test_the_beginning_of_a_track_is_thinned_out_evenly_where_the_video_has_many_frames():
    (found,) = windows(np.arange(200) / 400)  # ticks are 80 frames apart
    assert found[0] == 0 and found[-1] == 192 and np.ptp(np.diff(found)) <= 8  # every eighth frame was kept
    track = TrackWindows(1, 4, 0.001)
    for seen in sightings(np.arange(1000) / 25):
        track.add(seen)
    assert len(track.beginning.kept) <= 32 and len(track.taken) <= 4


def test_a_gap_longer_than_a_window_begins_again():
    times = [0.0, 0.2, 0.4, 50.0, 50.2, 50.4, 50.6]
    assert windows(times) == [[0, 1, 1, 2], [3, 4, 5, 6]]
