"""The page computes what Python computes, in Node and in Chromium, and its server gives away nothing but the page."""

import argparse
import base64
import functools
import gzip
import hashlib
import http.client
import http.server
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from expressnet_jax.data.faces import generate
from expressnet_jax.deploy import annotate, centerface, web, web_server
from expressnet_jax.deploy.crop import FINEST, cut_face
from expressnet_jax.deploy.detector import Found
from expressnet_jax.deploy.pictures import read_picture
from expressnet_jax.deploy.predictor import Predictor
from expressnet_jax.deploy.smoothing import Smoother
from expressnet_jax.errors import UserError

SHARED = Path(__file__).parents[2] / "shared" / "media"
NODE = shutil.which("node")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_node = pytest.mark.skipif(not NODE, reason="no node on this machine")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,900"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]


@pytest.fixture(scope="module")
def files():
    return web.page_files()


@pytest.fixture(scope="module")
def predictor():
    return Predictor(threads=1)


@pytest.fixture(scope="module")
def server(files):
    with serving(web_server.open_server(files, 0)) as server:
        yield server


class serving:
    """A server in a thread, ended with the block."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self.server

    def __exit__(self, *exception):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def group():
    """A picture with three drawn faces, uint8[700,1000,3]."""
    picture = np.full((700, 1000, 3), (120, 130, 140), np.uint8)
    for at, (index, size) in zip((40, 330, 620), ((6, 300), (0, 224), (8, 330)), strict=True):
        picture[100 : 100 + size, at : at + size] = generate(index, size=size, channels=3, style="a").image
    return picture


# The server


def ask(server, method, path, headers=None):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def ask_raw(server, text):
    """What the server sends for bytes that no HTTP library would."""
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(functools.partial(connection.recv, 65536), b""))


def test_every_file_of_the_page_is_served_with_all_the_headers(server, files):
    for name in ("", *files):
        answer, body = ask(server, "GET", f"/{name}")
        assert answer.status == 200
        assert body == files[name or "index.html"].content
        assert {key: answer.headers[key] for key in web_server.HEADERS} == web_server.HEADERS
    assert answer.headers["Server"].strip() == "expressnet"


def test_the_policy_forbids_all_but_the_pages_own_files_and_is_in_the_page_too(files):
    rules = dict(rule.split(" ", 1) for rule in web_server.POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert rules["connect-src"] == rules["style-src"] == rules["worker-src"] == "'self'"
    meta = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', files["index.html"].content.decode())
    assert f"{meta[1]}; frame-ancestors 'none'" == web_server.POLICY  # which browsers take from headers only


@pytest.mark.parametrize(
    "path",
    [
        "/../web.py",
        "/ort/../../web.py",
        "/%2e%2e/web.py",
        "/..%2fweb.py",
        "/..\\web.py",
        "//etc/passwd",
        "/ort",
        "/ort/",
        "/models/",
        "/index.html/",
        "/index.html%00",
        "http://127.0.0.1/index.html",
    ],
)
def test_nothing_else_is_served(server, path):
    answer = ask_raw(server, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"Content-Security-Policy: default-src 'none'" in answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}"])
def test_a_foreign_name_for_this_computer_is_refused(server, host):
    answer, body = ask(server, "GET", "/", {"Host": host.format(port=server.server_port)})
    assert answer.status == 421
    assert b"<html" not in body


@pytest.mark.parametrize("host", ["", "Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n"])
def test_no_host_or_two_are_refused(server, host):
    answer = ask_raw(server, f"GET / HTTP/1.1\r\n{host.format(port=server.server_port)}\r\n")
    assert answer.startswith(b"HTTP/1.1 421 ")


def test_localhost_is_a_name_of_this_computer(server):
    assert ask(server, "GET", "/", {"Host": f"localhost:{server.server_port}"})[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_only_get_and_head_are_answered(server, method):
    answer, _ = ask(server, method, "/")
    assert answer.status == (501 if method == "BREW" else 405)
    assert method == "BREW" or answer.headers["Allow"] == "GET, HEAD"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_head_tells_the_length_and_sends_nothing(server, files):
    answer, body = ask(server, "HEAD", "/main.js")
    assert body == b""
    assert int(answer.headers["Content-Length"]) == len(files["main.js"].content)


def test_a_body_is_not_taken_for_the_next_request(server):
    host = f"Host: 127.0.0.1:{server.server_port}\r\n"
    hidden = f"GET /icon.svg HTTP/1.1\r\n{host}\r\n"
    answer = ask_raw(server, f"GET /nothing HTTP/1.1\r\n{host}Content-Length: {len(hidden)}\r\n\r\n{hidden}")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_only_this_computer_is_listened_to(server):
    assert server.server_address[0] == "127.0.0.1"


def arguments(*words):
    parser = argparse.ArgumentParser()

    def command(name, run, text, uses_jax):
        assert name == "web" and run is web.web and not uses_jax
        return parser

    web.add_command(command)
    return parser.parse_args(words)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_does_not_exist_is_named(files, port):
    with pytest.raises(UserError, match=rf"--port: {port}; give 1 to 65535"):
        web_server.open_server(files, port)


def test_a_port_in_use_is_named(files, server):
    with pytest.raises(UserError, match=f"--port: {server.server_port} is in use; give another"):
        web_server.open_server(files, server.server_port)


def test_port_0_says_which_it_took_and_jax_is_not_imported():
    script = (
        "import argparse, sys\nfrom expressnet_jax.deploy import web, web_server\n"
        "real = web_server.open_server\n"
        "def checked(*given):\n"
        "    assert not {'jax', 'flax', 'tensorflow'} & set(sys.modules)\n"
        "    return real(*given)\n"
        "web_server.open_server = checked\n"
        "web.web(argparse.Namespace(model='small', port=0, output=None))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        try:
            port = int(re.match(r"http://127\.0\.0\.1:(\d+) ", line)[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/")
            assert connection.getresponse().read().startswith(b"<!doctype html>")
            connection.close()
        finally:
            process.terminate()


# The folder


def test_output_writes_the_same_files_and_nothing_else(tmp_path, files, capsys):
    folder = tmp_path / "a" / "page"
    web.web(arguments("--output", str(folder)))
    written = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert written == {name: file.content for name, file in files.items()}
    assert [path.name for path in folder.parent.iterdir()] == ["page"]
    assert "wrote" in capsys.readouterr().out


def test_output_leaves_alone_what_is_there(tmp_path, files):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already; give a new folder"):
        web.write_page(files, tmp_path)
    with pytest.raises(UserError, match="can't be written"):
        web.write_page(files, tmp_path / "mine.txt" / "page")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_of_ones_own_comes_without_the_shipped_ones_card(tmp_path, files):
    path = tmp_path / "own.onnx"
    path.write_bytes(files["models/expressnet.onnx"].content)
    own = web.page_files(path)
    assert own["models/expressnet.onnx"] == files["models/expressnet.onnx"]
    assert json.loads(own["models/model.json"].content)["card"] is None
    with pytest.raises(UserError, match="no such file"):
        web.page_files(tmp_path / "none.onnx")


def test_the_model_is_described_as_its_file_does(files, predictor):
    facts = json.loads(files["models/model.json"].content)
    assert facts["classes"] == list(predictor.classes)
    assert facts["image_shape"] == list(predictor.model.image_shape)
    assert facts["detector"]["margin"] == predictor.detector.margin
    assert facts["card"] is None or f"models/{facts['card']}" in files


def test_the_runtime_is_the_published_one():
    runtime = web.PAGE / "ort"
    told = re.findall(r"^(\S+?)(, unpacked)? +dist/\S+\nSHA-256 (\w+)$", (runtime / "SOURCE.txt").read_text(), re.M)
    assert [name for name, _, _ in told] == ["ort.js", "ort-glue.js", "ort.wasm.gz"]
    for name, packed, digest in told:
        content = (runtime / name).read_bytes()
        assert hashlib.sha256(gzip.decompress(content) if packed else content).hexdigest() == digest


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


def test_classes_have_the_colours_of_drawn_pictures(files):
    light = files["style.css"].content.decode().split("@media", 1)[0]
    colours = [tuple(bytes.fromhex(text)) for text in re.findall(r"--class-\d: #(\w{6});", light)]
    assert colours[: len(annotate.COLOURS)] == list(annotate.COLOURS)


# The modules in Node


@pytest.fixture(scope="module")
def node(tmp_path_factory, files):
    """(script, what it is given) -> what it tells, with the page's modules beside it."""
    folder = tmp_path_factory.mktemp("node")
    web.write_page(files, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    start = (
        'import fs from "node:fs";\n'
        "const image = ({ bytes, shape: [height, width, channels] }) =>"
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


def texture(height, width, seed=0):
    """A smooth random picture that uses all values, uint8[H,W,3]."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


@needs_node
def test_resizing_is_opencvs_to_the_last_bit(node):
    picture = texture(150, 140)
    sizes = [(48, 48), (75, 70), (50, 35), (149, 139), (150, 70), (160, 160), (300, 280), (160, 128), (128, 160)]
    script = """import { averaged, interpolated } from "./resize.js";
        tell(given.sizes.map(([h, w]) => [averaged, interpolated].map((f) => f(image(given.picture), w, h).data)));"""
    for (height, width), told in zip(sizes, node(script, {"picture": picture, "sizes": sizes}), strict=True):
        for method, data in zip((cv2.INTER_AREA, cv2.INTER_LINEAR), told, strict=True):
            if method == cv2.INTER_LINEAR and height * width < picture.shape[0] * picture.shape[1]:
                continue  # is never asked for
            expected = cv2.resize(picture, (width, height), interpolation=method)
            np.testing.assert_array_equal(np.reshape(data, expected.shape), expected, f"{height}x{width} {method}")


@needs_node
@pytest.mark.parametrize("channels", [1, 3])
def test_cut_faces_are_pythons_to_the_last_bit(node, channels):
    """Small and large ones, upright and turned, and beyond the edges."""
    picture = texture(700, 800)
    boxes = [
        (300, 200, 60, 80),
        (100.3, 90.7, 20.2, 24.9),
        (-30, -20, 120, 150),
        (700, 600, 180, 150),
        (20, 30, 640, 600),
    ]
    faces = [
        Found(box, 1.0, np.array([(0, 0), (np.cos(turn), np.sin(turn)), (0, 1), (0, 2), (1, 2)], np.float32))
        for box, turn in itertools.product(boxes, (0.0, 0.3, -1.2))
    ]
    script = """import { cutSquare, cutWhole, squareOf } from "./cut.js";
        const { size, channels, finest, margin } = given;
        const cut = (face) => cutSquare(image(given.picture), squareOf(face, margin), size, channels, finest);
        tell([...given.faces.map(cut), cutWhole(image(given.picture), size, channels)]);"""
    given = {"picture": picture, "size": 24, "channels": channels, "finest": FINEST, "margin": 1.15}
    told = node(script, {**given, "faces": [{"box": face.box, "marks": face.landmarks} for face in faces]})
    options = {"align": True, "equalize": False}
    expected = [cut_face(picture, face, 1.15, 24, channels, **options) for face in faces]
    expected.append(cut_face(picture, faces[0], None, 24, channels, **options))
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
def test_smoothing_is_that_of_films(node, files):
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
    """Two that cross the picture; one is out of sight for half a second, and a third comes where nobody was."""
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
    for (const { picture, whole } of given) {
      told.push(await (whole ? model.describeWhole(image(picture)) : model.describe(image(picture))));
    }
    tell(told);"""


@needs_node
def test_the_model_in_webassembly_says_what_it_says_in_python(node, predictor, group):
    """On gray crops of its own size, and on whole pictures: one shrunk for the detector, one enlarged for it."""
    crops = [np.repeat(generate(i, size=48, channels=1, style="a").image, 3, axis=2) for i in range(12)]
    pictures = [group, cv2.resize(group[90:330, 310:570], (150, 140), interpolation=cv2.INTER_AREA)]
    given = [{"picture": np.ascontiguousarray(x), "whole": x.shape[0] == 48} for x in (*crops, *pictures)]
    told = node(MODEL, given)
    network = predictor.model
    rows = np.array([faces[0]["probabilities"] for faces in told[:12]])
    grays = np.stack([crop[..., :1] for crop in crops])
    np.testing.assert_allclose(rows, network(grays), atol=1e-4)
    if told[0][0]["attention"]:
        maps = [faces[0]["attention"]["data"] for faces in told[:12]]
        np.testing.assert_allclose(np.ravel(maps), network.attention(grays).ravel(), atol=1e-3)
    for picture, faces, count in zip(pictures, told[12:], (3, 1), strict=True):
        assert len(faces) == count
        assert_alike(predictor(picture), [(face["box"], face["probabilities"]) for face in faces])


def assert_alike(faces, told, pixels=1.0, probability=0.01):
    """Python's faces and (box, probabilities) of the page's."""
    assert len(faces) == len(told)
    for face, (box, probabilities) in zip(faces, told, strict=True):
        np.testing.assert_allclose(box, face.box, atol=pixels)
        np.testing.assert_allclose(probabilities, list(face.probabilities.values()), atol=probability)


# The page in Chromium


class Browser:
    """A tab of Chromium, driven through the DevTools protocol over a pipe."""

    def __init__(self, profile, *flags):
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
        pipes = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'  # it reads from 3 and writes to 4
        self.process = subprocess.Popen(
            ["sh", "-c", pipes, "sh", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.received, self.events, self.numbers, self.session = b"", [], itertools.count(1), {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **self.session}
        os.write(self.process.stdin.fileno(), json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def receive(self):
        pipe = self.process.stdout.fileno()
        while b"\0" not in self.received:
            assert select.select([pipe], [], [], 60)[0], "Chromium says nothing"
            part = os.read(pipe, 1 << 20)
            assert part, "Chromium ended"
            self.received += part
        message, self.received = self.received.split(b"\0", 1)
        return json.loads(message)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression, seconds=60):
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, (expression, self.value("document.body.innerText"), self.troubles())
            time.sleep(0.05)

    def open(self, address):
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.until("document.body && ('ready' in document.body.dataset || document.querySelector('.wrong'))")
        assert self.value("document.getElementById('status').textContent") == ""

    def show(self, path):
        """Chooses a picture file, and waits for what is said of it."""
        self.value("document.getElementById('status').textContent = ''")
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        chooser = self.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=chooser)
        self.until("!/^$|Looking/.test(document.getElementById('status').textContent)")
        return self.value("document.getElementById('status').textContent")

    def faces(self):
        """(box in pixels of the picture, probabilities) of each face, as the page shows them one after the other."""
        count = self.value("document.querySelectorAll('.box').length")
        return [self.value(FACE % i) for i in range(count)]

    def troubles(self):
        kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [event for event in self.events if event.get("method") in kinds]

    def addresses(self):
        asked = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return {event["params"]["request"]["url"] for event in asked}

    def close(self):
        try:
            self.session = {}
            self.call("Browser.close")
            self.process.wait(10)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()


COLOURS = """(() => {
    const canvas = document.getElementById('timeline');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const opaque = new Uint32Array(data.buffer).filter((pixel) => pixel >>> 24 === 255);
    return new Set(opaque).size;
})()"""

FACE = """(() => {
    const box = document.querySelectorAll('.box')[%d];
    box.click();
    const { width, height } = document.querySelector('.picture');
    const sides = ['left', 'top', 'width', 'height'].map((name) => parseFloat(box.style[name]) / 100);
    const shares = [...document.querySelectorAll('.bar')].map((bar) => Number(bar.getAttribute('aria-valuenow')));
    return [sides.map((part, i) => part * (i %% 2 ? height : width)), shares];
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """With a camera that shows a drawn face smiling and then sad, for two seconds each."""
    folder = tmp_path_factory.mktemp("chromium")
    with (folder / "camera.mjpeg").open("wb") as film:
        for index in (6, 0):
            frame = np.full((480, 640, 3), 128, np.uint8)
            frame[100:324, 60:284] = generate(index, size=224, channels=3, style="a").image[..., ::-1]
            film.write(40 * cv2.imencode(".jpg", frame)[1].tobytes())
    browser = Browser(folder / "profile", f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}")
    yield browser
    browser.close()


@needs_chromium
def test_pictures_in_chromium(browser, server, predictor, group, tmp_path):
    """The same boxes and probabilities as in Python, of files given to the page, with no step outside its policy."""
    browser.open(f"http://127.0.0.1:{server.server_port}/")
    cv2.imwrite(str(tmp_path / "group.png"), group[..., ::-1])
    photographs = [SHARED / name for name in ("astronaut.png", "solvay_1927.jpg")]
    for path in (tmp_path / "group.png", *filter(Path.is_file, photographs)):
        said = browser.show(path)
        expected = predictor(read_picture(path))
        assert said.startswith(f"{len(expected)} face")
        assert_alike(expected, browser.faces())
    assert browser.troubles() == []
    assert {re.match(r"(blob:)?http://127\.0\.0\.1:\d+/", address) is None for address in browser.addresses()} == {
        False
    }


@needs_chromium
def test_what_is_no_picture_and_what_has_no_face_is_said(browser, server, predictor, tmp_path):
    browser.open(f"http://127.0.0.1:{server.server_port}/")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert browser.show(tmp_path / "broken.png") == "broken.png can't be read as a picture. Give a PNG or a JPEG."
    crop = texture(60, 60)
    cv2.imwrite(str(tmp_path / "crop.png"), crop[..., ::-1])
    assert browser.show(tmp_path / "crop.png") == "No face found in crop.png."
    browser.value("document.getElementById('whole').click()")
    browser.until("document.querySelectorAll('.box').length === 1")
    whole = predictor.describe(crop, [Found((0, 0, 60, 60), 1.0)])[0]
    row = predictor.model(
        cut_face(crop, None, None, *predictor.model.image_shape[1:], align=True, equalize=False)[None]
    )
    ((box, shares),) = browser.faces()
    np.testing.assert_allclose(box, whole.box, atol=0.1)
    np.testing.assert_allclose(shares, row[0], atol=1e-3)


@needs_chromium
def test_the_camera_in_chromium(browser, server):
    """Both labels are seen, smoothed; the time line is drawn; and after the end the camera is let go."""
    browser.open(f"http://127.0.0.1:{server.server_port}/")
    browser.value("document.getElementById('camera').click()")
    for label in ("happiness", "sadness"):
        browser.until(f"document.querySelector('.answer .label').textContent === '{label}'")
    browser.until("/ frames.s$/.test(document.getElementById('rate').textContent)")
    assert browser.value("document.querySelectorAll('.box').length") == 1
    left = browser.value("parseFloat(document.querySelector('.box').style.left)")
    assert left > 50  # mirrored: the face is at the left of the camera's picture
    browser.until(f"{COLOURS} > 5")
    browser.value("document.getElementById('camera').click()")
    assert browser.value("document.querySelector('video').srcObject") is None
    assert browser.value("document.getElementById('history').hidden")
    assert browser.troubles() == []


@needs_chromium
def test_any_web_server_can_show_the_folder(browser, files, group, predictor, tmp_path):
    """One that knows nothing of the page, and below a path of its own."""
    web.write_page(files, tmp_path / "site" / "faces")
    cv2.imwrite(str(tmp_path / "group.png"), group[..., ::-1])

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=tmp_path / "site")
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        browser.open(f"http://127.0.0.1:{server.server_port}/faces/")
        browser.show(tmp_path / "group.png")
        assert_alike(predictor(group), browser.faces())
        browser.call("Page.navigate", url="about:blank")
    assert browser.troubles() == []
