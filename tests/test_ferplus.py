"""FER+: the rules of Barsoum et al. 2016 on votes worked out by hand, and the two files side by side."""

import csv
from pathlib import Path

import numpy as np
import pytest

from expressnet_jax.data.datasets.ferplus import RULES, majority_share, soft_shares
from expressnet_jax.data.datasets.votes import read_votes
from expressnet_jax.data.labels import BASIC, FERPLUS_COLUMNS, WITH_CONTEMPT
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError

OFFICIAL = Path(__file__).parents[2] / "shared" / "data" / "ferplus_fer2013new.csv"


def votes(**counts):
    return np.array([counts.get(name, 0) for name in FERPLUS_COLUMNS])


def shares(**parts):
    return np.array([parts.get(name, 0) for name in FERPLUS_COLUMNS], np.float32)


SOFT = [
    (votes(happiness=10), shares(happiness=1)),
    (votes(happiness=8, neutral=2), shares(happiness=1)),  # 8 of 10 are three quarters already
    (votes(anger=6, fear=4), shares(anger=0.6, fear=0.4)),
    (votes(anger=4, fear=3, sadness=3), shares(anger=0.4, fear=0.3, sadness=0.3)),
    (votes(anger=5, unknown=3), shares(anger=1)),  # ends at unknown, 5 of 8 are more than half
    (votes(anger=4, unknown=4), None),  # 4 of 8 are not
    (votes(unknown=6, anger=4), None),
    (votes(NF=10), None),
    (votes(anger=4, fear=4, sadness=4, neutral=3, surprise=3), shares(anger=1 / 3, fear=1 / 3, sadness=1 / 3)),
    (votes(anger=2, fear=2, sadness=2, surprise=2), None),  # four alike are too many
    (votes(), None),
]
MAJORITY = [
    (votes(happiness=6, neutral=4), "happiness"),
    (votes(happiness=5, neutral=5), None),
    (votes(happiness=4, neutral=3, fear=3), None),
    (votes(unknown=6, neutral=4), None),
    (votes(NF=10), None),
    (votes(contempt=5, unknown=4), "contempt"),
    (votes(), None),
]


@pytest.mark.parametrize(("counts", "expected"), SOFT)
def test_soft_targets_follow_the_paper(counts, expected):
    found = soft_shares(counts)
    assert (found is None) == (expected is None)
    if expected is not None:
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("counts", "expected"), MAJORITY)
def test_majority_is_more_than_half(counts, expected):
    found = majority_share(counts)
    assert (FERPLUS_COLUMNS[found.argmax()] if found is not None else None) == expected


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the official votes are not here")
def test_the_official_votes_give_the_counts_of_the_published_reader():
    found = read_votes(OFFICIAL)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 28709, "validation": 3589, "test": 3589}
    public = np.where(found["validation"] > 1, found["validation"], 0)
    kept = {mode: sum(rule(counts) is not None for counts in public) for mode, rule in RULES.items()}
    assert kept == {"votes": 3505, "majority": 3199}


VOTED = {
    "Training": [
        ("3", votes(happiness=10)),
        ("0", votes(anger=6, fear=4)),
        ("1", votes(contempt=9, disgust=1)),
        ("4", votes(unknown=10)),
        ("6", votes(neutral=5, sadness=5)),
        ("2", votes(NF=10)),
    ],
    "PublicTest": [("5", votes(surprise=10)), ("6", votes(neutral=10))],
    "PrivateTest": [("4", votes(sadness=10))],
}


def write_pair(folder, usages=("Training", "PublicTest", "PrivateTest"), voted=VOTED):
    folder.mkdir()
    with (folder / "fer2013.csv").open("w", newline="") as file:
        images = [(emotion, usage) for usage in usages for emotion, _ in VOTED[usage]]
        pixels = [" ".join([str(i)] * 2304) for i in range(len(images))]
        rows = [(emotion, data, usage) for (emotion, usage), data in zip(images, pixels, strict=True)]
        csv.writer(file).writerows([("emotion", "pixels", "Usage"), *rows])
    with (folder / "fer2013new.csv").open("w", newline="") as file:
        rows = [(usage, "fer.png", *counts) for usage, rows in voted.items() for _, counts in rows]
        csv.writer(file).writerows([("Usage", "Image name", *FERPLUS_COLUMNS), *rows])
    return folder


def test_votes_are_soft_targets_in_the_order_of_the_classes(tmp_path):
    prepared = prepare("ferplus", write_pair(tmp_path / "pair"), tmp_path / "data")
    train = prepared.split("train")
    assert prepared.classes == WITH_CONTEMPT
    assert [WITH_CONTEMPT[label] for label in train.labels] == ["happiness", "anger", "contempt", "neutral"]
    assert train.keys.tolist() == ["row2", "row3", "row4", "row6"]
    assert train.votes.dtype == np.float32
    expected = np.zeros((4, 8))
    expected[0, 3] = expected[2, 7] = 1
    expected[1, [0, 2]] = 0.6, 0.4
    expected[3, [4, 6]] = 0.5
    np.testing.assert_allclose(train.votes, expected, atol=1e-6)
    assert prepared.facts["notes"]["left out of train"] == {"not a face": 1, "unknown": 1}


def test_majority_leaves_out_what_has_none_and_stores_no_votes(tmp_path):
    prepared = prepare("ferplus", write_pair(tmp_path / "pair"), tmp_path / "data", mode="majority")
    train = prepared.split("train")
    assert [WITH_CONTEMPT[label] for label in train.labels] == ["happiness", "anger", "contempt"]
    assert train.votes is None
    assert prepared.facts["notes"]["left out of train"] == {"no agreement": 1, "not a face": 1, "unknown": 1}


@pytest.mark.parametrize("named", ["", "fer2013.csv", "fer2013new.csv"])
def test_the_folder_or_either_file_may_be_named(tmp_path, named):
    source = write_pair(tmp_path / "pair") / named
    assert prepare("ferplus", source, tmp_path / "data").splits == {"train": 4, "validation": 2, "test": 1}


def test_images_without_private_test_still_find_their_votes(tmp_path):
    source = write_pair(tmp_path / "pair", usages=("PublicTest", "Training"))
    prepared = prepare("ferplus", source, tmp_path / "data")
    assert prepared.splits == {"train": 4, "validation": 2}
    assert [WITH_CONTEMPT[label] for label in prepared.split("validation").labels] == ["surprise", "neutral"]


def test_fer2013_carries_the_votes_beside_its_own_labels(tmp_path):
    prepared = prepare("fer2013", write_pair(tmp_path / "pair"), tmp_path / "data", votes=True)
    train = prepared.split("train")
    assert prepared.classes == BASIC and len(train) == 6
    assert train.labels.tolist() == [int(emotion) for emotion, _ in VOTED["Training"]]
    expected = np.zeros((6, 7))
    expected[0, 3] = expected[2, 1] = expected[3, 4] = expected[5, 2] = 1  # the last three: no basic expression voted
    expected[1, [0, 2]] = 0.6, 0.4
    expected[4, [4, 6]] = 0.5
    np.testing.assert_allclose(train.votes, expected, atol=1e-6)
    (tmp_path / "pair" / "fer2013new.csv").unlink()
    with pytest.raises(UserError, match=r"there is no .*fer2013new.csv"):
        prepare("fer2013", tmp_path / "pair", tmp_path / "more", votes=True)


def test_votes_of_other_rows_are_refused(tmp_path):
    shifted = VOTED | {"Training": VOTED["Training"][-3:] + VOTED["Training"][:3]}
    with pytest.raises(UserError, match="votes don't fit the images of train"):
        prepare("ferplus", write_pair(tmp_path / "shifted", voted=shifted), tmp_path / "data")
    short = VOTED | {"Training": VOTED["Training"][:-1]}
    with pytest.raises(UserError, match="train has 6 images but 5 rows of votes"):
        prepare("ferplus", write_pair(tmp_path / "short", voted=short), tmp_path / "data")


def test_broken_vote_files_are_named(tmp_path):
    source = write_pair(tmp_path / "pair")
    table = source / "fer2013new.csv"
    text = table.read_text()
    for broken, message in (
        (text.replace("Training,fer.png,0", "Training,fer.png,many", 1), "row 2: the votes are not ten"),
        (text.replace("PublicTest,", "Public,", 1), "row 8: Usage is 'Public'"),
        (text.replace("contempt", "scorn"), "row 1: no column contempt"),
    ):
        table.write_text(broken)
        with pytest.raises(UserError, match=r"fer2013new\.csv " + message):
            prepare("ferplus", source, tmp_path / "data")
    table.unlink()
    with pytest.raises(UserError, match="microsoft/FERPlus"):
        prepare("ferplus", source, tmp_path / "data")


def test_an_unknown_mode_names_the_valid_ones(tmp_path):
    with pytest.raises(UserError, match="not one of votes, majority"):
        prepare("ferplus", write_pair(tmp_path / "pair"), tmp_path / "data", mode="best")
