"""Oulu-CASIA (Zhao et al. 2011): 80 people show six expressions, from neutral to the peak, under three lights.

Layout: OriginalImg/VL/Strong/P001/Anger/000.jpeg, ... (or VL_Acropped/Strong/..., where faces are cut out): camera (VL
visible, NI near infrared), light (Strong, Weak, Dark), person, expression, frames. There is no official split: the
papers hold people out in ten folds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from expressnet_jax.data import clip_frames
from expressnet_jax.data.datasets.clips import CLIP_COLUMNS, Clip, ClipBuilder, frame_source
from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.labels import BASIC, canonical
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError

CAMERAS, LIGHTS = ("VL", "NI"), ("Strong", "Weak", "Dark")


class OuluCasia(ClipBuilder, skip_registration=True):
    """Oulu-CASIA, one camera and light; subject is the person. Nobody shows neutral."""

    name = "oulu_casia"
    CLASSES = BASIC[:-1]
    LICENSE = "Research only, under the Oulu-CASIA agreement; images may not be passed on."
    HOW_TO_GET = (
        "Ask for access at https://www.oulu.fi/cmvs (Oulu-CASIA NIR&VIS facial expression database), and give the "
        "folder that holds folders like VL/Strong/P001/Anger/ with --source"
    )
    COLUMNS: ClassVar = {**CLIP_COLUMNS, "subject": ((), str)}
    OPTIONS: ClassVar = {**clip_frames.OPTIONS, "camera": "VL", "light": "Strong"}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether a camera's folder with one of light is there."""
        return any((path / light).is_dir() for name in CAMERAS for path in folder.glob(f"{name}*") for light in LIGHTS)

    def clips(self, source: Path) -> Mapping[str, Sequence[Clip]]:
        """Return the sequences of a camera and light by person and expression, in the one split "all"."""
        for option, valid in (("camera", CAMERAS), ("light", LIGHTS)):
            if self.options[option] not in valid:
                raise UserError(f"{self.name}: {option}: no {self.options[option]!r}; one of {', '.join(valid)}")
        root = locate(self, source, "no folders like VL/Strong/P001/Anger/")
        cameras = sorted(root.glob(f"{self.options['camera']}*"))
        folder = cameras[-1] / self.options["light"] if cameras else root
        found = []
        for path in sorted(no_litter(folder.glob("P*/*"))):
            expression = canonical(path.name)
            if expression in self.CLASSES and (frames := frame_source(path)):
                key, label = path.relative_to(root).as_posix(), self.CLASSES.index(expression)
                found.append(Clip(key, frames, label, subject=path.parent.name))
        if not found:
            raise self.missing(f"no frames like P001/Anger/000.jpeg in {folder}")
        return {"all": found}
