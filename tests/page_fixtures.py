"""The page's files, its server, and pictures for it: a plugin of the modules that test it."""

import threading

import cv2
import numpy as np
import pytest

from expressnet_jax.data.faces import generate
from expressnet_jax.deploy import web, web_server
from expressnet_jax.deploy.predictor import Predictor


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


def texture(height, width, seed=0):
    """A smooth random picture that uses all values, uint8[H,W,3]."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def assert_alike(faces, told, pixels=1.0, probability=0.01):
    """Python's faces and (box, probabilities) of the page's."""
    assert len(faces) == len(told)
    for face, (box, probabilities) in zip(faces, told, strict=True):
        np.testing.assert_allclose(box, face.box, atol=pixels)
        np.testing.assert_allclose(probabilities, list(face.probabilities.values()), atol=probability)
