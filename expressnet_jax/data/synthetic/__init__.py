"""Generated faces: `generate(index, ...)` gives a person, an expression set by action units, light and a camera.

From the skull outwards: anatomy and traits (who), expression (what the muscles do), geometry (where the landmarks go),
features, hair, relief and strokes (what is drawn), shaded and ink (how), occluders and camera (what comes between).
"""

from expressnet_jax.data.synthetic.generator import AU_NAMES, OCCLUDERS, STYLES, Face, check, generate

__all__ = ["AU_NAMES", "OCCLUDERS", "STYLES", "Face", "check", "generate"]
