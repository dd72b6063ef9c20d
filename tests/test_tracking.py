"""Numbers of faces that move as we say: crossing, hiding, in a crowd. All boxes are made here."""

import itertools
import json

import numpy as np
import pytest

from expressnet_jax.inference.tracking import CONFIRMED, Tracker, distances, paired

RATE = 25.0


def box(x, y, side=60.0):
    """Around a centre."""
    return x - side / 2, y - side / 2, side, side


def run(frames, rate=RATE, tracker=None):
    """Boxes of each frame -> numbers of each frame."""
    tracker = tracker or Tracker()
    return [tracker.update(boxes, 1 / rate) for boxes in frames]


def test_a_face_has_a_number_from_its_third_sighting_on():
    assert run([[box(100, 100)]] * 5) == [[0], [0], [1], [1], [1]]
    assert CONFIRMED == 3


def test_what_flashes_up_twice_is_no_track():
    numbers = run([[box(100, 100)]] * 2 + [[]] * 10 + [[box(100, 100)]] * 3)
    assert numbers[-3:] == [[0], [0], [1]]


def test_frames_without_faces():
    tracker = Tracker()
    assert run([[]] * 50, tracker=tracker) == [[]] * 50
    assert tracker.tracks == []


@pytest.mark.parametrize("noise", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("speed", [60.0, 150.0, 400.0])
def test_two_faces_that_cross_keep_their_numbers(speed, noise):
    """Where they lie over each other their noise may decide, but not for what comes after."""
    rng = np.random.default_rng(0)
    times = np.arange(0, 500 / speed, 1 / RATE)
    shaky = lambda x, y: box(x + noise * rng.normal(), y + noise * rng.normal())
    numbers = run([[shaky(100 + speed * t, 200), shaky(600 - speed * t, 203)] for t in times])
    apart = [i for i, t in enumerate(times) if i > 2 and abs(500 - 2 * speed * t) > 6]
    assert len(apart) > 0.8 * len(times)
    assert [numbers[i] for i in apart] == [[1, 2]] * len(apart)


@pytest.mark.parametrize("in_front", [0, 1])
def test_faces_that_hide_each_other_as_they_cross_keep_their_numbers(in_front):
    frames, truth = [], []
    for t in np.arange(0, 2.5, 1 / RATE):
        faces = [box(100 + 200 * t, 200), box(600 - 200 * t, 204)]
        hidden = abs(faces[0][0] - faces[1][0]) < 35  # as when non-maximum suppression leaves one box
        frames.append([faces[in_front]] if hidden else faces)
        truth.append([in_front + 1] if hidden else [1, 2])
    assert sum(len(faces) == 1 for faces in frames) >= 4
    assert run(frames)[3:] == truth[3:]


@pytest.mark.parametrize("rate", [8.0, 25.0, 60.0])
def test_a_face_that_is_away_for_half_a_second_keeps_its_number(rate):
    step = round(rate)
    path = lambda i: box(100 + 80 * i / rate, 150)
    frames = (
        [[path(i)] for i in range(step)] + [[]] * (step // 2) + [[path(i + step // 2)] for i in range(step, 2 * step)]
    )
    numbers = run(frames, rate)
    assert numbers[-step:] == [[1]] * step


def test_a_face_that_is_away_for_two_seconds_is_a_new_one():
    numbers = run([[box(100, 100)]] * 10 + [[]] * 50 + [[box(100, 100)]] * 5)
    assert numbers[-1] == [2]


def test_a_lost_face_does_not_run_away():
    """A track that coasts for its whole patience goes at most as far as its face does in half a second."""
    tracker = Tracker()
    run([[box(100 + 8 * i, 100)] for i in range(25)], tracker=tracker)  # 200 pixels a second
    last = tracker.tracks[0].left
    run([[]] * 24, tracker=tracker)
    assert 60 < tracker.tracks[0].left - last < 200 * 0.5 + 200 / RATE


def test_a_face_that_jumps_less_than_its_size_is_the_same():
    assert run([[box(100, 100)]] * 5 + [[box(150, 100)]] * 2)[-1] == [1]
    assert run([[box(100, 100)]] * 5 + [[box(200, 100)]] * 3)[-1] == [2]


def test_forty_faces_that_sway_and_come_in_any_order():
    rng = np.random.default_rng(1)
    places = [(80 + 90 * column, 80 + 90 * row) for row in range(5) for column in range(8)]
    sway = rng.uniform(0, 2 * np.pi, (40, 2))
    tracker, owners = Tracker(), {}
    for frame in range(100):
        faces = [
            box(x + 12 * np.sin(frame / 6 + a), y + 12 * np.cos(frame / 5 + b))
            for (x, y), (a, b) in zip(places, sway, strict=True)
        ]
        order = rng.permutation(40)[: 40 if frame < 5 else 36]  # later four are missed in every frame
        for person, number in zip(order, tracker.update([faces[i] for i in order]), strict=True):
            if frame >= 5:
                owners.setdefault(person, set()).add(number)
    assert sorted(map(list, owners.values())) == [[n] for n in range(1, 41)]


def test_pairs_have_the_least_sum_of_all():
    """Against every permutation. A pair out of reach counts as reach."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        expected, found = ([box(*rng.uniform(0, 150, 2), rng.uniform(40, 80)) for _ in range(5)] for _ in range(2))
        cost = np.minimum(distances(np.array(expected), np.array(found)), 1.0)
        best = min(sum(cost[i, p[i]] for i in range(5)) for p in itertools.permutations(range(5)))
        pairs = paired(expected, found)
        assert all(cost[t, n] < 1 for t, n in pairs)
        assert sum(cost[t, n] for t, n in pairs) + (5 - len(pairs)) == pytest.approx(best)


def test_distances_are_counted_in_faces():
    near = distances(np.array([box(0, 0, 50)]), np.array([box(30, 40, 50), box(0, 0, 100)]))
    np.testing.assert_allclose(near, [[1.0, np.log(2)]])
    both = distances(np.array([box(0, 0, 50)]), np.array([box(100, 0, 200)]))
    np.testing.assert_allclose(both, [[1.0 + np.log(4)]])


def test_pairing_takes_nothing_from_nothing():
    assert paired([], [box(0, 0)]) == []
    assert paired([box(0, 0)], []) == []


def test_numbers_do_not_depend_on_the_frame_rate():
    path = lambda t: [box(100 + 90 * t, 200), box(400 - 90 * t, 203)]
    for rate in (12.5, 25.0, 50.0):
        frames = [path(t) if not 1.0 < t < 1.4 else [] for t in np.arange(0, 3, 1 / rate)]
        assert run(frames, rate)[-1] == [1, 2]


def test_a_tracker_restored_from_json_goes_on_as_if_nothing_had_happened():
    rng = np.random.default_rng(3)
    frames = [[box(*rng.uniform(0, 300, 2)) for _ in range(rng.integers(0, 6))] for _ in range(60)]
    whole, first = Tracker(), Tracker()
    straight = run(frames, tracker=whole)
    run(frames[:30], tracker=first)
    second = Tracker.restored(json.loads(json.dumps(first.state())))
    assert run(frames[30:], tracker=second) == straight[30:]
    assert second.state() == whole.state()
