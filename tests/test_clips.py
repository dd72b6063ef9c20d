"""Generated clips: what is drawn, what is said of it, how it is stored and shown."""

import threading
from itertools import pairwise

import cv2
import numpy as np
import pytest
from PIL import Image

from expressnet_jax import cli
from expressnet_jax.data.datasets.synthetic import Faces, Synthetic
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.show_clips import show_clips
from expressnet_jax.data.synthetic import AU_NAMES, STYLES, generate, generate_clip
from expressnet_jax.data.synthetic.clips import plan_clip
from expressnet_jax.data.synthetic.expression import BYSTANDERS
from expressnet_jax.errors import UserError

HAPPINESS, NEUTRAL = BASIC.index("happiness"), BASIC.index("neutral")
SUBTLE = (0.15, 0.5)
FRAMES = 8
SMALL = {"num_train": 16, "num_validation": 10, "num_test": 10, "size": 24, "frames": FRAMES}


def plan(index, emotion, identity=None, frames=12, intensity=(0.4, 1.0)):
    return plan_clip(index, seed=0, channels=1, emotion=emotion, identity=identity, frames=frames, intensity=intensity)


def aligned(points):
    """Landmarks [...,68,2] without the place and size of the face."""
    centred = points - points.mean(-2, keepdims=True)
    return centred / np.sqrt((centred**2).mean((-2, -1), keepdims=True))


def records(split="train", **options):
    return Faces(split, BASIC, Synthetic.OPTIONS | SMALL | options)


@pytest.mark.parametrize("style", STYLES)
def test_a_clip_is_a_function_of_its_arguments(style):
    arguments = {"seed": 3, "size": 24, "style": style, "emotion": 2, "identity": 17, "frames": 5}
    first = generate_clip(5, **arguments)
    generate_clip(6, **arguments)
    for value, again in zip(first, generate_clip(5, **arguments), strict=True):
        np.testing.assert_array_equal(value, again)
    for other in ({"index": 6}, {"seed": 4}, {"identity": 18}, {"emotion": 3}, {"intensity": (0.2, 0.3)}):
        changed = {"index": 5} | arguments | other
        assert not np.array_equal(first.image, generate_clip(**changed).image)


@pytest.mark.parametrize(("size", "channels", "frames"), [(48, 1, 2), (32, 3, 7)])
def test_shapes_and_types(size, channels, frames):
    clip = generate_clip(1, size=size, channels=channels, frames=frames)
    assert clip.image.shape == (frames, size, size, channels) and clip.image.dtype == np.uint8
    shapes = {"action_units": (frames, len(AU_NAMES)), "landmarks": (frames, 68, 2), "intensity": (frames,)}
    for name, shape in (shapes | {"pose": (frames, 3), "resting": (len(AU_NAMES),)}).items():
        assert getattr(clip, name).shape == shape and getattr(clip, name).dtype == np.float32


def test_an_expression_rises_from_rest_to_its_apex_and_the_phases_say_when():
    seen = set()
    for i in range(60):
        drawn = plan(i, i % 6)
        intensity, movement = drawn.movement.intensity, drawn.movement
        moving = np.flatnonzero(intensity)
        assert intensity[0] == 0 and moving[0] == movement.onset
        assert intensity.argmax() == movement.apex and 0.4 <= intensity.max() <= 1
        assert (np.diff(intensity[: movement.apex + 1]) >= 0).all() and (np.diff(intensity[movement.apex :]) <= 0).all()
        assert movement.offset == (moving[-1] if intensity[-1] == 0 else -1)
        seen.add("whole" if movement.offset >= 0 else "held" if intensity[-1] == intensity.max() else "cut off")
    assert seen == {"whole", "held", "cut off"}


def test_the_first_frame_is_the_person_at_rest_who_is_the_same_in_every_clip():
    units = []
    for i in range(20):
        clip = plan(i, i % 7, identity=i // 5)
        np.testing.assert_array_equal(clip.movement.activation[0], clip.resting)
        units.append(clip.resting)
    for first in (0, 5, 10, 15):
        np.testing.assert_array_equal(units[first], units[first + 4])
    assert not np.array_equal(units[0], units[5])
    assert 0 < np.max(units) < 0.7


def test_in_a_neutral_clip_only_distractors_move():
    others = [i for i, name in enumerate(AU_NAMES) if int(name[2:]) not in BYSTANDERS]
    moved = []
    for i in range(40):
        movement = plan(i, NEUTRAL).movement
        assert not movement.intensity.any()
        assert (movement.onset, movement.apex, movement.offset) == (-1, -1, -1)
        change = np.ptp(movement.activation, axis=0)
        assert not change[:, others].any()
        moved.append(change.max() > 0)
    assert 5 < sum(moved) < 40


def test_blinks_close_the_eyes_in_some_clips_of_any_emotion():
    eyes = AU_NAMES.index("AU43")
    closed = [plan(i, emotion).movement.activation[..., eyes].max() > 0.8 for emotion in (3, 6) for i in range(40)]
    assert 4 < sum(closed[:40]) < 36 and 4 < sum(closed[40:]) < 36


def test_mouth_corners_go_up_and_out_with_a_smile_and_come_back():
    rises = []
    for i in range(30):
        clip = plan(i, HAPPINESS, frames=16)
        points = aligned(clip.landmarks(48))
        lips = points[:, [48, 54]] - points[:, [33]]
        width, height = lips[:, 1, 0] - lips[:, 0, 0], lips[..., 1].mean(1)
        apex = clip.movement.apex
        rises.append((width[apex] - width[0], height[0] - height[apex]))
    assert (np.array(rises) > 0.02).all(axis=1).mean() > 0.85


def test_landmarks_stay_inside_and_lie_on_what_is_drawn():
    for i in range(8):
        clip = generate_clip(i, size=96, emotion=BASIC.index("surprise"), frames=6, intensity=(0.8, 1.0), style="b")
        assert (clip.landmarks > 0).all() and (clip.landmarks < 95).all()
        if clip.occluder != "none":
            continue
        lips = [cv2.fillPoly(np.zeros((96, 96)), [np.rint(p[60:68]).astype(int)], 1) > 0 for p in clip.landmarks]
        # An open mouth is drawn in ink: the further apart the lips' landmarks, the more of it lies between them.
        dark = [(image[..., 0][inside] < 70).sum() for image, inside in zip(clip.image, lips, strict=True)]
        assert np.corrcoef(dark, clip.landmarks[:, 66, 1] - clip.landmarks[:, 62, 1])[0, 1] > 0.9


def test_person_light_and_camera_stay_while_the_noise_does_not():
    clips = [generate_clip(i, emotion=NEUTRAL, size=64, frames=6) for i in range(6)]
    within, between = [], []
    for clip, other in pairwise(clips):
        difference = lambda a, b: np.abs(a.astype(float) - b).mean()
        within.append(difference(clip.image[0], clip.image[-1]))
        between.append(difference(clip.image[0], other.image[0]))
        assert not np.array_equal(clip.image[0], clip.image[1])
        # Corners show the background, if not hair: over time they change by noise only.
        assert np.median(np.abs(np.diff(clip.image[:, :3, :3].astype(float), axis=0))) < 12
    assert np.mean(within) < 0.5 * np.mean(between)


def test_the_head_moves_a_little_and_slowly():
    turns = np.stack([plan(i, 3, frames=16).pose for i in range(40)])
    assert 0.01 < np.ptp(turns[..., 0], axis=1).mean() < 0.2
    assert np.abs(np.diff(turns, axis=1)).max() < 0.06


@pytest.mark.parametrize(("style", "mean"), [("a", 108.6), ("b", 130.58), ("c", 200.03)])
def test_still_images_are_what_they_were_before_there_were_clips(style, mean):
    face = generate(7, seed=1, style=style, emotion=4, size=64)
    before = [(30.464, 59.328), (27.911, 33.268), (21.305, 47.425), (38.516, 47.080)]
    assert face.image.mean() == pytest.approx(mean, abs=0.3)
    np.testing.assert_allclose(face.landmarks[[8, 30, 48, 54]], before, atol=0.01)


def classified(train, test):
    """Share of test examples that a ridge classifier names rightly; each a pair (features [N,F], labels [N])."""
    (x, labels), (other, truth) = train, test
    mean, scale = x.mean(0), x.std(0) + 1e-6
    x, other = ((np.c_[(part - mean) / scale, np.ones(len(part))]) for part in (x, other))
    weights = np.linalg.solve(x.T @ x + 0.01 * len(x) * np.eye(x.shape[1]), x.T @ np.eye(7)[labels])
    return ((other @ weights).argmax(1) == truth).mean()


def test_the_change_over_time_tells_subtle_expressions_apart_and_one_frame_does_not():
    frames, splits = [], []
    for first, count in ((0, 420), (10_000, 210)):
        labels = np.arange(count) % 7
        points, apexes = [], []
        for i in range(count):
            drawn = plan(first + i, int(labels[i]), identity=first + i, frames=5, intensity=SUBTLE)
            points.append(aligned(drawn.landmarks(48)))
            apexes.append(drawn.movement.apex if drawn.movement.apex >= 0 else 2)
        points, apexes = np.stack(points), np.array(apexes)
        peak = points[np.arange(count), apexes]
        frames.append((peak.reshape(count, -1), labels))
        splits.append(((peak - points[:, 0]).reshape(count, -1), labels))
    single, change = classified(*frames), classified(*splits)
    assert change > 0.85 and single < change - 0.12, (single, change)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare("synthetic", None, tmp_path_factory.mktemp("clips"), name="clips", **SMALL)


def test_a_clip_is_stored_as_one_image_of_stacked_frames_with_labels_for_each(prepared):
    assert prepared.facts["notes"]["frames"] == FRAMES
    split = prepared.split("validation")
    images = decode_all(split, None, 1).reshape(len(split), FRAMES, 24, 24, 1)
    for i, record in enumerate(records("validation")):
        np.testing.assert_array_equal(images[i], record.image.reshape(FRAMES, 24, 24, 1))
        assert split.labels[i] == record.label and split.subjects[i] == record.subject
        for name in ("action_units", "landmarks", "intensity", "onset", "apex", "offset", "resting", "pose"):
            np.testing.assert_array_equal(split.columns[name][i], record.extras[name])
    assert split.columns["action_units"].shape == (10, FRAMES, len(AU_NAMES))
    assert split.columns["apex"].dtype == np.int32


def test_nobody_is_in_clips_of_two_splits(prepared):
    people = [set(prepared.split(name).subjects) for name in prepared.splits]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])


def test_a_longer_split_begins_like_a_shorter_one_on_any_thread():
    short, long = records(num_train=6), records(num_train=12)
    made = {}
    threads = [threading.Thread(target=lambda i=i: made.update({i: long[i].image})) for i in range(6)]
    for thread in reversed(threads):
        thread.start()
    for i, (thread, record) in enumerate(zip(threads, short, strict=True)):
        thread.join()
        np.testing.assert_array_equal(record.image, made[i])


def test_the_range_of_intensities_is_an_option():
    peaks = [record.extras["intensity"].max() for record in records(num_train=20, intensity="0.15,0.3")]
    peaks = np.array(peaks)[np.array(peaks) > 0]
    assert len(peaks) > 5 and peaks.min() >= 0.15 and peaks.max() <= 0.3
    stills = [record.extras["intensity"] for record in records(frames=0, intensity="0.15,0.3")]
    assert 0.15 <= max(stills) <= 0.3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"frames": 1}, "frames is 1; a clip has 2 to 512 frames"),
        ({"frames": -4}, "frames is -4"),
        ({"frames": "many"}, "frames is many; it must be a whole number"),
        ({"frames": True}, "it must be a whole number"),
        ({"contempt": "no"}, "contempt is no; it must be true or false"),
        ({"intensity": "0.5,0.1"}, "LOW <= HIGH"),
        ({"intensity": "0,nan"}, "LOW <= HIGH"),
        ({"intensity": "much"}, "such as 0.15,0.5"),
        ({"intensity": 0.5}, "such as 0.15,0.5"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(options, named, tmp_path):
    with pytest.raises(UserError, match=named):
        prepare("synthetic", None, tmp_path, **(SMALL | options))
    assert not (tmp_path / "synthetic").exists()


def test_a_clip_has_no_unknown_emotion():
    with pytest.raises(UserError, match=r"0\.\.7"):
        generate_clip(0, emotion=len(WITH_CONTEMPT))


def test_show_writes_a_row_per_clip_with_every_frame_in_order(prepared, tmp_path):
    split = prepared.split("train")
    split = split.subset([0, np.flatnonzero(split.labels != split.labels[0])[0]])
    page = np.asarray(Image.open(show_clips(split, FRAMES, tmp_path / "page.png")).convert("RGB"))
    rows = []
    for clip in decode_all(split, None, 3).reshape(2, FRAMES, 24, 24, 3):
        places = []
        for frame in clip[[0, 3, 7]]:
            match = cv2.matchTemplate(page, frame.repeat(6, axis=0).repeat(6, axis=1), cv2.TM_SQDIFF)
            assert match.min() < 100
            places.append(np.unravel_index(match.argmin(), match.shape))
        rows.append(places[0][0])
        assert len({y for y, _ in places}) == 1 and places[0][1] + 3 * 144 <= places[1][1] <= places[2][1] - 4 * 144
    assert abs(rows[0] - rows[1]) > 144


def test_the_command_shows_clips_and_refuses_what_is_for_still_images(prepared, tmp_path, capsys):
    command = ["show", "clips", "--data_dir", str(prepared.directory.parents[2]), "--output", str(tmp_path / "p.png")]
    assert cli.main(command) == 0 and Image.open(tmp_path / "p.png").width > FRAMES * 128
    for option in ("--augment", "--effects"):
        assert cli.main([*command, option]) == 2
        assert "clips holds clips; --augment and --effects" in capsys.readouterr().err
