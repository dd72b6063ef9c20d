"""Cut found faces out as a network is shown them. H, W of an image; N faces, S pixels a side of a face, C channels."""

from collections.abc import Sequence

import numpy as np

from expressnet_jax.inference.crop import Place, cut_face, find_place
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.detector import Detector


class FaceCutter:
    """Cuts faces that `detector` found to `face_shape` (S, S, C); `align` and `equalize` are those of crop.py."""

    def __init__(self, detector: Detector, face_shape: tuple[int, ...], *, align: bool = True, equalize: bool = False):
        self.detector, self.face_shape = detector, face_shape
        self.align, self.equalize = align, equalize

    def cut(self, image: np.ndarray, found: Sequence[Detection]) -> np.ndarray:
        """Return what the network is shown of the found faces of uint8[H,W,3]: uint8[N,S,S,C]."""
        size, _, channels = self.face_shape
        options = {"align": self.align, "equalize": self.equalize}
        faces = [cut_face(image, each, self.detector.margin, size, channels, **options) for each in found]
        return np.stack(faces) if faces else np.zeros((0, *self.face_shape), np.uint8)

    def places(self, shape: tuple[int, ...], found: Sequence[Detection]) -> list[Place]:
        """Return where `cut` takes each found face from, in an image of `shape` (H, W, 3)."""
        return [find_place(shape, each, self.detector.margin, align=self.align) for each in found]
