"""The pipeline: threads with short queues, faces that keep their numbers, and a real video."""

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.inference import video_commands
from expressnet_jax.inference.smoothing import LEAST, TIME_CONSTANT
from expressnet_jax.inference.video_pipeline import BATCH, TrackState, batch_size, batches, threaded_pipeline
from expressnet_jax.inference.video_reader import Video
from expressnet_jax.inference.video_table import rows
from painted_videos import CLASSES, painted_frames, run_pipeline

MEDIA = Path(__file__).parents[2] / "shared" / "media"


def test_items_go_through_all_stages_in_order():
    slow = lambda x: (time.sleep(0.002 * (x % 3)), x + 1)[1]
    assert list(threaded_pipeline(range(50), slow, lambda x: x * 2, slow)) == [(x + 1) * 2 + 1 for x in range(50)]


def test_stages_overlap():
    """Each item in the second stage waits for the next one in the first, which can only be if both work at a time."""
    meeting = threading.Barrier(2, timeout=30)
    first = lambda x: (x > 0 and meeting.wait(), x)[1]
    second = lambda x: (x < 9 and meeting.wait(), x)[1]
    assert list(threaded_pipeline(range(10), first, second)) == list(range(10))


def test_little_is_read_ahead_of_an_endless_source():
    read = itertools.count()
    counted = map(lambda _: next(read), itertools.repeat(None))
    stream = threaded_pipeline(counted, lambda x: x, lambda x: x)
    assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
    time.sleep(0.2)
    stream.close()
    assert next(read) <= 5 + 3 * 2 + 1  # three threads: one in each one's hand, one in each one's queue


@pytest.mark.parametrize("where", ["source", "stage"])
def test_an_error_in_a_thread_comes_after_what_was_before_it(where):
    def broken(x):
        if x == 7:
            raise ValueError("seven\nis broken")
        return x

    source, stage = (map(broken, range(20)), abs) if where == "source" else (range(20), broken)
    seen = []
    with pytest.raises(UserError, match=r"^stopped by ValueError: seven is broken$"):
        seen.extend(threaded_pipeline(source, stage, abs))
    assert seen == list(range(7))


def test_an_error_for_users_stays_as_it_is():
    def broken(x):
        raise UserError("video.mp4: bad luck")

    with pytest.raises(UserError, match=r"^video.mp4: bad luck$"):
        list(threaded_pipeline([1], broken))


def test_no_thread_is_left_when_the_caller_stops_early():
    before = threading.active_count()
    stream = threaded_pipeline(itertools.count(), lambda x: x, lambda x: x)
    next(stream)
    assert threading.active_count() == before + 3
    stream.close()
    assert threading.active_count() == before


def test_batches_are_smaller_of_larger_frames():
    assert [len(each) for each in batches(range(10), 4)] == [4, 4, 2]
    assert batch_size((640, 360)) == BATCH
    assert batch_size((3840, 2160)) == 1
    assert batch_size((30000, 30000)) == 1


def test_faces_keep_their_numbers_and_each_its_own_smoothed_probabilities():
    """Two patches cross; one goes from bright to dark. Against the filter written out in NumPy."""
    grays = lambda n: (250 if n < 20 else 100, 180)
    positions = lambda n: (
        [(20 + 7 * n, grays(n)[0]), (340 - 5 * n, grays(n)[1])] if abs(12 * n - 320) > 60 else [(340 - 5 * n, 180)]
    )
    told = list(run_pipeline(painted_frames(50, positions)))
    tracks = {1: [], 2: []}
    for result in told[2:]:
        for face in result.faces:
            tracks[face.track].append((result.frame.time, face))
    assert [round(255 * face.raw[0]) for _, face in tracks[2]] == [180] * 48
    assert {round(255 * face.raw[0]) for _, face in tracks[1]} == {250, 100}
    level, before = None, 0.0
    for at, face in tracks[1]:
        logs = np.log(np.maximum(face.raw.astype(float), LEAST))
        level = logs if level is None else level + (1 - np.exp(-(at - before) / TIME_CONSTANT)) * (logs - level)
        before = at
        np.testing.assert_allclose(face.smoothed, np.exp(level) / np.exp(level).sum(), rtol=1e-9)


def test_frames_without_a_face_are_told_too():
    told = list(run_pipeline(painted_frames(20, lambda n: [(30, 200)] if n % 5 else [])))
    assert [len(result.faces) for result in told] == [int(n % 5 > 0) for n in range(20)]
    assert [result.frame.number for result in told] == list(range(20))


def test_batches_and_threads_change_nothing():
    positions = lambda n: [(10 + 60 * i, 100 + 20 * i) for i in range(n % 7)]
    told = [
        [
            rows(result, CLASSES, "")
            for result in run_pipeline(painted_frames(30, positions), workers=workers, batch=batch)
        ]
        for workers, batch in ((1, 1), (2, 8), (3, 30))
    ]
    assert told[0] == told[1] == told[2]


def test_images_are_dropped_when_nobody_needs_them():
    frames = lambda: painted_frames(3, lambda n: [])
    assert all(not result.frame.image.size for result in run_pipeline(frames()))
    assert all(result.frame.image.shape == (80, 400, 3) for result in run_pipeline(frames(), keep_images=True))


def test_only_tracks_that_are_waited_for_are_kept():
    tracks = TrackState()
    list(run_pipeline(painted_frames(100, lambda n: [(30, 200)] if n < 10 else []), tracks))
    assert tracks.smoothers == {} and tracks.tracker.tracks == []


@pytest.mark.skipif(not (MEDIA / "cries_then_laughs.mp4").exists(), reason="no video in ../shared/media")
def test_real_video_is_one_track_and_its_lasting_labels_come_in_time():
    """From crying to laughing, 3.5 s: what lasts for a second in the raw labels is shown within 0.3 s of its onset, and
    no change is shown that does not last."""
    read = Video(MEDIA / "cries_then_laughs.mp4")
    pipeline = video_commands.make_pipeline("small", detector="centerface", threads=2, size=320)
    frames = itertools.islice(read.frames(), 180, 265)
    told = list(itertools.chain.from_iterable(pipeline.run(frames, TrackState())))[2:]
    read.close()
    assert [[face.track for face in result.faces] for result in told] == [[1]] * 83
    times = np.array([result.frame.time for result in told])
    raw = np.array([result.faces[0].raw.argmax() for result in told])
    shown = np.array([result.faces[0].label for result in told])
    onsets = lasting(raw, times)
    assert len(onsets) >= 2  # the video ends with another expression than it began with
    for label, onset in onsets[1:]:
        assert any(other == label and -0.5 <= at - onset <= 0.3 for other, at in lasting(shown, times))
    assert np.count_nonzero(np.diff(shown)) <= max(np.count_nonzero(np.diff(raw)) / 3, len(onsets) - 1)


def lasting(labels, times, second=1.0, share=0.8):
    """Labels that hold `share` of the second after their onset -> pairs of label and onset."""
    found = []
    for i in range(len(labels)):
        window = labels[(times >= times[i]) & (times < times[i] + second)]
        if times[-1] - times[i] < second or (found and found[-1][0] == labels[i]):
            continue
        if (window == labels[i]).mean() >= share:
            found.append((labels[i], times[i]))
    return found
