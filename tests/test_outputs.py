"""Answers as people and programs read them: what is written can be read back."""

import csv
import io
import json

import numpy as np
import pytest

from expressnet_jax.bars import bar
from expressnet_jax.inference.outputs import Csv, as_dict, json_line, table
from expressnet_jax.inference.predictor import Face

CLASSES = ("anger", "happiness", "neutral")
MARKS = np.array([[12.34, 20.0], [30.06, 21.0], [20.0, 30.0], [13.0, 41.0], [29.0, 40.96]], np.float32)
NAMES = ["plain.jpg", "a, b.jpg", 'the "best" one.png', "two\nlines.png", "Grüße 顔.png", " spaces .jpg", "=1+1.png"]


def answer(anger=0.123456, happiness=0.7, flags=(), landmarks=MARKS):
    probabilities = dict(zip(CLASSES, (anger, happiness, 1 - anger - happiness), strict=True))
    return Face((1.26, -2.04, 30.0, 41.999), 0.87654, landmarks, probabilities, flags)


def read_back(rows):
    file = io.StringIO(newline="")
    out = Csv(file, CLASSES)
    for name, faces in rows:
        out.write(name, faces)
    return list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))


def test_names_of_every_kind_come_back_from_the_csv():
    assert [row["image"] for row in read_back([(name, [answer()]) for name in NAMES])] == NAMES


def test_a_row_a_face_with_every_figure():
    [first, second] = read_back([("group.jpg", [answer(flags=("small", "turned")), answer(0.8, 0.1)])])
    assert (first["face"], second["face"]) == ("1", "2")
    assert (first["label"], second["label"]) == ("happiness", "anger")
    assert [float(first[k]) for k in ("left", "top", "width", "height")] == [1.3, -2.0, 30.0, 42.0]
    assert [float(first[k]) for k in ("confidence", "score", *CLASSES)] == [0.7, 0.8765, 0.12346, 0.7, 0.17654]
    assert first["flags"].split() == ["small", "turned"] and second["flags"] == ""


def test_an_image_without_a_face_has_its_row():
    rows = read_back([("wall.jpg", []), ("group.jpg", [answer()])])
    assert [row["image"] for row in rows] == ["wall.jpg", "group.jpg"]
    assert rows[0]["face"] == "0" and {rows[0][k] for k in rows[0].keys() - {"image", "face"}} == {""}
    assert None not in rows[0] and None not in rows[0].values()  # neither too many cells nor too few


@pytest.mark.parametrize("name", NAMES)
def test_a_line_of_json_an_image(name):
    line = json_line(name, [answer(), answer(0.8, 0.1, ("dark",), None)])
    assert "\n" not in line
    read = json.loads(line)
    assert read["image"] == name and len(read["faces"]) == 2
    first, second = read["faces"]
    assert first["label"] == "happiness" and tuple(first["probabilities"]) == CLASSES
    assert first["box"] == [1.3, -2.0, 30.0, 42.0] and first["flags"] == [] and second["flags"] == ["dark"]
    assert first["landmarks"] == [[12.3, 20.0], [30.1, 21.0], [20.0, 30.0], [13.0, 41.0], [29.0, 41.0]]
    assert second["landmarks"] is None


def test_no_face_is_an_empty_list():
    assert json.loads(json_line("wall.jpg", [])) == {"image": "wall.jpg", "faces": []}


def test_figures_are_as_short_as_they_are_rounded():
    """Not 12.300000190734863, which is what float32 would print."""
    assert max(len(part) for part in json.dumps(as_dict(answer())).replace(",", " ").split() if part[0].isdigit()) <= 8


def test_the_table_says_what_is_likely_and_what_is_doubtful():
    lines = table("group.jpg", [answer(flags=("small",)), answer(0.8, 0.1)]).splitlines()
    assert lines[0] == "group.jpg: 2 faces"
    assert lines[1].split()[:4] == ["1", "happiness", "70", "%"] and lines[1].endswith("at 1,-2 30x42  (small)")
    assert "neutral 18 %, anger 12 %" in lines[1] and lines[2].split()[1] == "anger"
    assert table("x", [answer()]).startswith("x: 1 face\n") and table("x", []) == "x: no face found"
    twelve = table("x", [answer()] * 12).splitlines()[1:]
    assert len({line.index("happiness") for line in twelve}) == 1


@pytest.mark.parametrize("width", [1, 10])
def test_a_bar_is_as_long_as_its_share(width):
    eighths = {" ": 0, "▏": 1, "▎": 2, "▍": 3, "▌": 4, "▋": 5, "▊": 6, "▉": 7, "█": 8}
    for share in np.linspace(0, 1, 101):
        drawn = bar(float(share), width)
        assert len(drawn) == width
        assert sum(eighths[c] for c in drawn) == pytest.approx(8 * width * share, abs=0.5)
