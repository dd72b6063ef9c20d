"""Find and cut out the faces of a video in several threads. N faces, S pixels a side, C channels, K classes."""

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from expressnet_jax.inference.crop import Place
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.detector import Detector
from expressnet_jax.inference.face_cutter import FaceCutter
from expressnet_jax.inference.video_reader import NO_PIXELS, Frame


class FrameFaces(NamedTuple):
    """A frame with what was found in it: faces uint8[N,S,S,C] until there are their probabilities float32[N,K] and
    further outputs; `places` are where they were cut out."""

    frame: Frame
    found: list[Detection]
    faces: np.ndarray
    probabilities: np.ndarray = NO_PIXELS
    places: Sequence[Place] = ()
    outputs: Sequence[Mapping[str, Any]] | None = None


class FaceFinder:
    """Finds the faces of frames and cuts them out; as many at once as there are detectors."""

    def __init__(self, cutter: FaceCutter, detectors: Sequence[Detector]):
        self.cutter = cutter
        self.detectors: queue.SimpleQueue[Detector] = queue.SimpleQueue()
        self.workers = len(detectors)
        for detector in detectors:
            self.detectors.put(detector)

    def pool(self) -> ThreadPoolExecutor:
        """Return a thread for each detector."""
        return ThreadPoolExecutor(self.workers)

    def find(self, frame: Frame, keep_image: bool = False) -> FrameFaces:
        """Find the faces of a frame and cut them out."""
        detector = self.detectors.get()
        try:
            found = detector.find(frame.image)
        finally:
            self.detectors.put(detector)
        faces = self.cutter.cut(frame.image, found)
        places = self.cutter.places(frame.image.shape, found)
        return FrameFaces(frame if keep_image else frame._replace(image=NO_PIXELS), found, faces, places=places)
