"""Videos that tests paint, and a predictor that sees in them what was painted."""

import csv
import itertools
from types import SimpleNamespace

import cv2
import numpy as np

from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.detector import Detector
from expressnet_jax.inference.video_pipeline import FACES, TrackState, VideoPipeline
from expressnet_jax.inference.video_reader import Frame
from expressnet_jax.inference.video_writer import VideoWriter

CLASSES = ("calm", "loud", "odd")
RATE = 20.0


def noise(frames, width=64, height=48, seed=0):
    """Reddish, and blurred, so that the video keeps it."""
    rng = np.random.default_rng(seed)
    for _ in range(frames):
        gray = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 3)
        yield cv2.add(gray, np.full_like(gray, (60, 0, 0)))


def write_video(path, frames=30, **options):
    writer = VideoWriter(path, RATE, (options.get("width", 64), options.get("height", 48)))
    for image in noise(frames, **options):
        writer.write(image)
    writer.close()
    return path


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Painted:
    """A predictor of three classes that tells them by the mean of a face, which its detector cuts from gray patches."""

    classes = CLASSES
    margin = None
    model = SimpleNamespace(fields={})

    def cut(self, image, found):
        patch = lambda box: image[round(box[1]) : round(box[1] + box[3]), round(box[0]) : round(box[0] + box[2])]
        means = [patch(each.box).mean() for each in found]
        return np.array(means, np.float64).reshape(-1, 1, 1, 1)

    def places(self, shape, found):
        return list(found)

    def answers(self, faces):
        assert len(faces) <= FACES
        share = faces.reshape(-1) / 255
        return np.stack([share, (1 - share) / 2, (1 - share) / 2], axis=1).astype(np.float32), {}

    def describe_further(self, further, places):
        return [{} for _ in places]


def patches(image):
    """Gray patches on black -> their boxes, from left to right."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 20).astype(np.uint8))
    return sorted(Detection(tuple(map(float, row[:4])), 0.9) for row in stats[1:])


def painted_frames(frames, positions):
    """`positions` (frame number) -> pairs of x and gray value."""
    for number in range(frames):
        image = np.zeros((80, 400, 3), np.uint8)
        for x, gray in positions(number):
            image[20:60, x : x + 40] = gray
        yield Frame(number, number / RATE, image)


def run_pipeline(frames, tracks=None, workers=2, **options):
    pipeline = VideoPipeline(Painted(), [Detector(patches, None)] * workers)
    return itertools.chain.from_iterable(pipeline.run(frames, tracks or TrackState(), **options))
