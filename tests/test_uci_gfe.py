"""UCI GFE's recordings of point tracks: what is read, windows of frames, and files that are not as they should be."""

import numpy as np
import pytest

from expressnet_jax.data.datasets.uci_gfe import POINTS
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError

FRAMES = 6


def write_recording(folder, name, seed, lost=False):
    """Points whose first x is the number of the frame; the second half of the frames shows the expression."""
    points = np.random.default_rng(seed).uniform(100, 300, (FRAMES, POINTS, 3))
    points[..., 2] += 900
    points[:, 0, 0] = 100 + 30 * np.arange(FRAMES)
    if lost:
        points[2, 5, 2] = 0
    header = " ".join(["0.0", *(f"{i}{axis}" for i in range(POINTS) for axis in "xyz")])
    rows = np.column_stack([np.arange(FRAMES), points.reshape(FRAMES, -1)])
    np.savetxt(folder / f"{name}_datapoints.txt", rows, fmt="%.3f", header=header, comments="")
    np.savetxt(folder / f"{name}_targets.txt", np.arange(FRAMES) >= FRAMES // 2, fmt="%d")
    return points


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    names = ("a_negative", "b_negative", "a_topics")
    return folder, {name: write_recording(folder, name, seed, name == "a_topics") for seed, name in enumerate(names)}


def test_frames_carry_their_points_in_one_scale_and_their_person(source, tmp_path):
    folder, points = source
    prepared = prepare("uci_gfe", folder, tmp_path / "data")
    split = prepared.split("all")
    assert len(split) == 3 * FRAMES and split.subjects.tolist() == ["a"] * 12 + ["b"] * 6
    names = np.array(split.classes)[split.labels].reshape(3, 6)
    assert names[:, :3].ravel().tolist() == ["none"] * 9
    assert [set(row[3:]) for row in names] == [{"negative"}, {"topics"}, {"negative"}]
    lacking = prepared.facts["notes"]["recordings that are not there"]
    assert len(lacking) == 15 and "b_topics" in lacking
    given, found = points["b_negative"], split.columns["points"][12:].astype(float)
    scale = np.ptp(found[..., 0]) / np.ptp(given[..., 0])
    np.testing.assert_allclose(found[..., :2] - found[0, 0, :2], scale * (given[..., :2] - given[0, 0, :2]), atol=0.1)
    # A pixel at the distance z is z / 525 mm wide.
    deep = scale * (given[..., 2] - np.median(given[..., 2])) * 525 / np.median(given[..., 2])
    np.testing.assert_allclose(found[..., 2], deep, atol=0.1)
    topics = split.columns["points"][6:12].astype(float)
    np.testing.assert_allclose(topics[2, 5, 2], np.median(np.delete(topics[2, :, 2], 5)), atol=0.05)


def test_a_window_holds_the_frames_around_and_one_expression_has_two_classes(source, tmp_path):
    folder, _ = source
    options = {"expression": "negative", "frames": 3, "stride": 2, "every": 2}
    split = prepare("uci_gfe", folder, tmp_path / "data", **options).split("all")
    assert split.classes == ("none", "negative") and len(split) == 6
    assert split.keys.tolist()[:3] == [f"a_negative frame {i}" for i in (0, 2, 4)]
    x = split.columns["points"][:3, :, 0, 0].astype(float)  # linear in the number of the frame
    frames = (x - x[0, 0]) / (x[2, 1] - x[1, 1]) * 2
    np.testing.assert_allclose(frames, [[0, 0, 2], [0, 2, 4], [2, 4, 5]], atol=0.02)


def test_wrong_files_and_options_are_named(source, tmp_path):
    folder, _ = source
    with pytest.raises(UserError, match="expression is 'joy', not one of affirmative, conditional"):
        prepare("uci_gfe", folder, tmp_path / "data", expression="joy")
    with pytest.raises(UserError, match="frames, stride and every are 1 or more"):
        prepare("uci_gfe", folder, tmp_path / "data", frames=0)
    (folder / "b_negative_targets.txt").write_text("1\n0\n")
    with pytest.raises(UserError, match=r"b_negative_datapoints.txt: 6 x 301 values for 2 targets"):
        prepare("uci_gfe", folder, tmp_path / "data")
    (folder / "b_negative_targets.txt").unlink()
    with pytest.raises(UserError, match=r"b_negative: no recording"):
        prepare("uci_gfe", folder, tmp_path / "data")
