"""The page in a browser: images, the camera, and what it is served from."""

import functools
import http.client
import http.server
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from chromium import CHROMIUM, Browser
from expressnet_jax.data.synthetic import generate
from expressnet_jax.inference.crop import cut_face
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.images import load_image
from expressnet_jax.web import page_files as web
from page_helpers import assert_alike, serving, texture

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")
SHARED = Path(__file__).parents[2] / "shared" / "media"


COLOURS = """(() => {
    const canvas = document.getElementById('timeline');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const opaque = new Uint32Array(data.buffer).filter((pixel) => pixel >>> 24 === 255);
    return new Set(opaque).size;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """With a camera that shows a drawn face smiling and then sad, for two seconds each."""
    folder = tmp_path_factory.mktemp("chromium")
    with (folder / "camera.mjpeg").open("wb") as stream:
        for index in (6, 0):
            frame = np.full((480, 640, 3), 128, np.uint8)
            frame[100:324, 60:284] = generate(index, size=224, channels=3, style="a").image[..., ::-1]
            stream.write(40 * cv2.imencode(".jpg", frame)[1].tobytes())
    browser = Browser(folder / "profile", f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}")
    yield browser
    browser.close()


def test_images_in_chromium(browser, server, predictor, group, tmp_path):
    """The same boxes and probabilities as in Python, of files given to the page, with no step outside its policy."""
    browser.open(f"http://127.0.0.1:{server.server_port}/")
    cv2.imwrite(str(tmp_path / "group.png"), group[..., ::-1])
    photographs = [SHARED / name for name in ("astronaut.png", "solvay_1927.jpg")]
    for path in (tmp_path / "group.png", *filter(Path.is_file, photographs)):
        said = browser.show(path)
        expected = predictor(load_image(path))
        assert said.startswith(f"{len(expected)} face")
        assert_alike(expected, browser.faces())
    assert browser.troubles() == []
    assert {re.match(r"(blob:)?http://127\.0\.0\.1:\d+/", address) is None for address in browser.addresses()} == {
        False
    }


def test_what_is_no_image_and_what_has_no_face_is_said(browser, server, predictor, tmp_path):
    browser.open(f"http://127.0.0.1:{server.server_port}/")
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert browser.show(tmp_path / "broken.png") == "broken.png can't be read as an image. Give a PNG or a JPEG."
    crop = texture(60, 60)
    cv2.imwrite(str(tmp_path / "crop.png"), crop[..., ::-1])
    assert browser.show(tmp_path / "crop.png") == "No face found in crop.png."
    browser.value("document.getElementById('whole').click()")
    browser.until("document.querySelectorAll('.box').length === 1")
    whole = predictor.describe(crop, [Detection((0, 0, 60, 60), 1.0)])[0]
    row = predictor.model(
        cut_face(crop, None, None, *predictor.model.image_shape[1:], align=True, equalize=False)[None]
    )
    ((box, shares),) = browser.faces()
    np.testing.assert_allclose(box, whole.box, atol=0.1)
    np.testing.assert_allclose(shares, row[0], atol=1e-3)


def test_the_camera_in_chromium(browser, server):
    """Both labels are seen, smoothed; the time line is drawn; and after the end the camera is let go."""
    browser.open(f"http://127.0.0.1:{server.server_port}/")
    browser.value("document.getElementById('camera').click()")
    for label in ("happiness", "sadness"):
        browser.until(f"document.querySelector('.answer .label').textContent === '{label}'")
    browser.until("/ frames.s$/.test(document.getElementById('rate').textContent)")
    assert browser.value("document.querySelectorAll('.box').length") == 1
    left = browser.value("parseFloat(document.querySelector('.box').style.left)")
    assert left > 50  # mirrored: the face is at the left of the camera's image
    browser.until(f"{COLOURS} > 5")
    browser.value("document.getElementById('camera').click()")
    assert browser.value("document.querySelector('video').srcObject") is None
    assert browser.value("document.getElementById('history').hidden")
    assert browser.troubles() == []


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
