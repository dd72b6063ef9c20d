import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.labels import BASIC
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.error_gallery import png_uri, worst_errors, write_error_gallery
from expressnet_jax.evaluation.evaluate import summarise
from expressnet_jax.evaluation.plots import confusion_png, curves_png
from expressnet_jax.evaluation.report import format_table

VOID = {"meta", "img", "br", "hr", "input", "link"}


def predictions(count=300, num_classes=7, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, count)
    weight = np.exp(rng.normal(size=(count, num_classes)) + 2 * np.eye(num_classes)[labels])
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32), labels


def figures(classes=BASIC, leaked=None):
    probabilities, labels = predictions(num_classes=len(classes))
    return summarise(probabilities, labels, np.arange(len(labels)), classes, leaked)


def history(steps=20, **extra):
    """Lines of a run whose validation is best at step 60."""
    for i in range(1, steps + 1):
        yield {"step": 10 * i, "split": "train", "loss": 2 / i, "accuracy": 1 - 1 / i} | extra
        accuracy = 0.7 - 0.001 * (i - 6) ** 2
        yield {"step": 10 * i, "split": "validation", "loss": 1 + 1 / i, "accuracy": accuracy} | extra


class Page(HTMLParser):
    """Collects tags and their attributes, and fails where a tag is closed that isn't open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag, **wanted):
        return [a for name, a in self.tags if name == tag and wanted.items() <= a.items()]


def test_the_table_holds_each_class_and_the_published_figures():
    metrics = figures(leaked=[1, 2, 3])
    text = format_table(metrics, title="FER2013 PublicTest")
    lines = text.splitlines()
    assert lines[0] == "FER2013 PublicTest"
    assert lines[2].split() == ["emotion", "precision", "recall", "F1", "support"]
    for name, row in metrics["per_class"].items():
        line = next(line for line in lines if line.startswith(name))
        expected = [f"{row['precision']:.3f}", f"{row['recall']:.3f}", f"{row['f1']:.3f}", str(row["support"])]
        assert line.split()[1:5] == expected
    low, high = metrics["accuracy_interval"]
    assert f"{100 * metrics['accuracy']:.2f} %   95 % interval {100 * low:.2f} to {100 * high:.2f}" in text
    assert re.search(rf"balanced accuracy +{100 * metrics['balanced_accuracy']:.2f} %", text)
    assert re.search(rf"macro-F1 +{100 * metrics['macro_f1']:.2f} %", text)
    assert re.search(rf"deduplicated +{100 * metrics['deduplicated']['accuracy']:.2f} %", text)
    assert "3 of 300 left out" in text
    assert max(map(len, lines)) <= 80


def test_the_tables_columns_are_aligned_and_a_class_without_examples_has_dashes():
    probabilities, labels = predictions()
    classes = (*BASIC, "a_much_longer_name")
    metrics = summarise(np.pad(probabilities, ((0, 0), (0, 1))), labels, np.arange(300), classes)
    lines = format_table(metrics).splitlines()
    header = lines[0]
    rows = lines[2 : 2 + len(classes)]
    assert all(re.match(r"\S+ +", row[: len(header)]) and row[len(header) - 1] in "0123456789" for row in rows)
    assert rows[-1].split() == ["a_much_longer_name", "–", "–", "–", "0"]
    assert "deduplicated" not in format_table(metrics)


def test_the_table_says_when_every_example_leaked():
    assert "nothing is left to measure" in format_table(figures(leaked=range(300)))


@pytest.mark.parametrize("num_classes", [2, 7, 12])
def test_confusion_matrix_is_an_image_of_the_expected_size(tmp_path, num_classes):
    classes = [f"class {k}" for k in range(num_classes)]
    path = confusion_png(figures(classes), tmp_path / "plots" / "confusion.png")
    side = max(0.74 * num_classes, 2.6)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == pytest.approx(((side + 2.0) * 150, (side + 1.95) * 150), abs=1)
        assert len(image.convert("RGB").getcolors(2**24)) > 50


def test_a_right_model_has_a_dark_diagonal(tmp_path):
    labels = np.arange(70) % 7
    perfect = summarise(np.eye(7, dtype=np.float32)[labels], labels, np.arange(70), BASIC)
    with Image.open(confusion_png(perfect, tmp_path / "confusion.png")) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # matplotlib's Blues ends at (8, 48, 107); a seventh of the cells wears it.
    dark = (np.abs(pixels - [8, 48, 107]).max(-1) < 3).sum()
    cell = (0.74 * 150) ** 2
    assert 0.6 * 7 * cell < dark < 7 * cell


@pytest.mark.parametrize("extra", [{}, {"balanced_accuracy": 0.5}, {"epoch": 3}])
def test_learning_curves_are_an_image_with_both_colours(tmp_path, extra):
    path = curves_png(list(history(**extra)), tmp_path / "curves.png", title="a run")
    with Image.open(path) as image:
        assert image.size == (1500, 600)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for colour in ([0, 114, 178], [213, 94, 0]):
        assert (np.abs(pixels - colour).max(-1) < 3).sum() > 500


def test_learning_curves_of_a_long_or_odd_run(tmp_path):
    noisy = [*history(steps=200), {"step": 5, "split": "train", "loss": float("nan")}, {"step": 6, "split": "train"}]
    again = [{"step": 10, "split": "train", "loss": 3.0, "accuracy": None}]
    assert curves_png(noisy + again, tmp_path / "long.png").stat().st_size > 10_000
    assert curves_png([{"step": 1, "split": "train", "loss": 2.0}], tmp_path / "one.png").exists()


def test_no_history_is_refused(tmp_path):
    with pytest.raises(UserError, match="the history is empty"):
        curves_png([], tmp_path / "curves.png")


def test_worst_errors_are_the_most_confident_wrong_ones():
    probabilities, labels = predictions()
    chosen = worst_errors(probabilities, labels, 10)
    wrong = [(p.max(), i) for i, (p, y) in enumerate(zip(probabilities, labels, strict=True)) if p.argmax() != y]
    assert chosen.tolist() == [i for _, i in sorted(wrong, key=lambda pair: -pair[0])[:10]]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_page_holds_its_images_and_asks_for_nothing_else(tmp_path, channels):
    probabilities, labels = predictions()
    images = np.random.default_rng(0).integers(0, 256, (300, 12, 10, channels), np.uint8)
    keys = [f'row <{i}> & "more"' for i in range(300)]
    path = write_error_gallery(
        probabilities, labels, images, BASIC, tmp_path / "error_gallery.html", keys=keys, count=25
    )
    text = path.read_text(encoding="utf-8")
    page = Page(text)

    chosen = worst_errors(probabilities, labels, 25)
    shown, cards = page.all("img"), page.all("li", **{"class": "card"})
    assert len(shown) == len(cards) == 25
    for i, element, card in zip(chosen, shown, cards, strict=True):
        raw = base64.b64decode(element["src"].removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(raw)) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), np.broadcast_to(images[i], (12, 10, 3)))
        assert card["data-label"] == BASIC[labels[i]]
        assert card["data-predicted"] == BASIC[probabilities[i].argmax()]
        assert keys[i] in page.text
    assert not re.search(r"(?:https?:)?//\w", re.sub(r"base64,[^\"]*", "", text))
    assert not any("src" in attributes for name, attributes in page.tags if name != "img")
    words = " ".join(" ".join(page.text).split())
    assert "Do not publish" in words and "predicts the label annotators gave to the expression shown" in words
    assert "prefers-color-scheme: dark" in text


def test_each_card_shows_the_label_among_its_bars(tmp_path):
    probabilities = np.array([[0.5, 0.3, 0.15, 0.05]], np.float32)
    images = np.zeros((1, 4, 4, 1), np.uint8)
    text = write_error_gallery(probabilities, [3], images, "abcd", tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert [a["class"] for a in page.all("li")] == ["card", "predicted", "other", "label"]
    assert [a["style"] for a in page.all("span", **{"class": "fill"})] == ["width:50.0%", "width:30.0%", "width:5.0%"]


def test_a_faultless_model_has_a_page_too(tmp_path):
    images = np.zeros((3, 4, 4, 1), np.uint8)
    path = write_error_gallery(np.eye(3), [0, 1, 2], images, "abc", tmp_path / "page.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert page.all("img") == [] and "0 of 3 predictions differ" in " ".join(page.text)


def test_a_large_image_is_shrunk():
    raw = base64.b64decode(png_uri(np.zeros((400, 300, 3), np.uint8)).split(",")[1])
    with Image.open(io.BytesIO(raw)) as image:
        assert image.size == (120, 160)


def test_lengths_that_differ_are_refused(tmp_path):
    with pytest.raises(UserError, match="1 predictions, 1 labels, 2 images"):
        write_error_gallery([[0.5, 0.5]], [0], np.zeros((2, 4, 4, 1), np.uint8), "ab", tmp_path / "page.html")
