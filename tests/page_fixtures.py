"""The page's files, its server, and images for it: a plugin of the modules that test it."""

import numpy as np
import pytest

from expressnet_jax.data.synthetic import generate
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.web import page_files as web
from expressnet_jax.web import page_server
from page_helpers import serving


@pytest.fixture(scope="module")
def files():
    return web.page_files()


@pytest.fixture(scope="module")
def predictor():
    return Predictor(threads=1)


@pytest.fixture(scope="module")
def server(files):
    with serving(page_server.open_server(files, 0)) as server:
        yield server


@pytest.fixture(scope="module")
def group():
    """An image with three drawn faces, uint8[700,1000,3]."""
    image = np.full((700, 1000, 3), (120, 130, 140), np.uint8)
    for at, (index, size) in zip((40, 330, 620), ((6, 300), (0, 224), (8, 330)), strict=True):
        image[100 : 100 + size, at : at + size] = generate(index, size=size, channels=3, style="a").image
    return image
