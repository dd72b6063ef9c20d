"""What the tests of the page share, beside its fixtures."""

import threading

import cv2
import numpy as np


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


def texture(height, width, seed=0):
    """A smooth random image that uses all values, uint8[H,W,3]."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def assert_alike(faces, told, pixels=1.0, probability=0.01):
    """Python's faces and (box, probabilities) of the page's."""
    assert len(faces) == len(told)
    for face, (box, probabilities) in zip(faces, told, strict=True):
        np.testing.assert_allclose(box, face.box, atol=pixels)
        np.testing.assert_allclose(probabilities, list(face.probabilities.values()), atol=probability)
