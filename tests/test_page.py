"""The page computes what Python computes: its modules in Node."""

import base64
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from expressnet_jax.data.synthetic import generate
from expressnet_jax.inference import annotate, centerface
from expressnet_jax.inference.crop import FINEST, cut_face
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.smoothing import Smoother
from expressnet_jax.web import page_files as web
from page_helpers import assert_alike, texture

pytest_plugins = ["page_fixtures"]
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(not NODE, reason="no node on this machine")


class Inline(HTMLParser):
    """What a strict policy would not run."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if tag == "style" or (tag == "script" and "src" not in named):
            self.found.append(tag)
        self.found += [name for name in named if name == "style" or name.startswith("on")]


def test_the_page_has_no_inline_code_and_names_no_other_computer(files):
    page = Inline()
    page.feed(files["index.html"].content.decode())
    assert page.found == []
    own = [name for name in files if "/" not in name]
    for name in own:
        foreign = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", files[name].content.decode()))
        assert foreign <= {"http://www.w3.org"}, name  # SVG's name


def test_classes_have_the_colours_of_drawn_images(files):
    light = files["style.css"].content.decode().split("@media", 1)[0]
    colours = [tuple(bytes.fromhex(text)) for text in re.findall(r"--class-\d: #(\w{6});", light)]
    assert colours[: len(annotate.COLOURS)] == list(annotate.COLOURS)


@pytest.fixture(scope="module")
def node(tmp_path_factory, files):
    """(script, what it is given) -> what it tells, with the page's modules beside it."""
    folder = tmp_path_factory.mktemp("node")
    web.write_page(files, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    start = (
        'import fs from "node:fs";\n'
        "const unpack = ({ bytes, shape: [height, width, channels] }) =>"
        ' ({ data: new Uint8ClampedArray(Buffer.from(bytes, "base64")), width, height, channels });\n'
        "const plain = (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);\n"
        "const tell = (value) => console.log(JSON.stringify(value, plain));\n"
        "const read = async (name) => new Uint8Array(fs.readFileSync(new URL(name, import.meta.url)));\n"
        "const given = JSON.parse(fs.readFileSync(0));\n"
    )

    def run(script, given):
        (folder / "test.js").write_text(start + script)
        told = json.dumps(given, default=as_given)
        done = subprocess.run([NODE, "test.js"], cwd=folder, input=told, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def as_given(value):
    if value.dtype == np.uint8:
        return {"bytes": base64.b64encode(value.tobytes()).decode(), "shape": value.shape}
    return value.tolist()


@needs_node
def test_resizing_is_opencvs_to_the_last_bit(node):
    image = texture(150, 140)
    sizes = [(48, 48), (75, 70), (50, 35), (149, 139), (150, 70), (160, 160), (300, 280), (160, 128), (128, 160)]
    script = """import { averaged, interpolated } from "./resize.js";
        tell(given.sizes.map(([h, w]) => [averaged, interpolated].map((f) => f(unpack(given.image), w, h).data)));"""
    for (height, width), told in zip(sizes, node(script, {"image": image, "sizes": sizes}), strict=True):
        for method, data in zip((cv2.INTER_AREA, cv2.INTER_LINEAR), told, strict=True):
            if method == cv2.INTER_LINEAR and height * width < image.shape[0] * image.shape[1]:
                continue  # is never asked for
            expected = cv2.resize(image, (width, height), interpolation=method)
            np.testing.assert_array_equal(np.reshape(data, expected.shape), expected, f"{height}x{width} {method}")


@needs_node
@pytest.mark.parametrize("channels", [1, 3])
def test_cut_faces_are_pythons_to_the_last_bit(node, channels):
    """Small and large ones, upright and turned, and beyond the edges."""
    image = texture(700, 800)
    boxes = [
        (300, 200, 60, 80),
        (100.3, 90.7, 20.2, 24.9),
        (-30, -20, 120, 150),
        (700, 600, 180, 150),
        (20, 30, 640, 600),
    ]
    faces = [
        Detection(box, 1.0, np.array([(0, 0), (np.cos(turn), np.sin(turn)), (0, 1), (0, 2), (1, 2)], np.float32))
        for box, turn in itertools.product(boxes, (0.0, 0.3, -1.2))
    ]
    script = """import { cutSquare, cutWhole, squareOf } from "./cut.js";
        const { size, channels, finest, margin } = given;
        const cut = (face) => cutSquare(unpack(given.image), squareOf(face, margin), size, channels, finest);
        tell([...given.faces.map(cut), cutWhole(unpack(given.image), size, channels)]);"""
    given = {"image": image, "size": 24, "channels": channels, "finest": FINEST, "margin": 1.15}
    told = node(script, {**given, "faces": [{"box": face.box, "marks": face.landmarks} for face in faces]})
    options = {"align": True, "equalize": False}
    expected = [cut_face(image, face, 1.15, 24, channels, **options) for face in faces]
    expected.append(cut_face(image, faces[0], None, 24, channels, **options))
    np.testing.assert_array_equal(np.reshape(told, np.shape(expected)), expected)


@needs_node
def test_maps_are_decoded_as_in_python(node):
    """The faces of random maps, of which the surest among overlapping ones stay."""
    rng = np.random.default_rng(1)
    heat = rng.random((20, 24), np.float32) ** 4
    size, offset = rng.normal(1.5, 0.4, (2, 20, 24)), rng.random((2, 20, 24))
    marks = rng.random((10, 20, 24))
    maps = [x.astype(np.float32) for x in (heat, size, offset, marks)]
    rule = {"threshold": 0.35, "stride": centerface.STRIDE, "overlap": centerface.OVERLAP}
    script = """import { decode, suppress } from "./detect.js";
        const maps = given.maps.map((map) => Float32Array.from(map.flat(2)));
        const found = decode(maps, given.columns, given.rule);
        tell([found, suppress(found, given.rule).map((face) => found.indexOf(face))]);"""
    found, kept = node(script, {"maps": maps, "columns": 24, "rule": rule})
    boxes, scores, landmarks = centerface.decode(*maps, 0.35)
    np.testing.assert_allclose([face["box"] for face in found], boxes, atol=1e-4)
    np.testing.assert_allclose([face["score"] for face in found], scores, rtol=1e-6)
    np.testing.assert_allclose([face["marks"] for face in found], landmarks, atol=1e-4)
    expected = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.35, centerface.OVERLAP)
    assert 3 < len(kept) < len(found)
    assert kept == list(expected)


@needs_node
def test_smoothing_is_that_of_videos(node, files):
    rng = np.random.default_rng(2)
    rows, times = rng.dirichlet(np.full(7, 0.3), 40), np.cumsum(rng.uniform(0.02, 0.4, 40))
    script = """import { Smoother } from "./smoothing.js";
        const smoother = new Smoother(given.rule);
        tell(given.rows.map((row, i) => [smoother.update(row, given.times[i]), smoother.shown]));"""
    rule = json.loads(files["models/model.json"].content)["smoothing"]
    smoother = Smoother()
    told = node(script, {"rule": rule, "rows": rows, "times": times})
    for (row, shown), given, moment in zip(told, rows, times, strict=True):
        expected, label = smoother.update(given, moment)
        np.testing.assert_allclose(row, expected, rtol=1e-9)
        assert shown == label


@needs_node
def test_faces_keep_their_keys_while_they_move(node, files):
    """Two that cross the image; one is out of sight for half a second, and a third comes where nobody was."""
    row = [1 / 7] * 7
    at = lambda x, y: {"box": [x, y, 50, 60], "probabilities": row}
    frames = [
        [at(0, 0), at(300, 0)],
        [at(290, 5), at(20, 0)],
        [at(280, 5)],
        [at(60, 10), at(270, 5)],
        [at(265, 5), at(90, 10), at(300, 300)],
    ]
    script = """import { Tracks } from "./tracks.js";
        const tracks = new Tracks(given.rule);
        tell(given.frames.map((faces, i) => tracks.update(faces, i / 4).map(({ key, box }) => [key, box[0]])));"""
    rule = json.loads(files["models/model.json"].content)["smoothing"]
    told = node(script, {"rule": rule, "frames": frames})
    assert told == [
        [[1, 0], [2, 300]],
        [[1, 20], [2, 290]],
        [[2, 280]],
        [[1, 60], [2, 270]],
        [[1, 90], [2, 265], [3, 300]],
    ]


@needs_node
def test_bands_lie_on_each_other_and_break_where_the_face_was_away(node):
    samples = [(0, 1), (0.3, 1), (0.5, None), (2.0, 1), (2.2, 2), (2.4, 2)]
    script = """import { bands, runs } from "./timeline.js";
        const sample = ([time, key]) => ({ time, key: key ?? undefined, probabilities: [0.2, 0.5, 0.3] });
        const found = runs(given.map(sample));
        tell([found.map((run) => run.map(({ time }) => time)), bands(found[0])]);"""
    times, stacked = node(script, samples)
    assert times == [[0, 0.3], [2.0], [2.2, 2.4]]
    expected = [[[t, low, high] for t in (0, 0.3)] for low, high in ((0, 0.2), (0.2, 0.7), (0.7, 1.0))]
    np.testing.assert_allclose(stacked, expected)


@needs_node
def test_evidence_for_is_warm_and_against_is_cool(node):
    told = node('import { tinted } from "./attention.js"; tell(tinted(Float32Array.from(given)));', [0.0, 2.0, -1.0])
    (_, _, _, none), (red, _, blue, much), (cool, _, sky, half) = np.reshape(told, (3, 4))
    assert none == 0 and red > blue and cool < sky
    assert much == pytest.approx(2 * half, abs=1)


@needs_node
def test_the_card_is_taken_apart_into_blocks(node):
    text = "# Name\nTwo\nlines.\n\n- one\n  more\n- two\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    told = node('import { blocks } from "./card.js"; tell(blocks(given));', text)
    assert [kind for kind, _ in told] == ["heading", "paragraph", "list", "table"]
    assert told[1][1] == ["Two", "lines."]


MODEL = """import { openModel } from "./model.js";
    const model = await openModel(read);
    const told = [];
    for (const { image, whole } of given) {
      told.push(await (whole ? model.describeWhole(unpack(image)) : model.describe(unpack(image))));
    }
    tell(told);"""


@needs_node
def test_the_model_in_webassembly_says_what_it_says_in_python(node, predictor, group):
    """On gray crops of its own size, and on whole images: one shrunk for the detector, one enlarged for it."""
    crops = [np.repeat(generate(i, size=48, channels=1, style="a").image, 3, axis=2) for i in range(12)]
    images = [group, cv2.resize(group[90:330, 310:570], (150, 140), interpolation=cv2.INTER_AREA)]
    given = [{"image": np.ascontiguousarray(x), "whole": x.shape[0] == 48} for x in (*crops, *images)]
    told = node(MODEL, given)
    network = predictor.model
    rows = np.array([faces[0]["probabilities"] for faces in told[:12]])
    grays = np.stack([crop[..., :1] for crop in crops])
    np.testing.assert_allclose(rows, network(grays), atol=1e-4)
    if told[0][0]["attention"]:
        maps = [faces[0]["attention"]["data"] for faces in told[:12]]
        np.testing.assert_allclose(np.ravel(maps), network.attention(grays).ravel(), atol=1e-3)
    for image, faces, count in zip(images, told[12:], (3, 1), strict=True):
        assert len(faces) == count
        assert_alike(predictor(image), [(face["box"], face["probabilities"]) for face in faces])
