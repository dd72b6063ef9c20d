"""Pictures with boxes, written beside what they were made from, never over it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from expressnet_jax.deploy.annotate import annotate
from expressnet_jax.deploy.predictor import Face
from expressnet_jax.errors import UserError, one_line


class Saver:
    """Writes one picture to a file, or several into a folder, each under a name of its own."""

    def __init__(self, where: Path, *, several: bool):
        """Raises UserError for a name whose ending tells no format of pictures."""
        self.where, self.folder = where, several or where.is_dir()
        self.taken: set[Path] = set()
        if not self.folder and where.suffix.lower() not in Image.registered_extensions():
            raise UserError(f"--save: {where}: give a name that ends in .png or .jpg, or a folder")

    def save(self, name: str, image: np.ndarray, faces: Sequence[Face]) -> Path:
        """uint8[H,W,3] and its faces -> where they are.

        Raises:
          UserError: that is the picture itself, or can't be written.
        """
        path = self._name(Path(name).stem) if self.folder else self.where
        if path.exists() and Path(name).exists() and path.samefile(name):
            raise UserError(f"--save: {path}: the picture itself; give another name or folder")
        drawn = annotate(image, [face.box for face in faces], [face.probabilities for face in faces])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn).save(path)
        except (OSError, ValueError) as error:
            raise UserError(f"--save: {path}: can't be written ({one_line(error)})") from error
        return path

    def _name(self, stem: str) -> Path:
        """STEM.png, or STEM-2.png where another picture of this run has that."""
        names = (self.where / f"{stem}{f'-{i}' if i > 1 else ''}.png" for i in range(1, len(self.taken) + 2))
        path = next(name for name in names if name not in self.taken)
        self.taken.add(path)
        return path
