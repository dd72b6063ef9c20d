import json

import cv2
import numpy as np
import pytest

from expressnet_jax.data.datasets.synthetic import FIRST_PERSON, Faces, Synthetic
from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.synthetic import AU_NAMES, generate
from expressnet_jax.errors import UserError
from expressnet_jax.training.targets import split_fields

SMALL = {"num_train": 32, "num_validation": 10, "num_test": 10}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare("synthetic", None, tmp_path_factory.mktemp("data"), **SMALL)


def records(split: str, **options) -> Faces:
    return Faces(split, BASIC, Synthetic.OPTIONS | SMALL | options)


def test_prepare_stores_what_the_generator_makes(prepared):
    assert prepared.classes == BASIC
    assert prepared.splits == {"train": 32, "validation": 10, "test": 10}
    split = prepared.split("validation")
    for i in (0, 9):
        face = generate(
            (FIRST_PERSON["validation"] << 16) + i,
            emotion=int(split.labels[i]),
            identity=int(split.subjects[i].removeprefix("id")),
        )
        stored = cv2.imdecode(np.frombuffer(split.encoded(i), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(stored, face.image[..., 0])
        np.testing.assert_array_equal(split.columns["landmarks"][i], face.landmarks)
        np.testing.assert_array_equal(split.columns["action_units"][i], face.action_units)


def test_ground_truth_is_beside_the_images(prepared):
    split = prepared.split("train")
    assert split.columns["landmarks"].shape == (32, 68, 2)
    assert split.columns["action_units"].shape == (32, len(AU_NAMES))
    assert set(split.columns["style"]) == {"a"}
    assert prepared.facts["notes"]["action_units"] == list(AU_NAMES)
    names = split_fields(split, prepared.facts["notes"])["pose"].names
    assert set(names) == {"yaw", "pitch", "roll"}
    # A head that is turned to the image's right shows more of its left: the nose moves away from the middle of the jaw.
    marks, pose = split.columns["landmarks"][..., 0], split.columns["pose"]
    off = (marks[:, 30] - (marks[:, 0] + marks[:, 16]) / 2) / (marks[:, 16] - marks[:, 0])
    alike = {name: np.corrcoef(off, pose[:, i])[0, 1] for i, name in enumerate(names)}
    assert max(alike, key=alike.__getitem__) == "yaw" and alike["yaw"] > 0.9
    np.testing.assert_array_equal(split.columns["intensity"] == 0, split.labels == BASIC.index("neutral"))


def test_nobody_is_in_two_splits(prepared):
    people = [set(prepared.split(name).subjects) for name in prepared.splits]
    assert all(people)
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])


def test_the_same_options_give_the_same_bytes(prepared, tmp_path):
    again = prepare("synthetic", None, tmp_path, **SMALL)
    hashes = lambda facts: json.dumps(facts["splits"])
    assert hashes(again.facts) == hashes(prepared.facts)
    other = prepare("synthetic", None, tmp_path, **SMALL, seed=1)
    assert hashes(other.facts) != hashes(prepared.facts)


def test_a_longer_split_begins_like_a_shorter_one():
    for short, long in zip(records("train"), records("train", num_train=48), strict=False):
        assert short.label == long.label and short.subject == long.subject
        np.testing.assert_array_equal(short.image, long.image)


def test_sizes_styles_and_contempt_are_options(tmp_path):
    options = {"num_train": 48, "num_validation": 0, "num_test": 0}
    made = prepare("synthetic", None, tmp_path, **options, size=32, channels=3, style="a,b", contempt=True)
    assert made.classes == WITH_CONTEMPT
    assert made.splits == {"train": 48}
    split = made.split("train")
    assert list(split.columns["style"][:4]) == ["a", "b", "a", "b"]
    assert cv2.imdecode(np.frombuffer(split.encoded(0), np.uint8), cv2.IMREAD_UNCHANGED).shape == (32, 32, 3)
    assert WITH_CONTEMPT.index("contempt") in split.labels


def test_classes_are_mildly_imbalanced():
    counts = np.bincount(records("train", num_train=20_000).labels, minlength=7) / 20_000
    assert np.argmax(counts) == BASIC.index("happiness") and np.argmin(counts) == BASIC.index("disgust")
    assert counts.min() > 0.05 and counts.max() < 0.3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"style": "a,oil"}, "the styles are: a, b, c"),
        ({"num_test": -1}, "num_test is -1"),
        ({"size": 4}, "at least 16"),
        ({"colour": True}, "the options are: num_train"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(options, named, tmp_path):
    with pytest.raises(UserError, match=named):
        prepare("synthetic", None, tmp_path, **(SMALL | options))
    assert not (tmp_path / "synthetic").exists()
