"""Generated faces: `generate(index, ...)` gives a person, an expression set by action units, light and a camera, and
`generate_clip(index, ...)` the same face while the expression comes and goes.

From the skull outwards: anatomy and traits (who), expression (what the muscles do) and movement (when), geometry (where
the landmarks go), features, hair, relief and strokes (what is drawn), shaded and ink (how), occluders and camera (what
comes between), shot (one drawing of all that), variations (one face with one thing changed).
"""

from expressnet_jax.data.synthetic.anatomy import AU_NAMES
from expressnet_jax.data.synthetic.clips import CLIP_INTENSITY, Clip, check_frames, generate_clip
from expressnet_jax.data.synthetic.generator import INTENSITY, Face, check, generate
from expressnet_jax.data.synthetic.occluders import OCCLUDERS
from expressnet_jax.data.synthetic.shot import STYLES

__all__ = [
    "AU_NAMES",
    "CLIP_INTENSITY",
    "INTENSITY",
    "OCCLUDERS",
    "STYLES",
    "Clip",
    "Face",
    "check",
    "check_frames",
    "generate",
    "generate_clip",
]
