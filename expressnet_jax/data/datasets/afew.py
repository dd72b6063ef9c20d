"""AFEW (Dhall et al. 2012), the clips of the EmotiW challenges: seven expressions in movies, people disjoint by split.

Layout: Train_AFEW/Angry/000046280.avi and Val_AFEW/...; in place of a video there may be a folder of frames. Where cut
faces are there as well (Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/000046280/), the folder of a video's name is taken,
unless it is empty.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from expressnet_jax.data import clip_frames
from expressnet_jax.data.datasets.clips import Clip, ClipBuilder, frame_source
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.labels import BASIC, canonical
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.data.remarks import LEFT_OUT
from expressnet_jax.errors import UserError, printable

SPLITS = {"train": "Train_AFEW", "validation": "Val_AFEW"}
FACES = "AlignedFaces_LBPTOP_Points*/Faces/*"


class Afew(ClipBuilder, skip_registration=True):
    """AFEW; cut faces are taken in place of whole frames where they are there."""

    name = "afew"
    CLASSES = BASIC
    LICENSE = "Research only, under the AFEW agreement; clips may not be passed on."
    HOW_TO_GET = (
        "Ask the organisers of the EmotiW challenges for access, and give the folder that holds "
        "Train_AFEW/ and Val_AFEW/ with --source"
    )

    OPTIONS: ClassVar = {**clip_frames.OPTIONS, "sound": False}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether both split folders are there."""
        return all((folder / name).is_dir() for name in SPLITS.values())

    def clips(self, source: Path) -> Mapping[str, Sequence[Clip]]:
        """Return the clips of both splits by class and name."""
        root = locate(self, source, "no Train_AFEW/ and Val_AFEW/")
        return {split: list(self._split(root / name)) for split, name in SPLITS.items()}

    def _split(self, folder: Path) -> Iterator[Clip]:
        faces, found = {path.name: path for path in folder.glob(FACES) if path.is_dir()}, 0
        left_out: dict[str, str] = {}
        for word in sorted(path for path in no_litter(folder.iterdir()) if path.is_dir()):
            expression = canonical(word.name)
            for path in sorted(no_litter(word.iterdir())) if expression in BASIC else ():
                clip = (path.stem in faces and frame_source(faces[path.stem])) or frame_source(path)
                if not clip:
                    left_out[printable(path.relative_to(folder.parent))] = "neither a video nor a folder of frames"
                else:
                    found += 1
                    key, heard = path.relative_to(folder.parent).as_posix(), self.SOUND and path.is_file()
                    yield Clip(key, clip, BASIC.index(expression), sound=path if heard else None)
        if left_out:
            self.notes[LEFT_OUT] = self.notes.get(LEFT_OUT, {}) | left_out
        if not found:
            raise UserError(f"{self.name}: {folder}: no videos in class folders such as Angry/; unpack it again")
