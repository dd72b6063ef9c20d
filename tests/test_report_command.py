"""The command: what it writes, that it resumes, that the page is its JSON, and what it refuses."""

import json
import re

import numpy as np
import pytest

from expressnet_jax.cli import main
from expressnet_jax.data.prepare import prepare
from expressnet_jax.inference.predictor import load_model
from expressnet_jax.report import run as report_run
from expressnet_jax.report.context import Budget
from expressnet_jax.report.corruptions import CORRUPTIONS
from expressnet_jax.report.run import SECTIONS

SMALL = Budget(examples=60, corrupted=2, degraded=4, explained=2, people=1)
NEEDED = ("corrupt_tta", "fairlearn", "cleanlab")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Generated faces as a prepared set `synthetic`, and others that a report is refused for."""
    folder = tmp_path_factory.mktemp("data")
    prepare("synthetic", None, folder, num_train=24, num_validation=60, num_test=0)
    faces = tmp_path_factory.mktemp("faces")
    images = np.random.default_rng(0).integers(0, 256, (12, 48, 48), np.uint8)
    import cv2

    for name, kind in (("happy", "one"), ("cat", "animals"), ("dog", "animals")):
        (faces / kind / name).mkdir(parents=True)
        for i, image in enumerate(images):
            cv2.imwrite(
                str(faces / kind / name / f"{i}.png"), np.roll(image, len(kind), axis=0) // (1 + (name == "dog"))
            )
    for kind in ("animals",):
        prepare("folder", faces / kind, folder, name=kind)
    return folder


@pytest.fixture(scope="module")
def written(data_dir, tmp_path_factory):
    """A report with every section that this computer has the libraries of, of a smaller budget than --quick."""
    for name in NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed")
    output = tmp_path_factory.mktemp("report")
    budget, report_run.QUICK = report_run.QUICK, SMALL
    try:
        arguments = ["report", "--model", "tiny", "--data", "synthetic:validation", "--data_dir", str(data_dir)]
        arguments += ["--against", "small", "--quick", "--output", str(output)]
        assert main(arguments) == 0
        first = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
        cached = {path: path.stat().st_mtime_ns for path in (output / "cache").iterdir()}
        assert main(arguments) == 0
        again = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
        assert {path: path.stat().st_mtime_ns for path in (output / "cache").iterdir()} == cached
        context = report_run.make_context(request_of(data_dir, output / "afresh"))
        computed = {name: report_run.section(context, name) for name in SECTIONS}
    finally:
        report_run.QUICK = budget
    return computed, first, again


def request_of(data_dir, output):
    from expressnet_jax.data.store import load

    prepared = load("synthetic", data_dir)
    return report_run.Request("tiny", [(prepared, "validation")], output, against="small", quick=True)


def test_the_files_are_there_and_the_second_run_writes_the_same(written):
    _, first, again = written
    assert set(first) == {"report.html", "report.json", "measured.json", "model_card.md", "error_gallery.html"}
    assert first["report.json"] == again["report.json"]


def test_every_section_that_is_computed_again_is_the_same_to_the_last_bit(written):
    computed, first, _ = written
    found = json.loads(first["report.json"])["sections"]
    assert list(computed) == list(found)
    for name, section in computed.items():
        assert json.dumps(section) == json.dumps(found[name]), name


def test_what_a_baseline_or_a_file_does_not_have_is_said(written):
    from expressnet_jax.report.page.people import cost_html

    assert "Grad-CAM and integrated gradients need" in written[1]["report.html"].decode()
    assert "not of a baseline" in cost_html({"kind": "baseline"}, None)
    assert "not of a baseline" not in written[1]["report.html"].decode()


def test_the_json_has_every_section_and_figure(written):
    found = json.loads(written[1]["report.json"])
    sections = found["sections"]
    assert list(sections) == list(SECTIONS) and len(written[1]["report.json"]) < 100_000
    (figures,) = sections["figures"]["data"]
    assert figures["against"]["name"] == "small" and figures["count"] == 60
    corruptions = sections["robustness"]["corruptions"]
    assert list(corruptions["errors"]) == list(CORRUPTIONS) and all(len(e) == 5 for e in corruptions["errors"].values())
    assert corruptions["mce"] == pytest.approx(np.mean(list(corruptions["ce"].values())), rel=1e-4)
    assert set(sections["explanation"]["methods"]) == {"occlusion", "attention"}
    assert set(sections["fairness"]["generated"]["sweeps"]) >= {"skin", "age", "shape", "glasses", "light"}
    assert json.loads(written[1]["measured.json"])["milliseconds"] > 0


def test_the_accuracy_is_that_of_the_model_on_the_images(written, data_dir):
    from expressnet_jax.data.decode import decode_all
    from expressnet_jax.data.store import load

    model, split = load_model("tiny"), load("synthetic", data_dir).split("validation")
    known = [i for i, name in enumerate(model.classes) if name in split.classes]
    rows = model(decode_all(split, 48, 1))[:, known]
    right = [
        model.classes[known[row]] == split.classes[label]
        for row, label in zip(rows.argmax(1), split.labels, strict=True)
    ]
    (figures,) = json.loads(written[1]["report.json"])["sections"]["figures"]["data"]
    assert figures["accuracy"] == pytest.approx(np.mean(right), rel=1e-5)


def test_the_page_is_one_small_file_that_asks_nobody_for_anything(written):
    page = written[1]["report.html"].decode()
    assert len(page) < 5_000_000
    page = re.sub(r"data:[^\"]+", "", page)
    assert not re.search(r"(https?:)?//\w+\.\w+", page)
    assert "<script" not in page and "default-src 'none'" in page
    assert not re.search(r"NaN|None\b|nan ", page)


def test_the_page_can_be_read_without_seeing_it(written):
    page = written[1]["report.html"].decode()
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1 and levels.count(1) == 1 and max(np.diff(levels)) <= 1
    assert len(re.findall(r"<svg", page)) == len(re.findall(r'<svg[^>]* role="img" aria-label="[^"]{20,}"', page)) > 5
    assert all(re.search(r'alt="[^"]{20,}"', tag) for tag in re.findall(r"<img[^>]*>", page))
    assert len(re.findall("<table", page)) == len(re.findall("<caption>", page))
    assert 'lang="en"' in page and "<main" in page and page.count("<section aria-labelledby=") == len(SECTIONS)


def test_every_cell_and_every_grey_word_can_be_read():
    from expressnet_jax.report.page import charts, style
    from expressnet_jax.report.page.elements import contrast, heat_table

    levels = [i / 50 for i in range(51)]
    page = heat_table("shares", "", ["row"], [str(level) for level in levels], [levels])
    cells = re.findall(r"background:rgb\((\d+),(\d+),(\d+)\);color:rgb\((\d+), (\d+), (\d+)\)", page)
    assert len(cells) == 51
    for cell in cells:
        assert contrast([int(c) for c in cell[:3]], [int(c) for c in cell[3:]]) >= 4.5  # WCAG 2.2, 1.4.3
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    (faint,) = re.findall(r"--faint: #(\w+);", style.PAGE)
    for colour in (faint, charts.FAINT[1:], *(each[1:] for each in charts.COLOURS)):
        assert contrast(bytes.fromhex(colour), (246, 247, 249)) >= 4.5


def test_a_mistake_in_a_name_cannot_change_the_page():
    from expressnet_jax.report.page.charts import Bar, bar_chart
    from expressnet_jax.report.page.elements import heat_table, table

    bad = '<b onclick="x">&'
    for made in (
        table(bad, [bad], [[bad]]),
        heat_table(bad, bad, [bad], [bad], [[0.5]]),
        bar_chart(bad, [Bar(bad, 0.5)]),
    ):
        assert "<b" not in made.replace("<body", "") and "&lt;b" in made


def test_the_model_card_says_what_the_json_says(written):
    found, card = json.loads(written[1]["report.json"])["sections"], written[1]["model_card.md"].decode()
    (figures,) = found["figures"]["data"]
    assert f"{100 * figures['accuracy']:.1f} %" in card and "predicts the label that annotators gave" in card
    assert "| a mask over the face |" in card and f"mCE {100 * found['robustness']['corruptions']['mce']:.1f} %" in card


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "animals"], "the model knows anger, disgust, .*, the data set cat, dog; fewer than two in common"),
        (["--data", "nothing"], "nothing is not prepared"),
        (["--data", "synthetic:elsewhere"], "has no split 'elsewhere'; its splits are"),
        (["--data", "synthetic", "--sections", "figures,beauty"], "no 'beauty'; there are figures, calibration"),
        (
            ["--data", "synthetic", "--sections", "figures", "--attributes", "sex"],
            "no column 'sex'; there are arousal,",
        ),
        (["--data", "synthetic", "--sections", "figures", "--model", "lost.onnx"], "lost.onnx: no such file"),
        (
            ["--data", "animals", "--model", "hog+svm", "--sections", "figures"],
            "none of the data sets has a split train",
        ),
        (["--data", "synthetic", "--model", "hog+tree"], "hog.tree: no classifier 'tree'; there are svm, knn"),
        (["--data", "synthetic", "--runs", "lost"], "lost: no finished run .*; give --workdir of runs that have ended"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, words, data_dir, tmp_path, capsys):
    given = ["report", "--output", str(tmp_path / "out"), "--data_dir", str(data_dir), *arguments]
    given += [] if "--model" in arguments else ["--model", "tiny"]
    given += [] if "--sections" in arguments else ["--sections", "figures"]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert re.search(words, error) and error.count("\n") == 1, error
    assert not (tmp_path / "out").exists()


def test_a_library_that_is_missing_is_named(monkeypatch, data_dir, tmp_path, capsys):
    monkeypatch.setitem(report_run.NEEDS, "figures", ("a_library_that_nobody_has", "pip install it"))
    given = ["report", "--model", "tiny", "--data", "synthetic", "--output", str(tmp_path), "--data_dir", str(data_dir)]
    assert main([*given, "--sections", "figures"]) == 2
    assert "the section figures needs a_library_that_nobody_has: pip install it" in capsys.readouterr().err
