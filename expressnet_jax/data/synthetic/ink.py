"""Styles that are drawn, not photographed: "b", ink lines and flat colours; "c", a pencil on paper."""

from functools import lru_cache

import cv2
import numpy as np

from expressnet_jax.data.synthetic import features as parts
from expressnet_jax.data.synthetic import shaded
from expressnet_jax.data.synthetic.canvas import Canvas, Colour
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import closed, ribbon
from expressnet_jax.data.synthetic.occluders import Cover
from expressnet_jax.data.synthetic.relief import shade
from expressnet_jax.data.synthetic.strokes import TAPER, TAPER25, Pen, Strokes, all_strokes

INK = np.array((26, 22, 30), np.float32)
WHITE = np.array((252, 251, 248), np.float32)
# A step that is steep but not hard, so that the edge of a shadow stays smooth.
_CEL = np.interp(np.arange(256), (96, 104), (98, 128)).astype(np.uint8)


def paint(canvas: Canvas, scene: Scene, cover: Cover) -> None:
    """Draw a face in ink over the background that is on the canvas; `cover` is what is in front of it."""
    person, line = scene.person, scene.person.pen
    flat = person.skin * 0.85 + 38
    pen = Pen(0.06, 0.036, 0.011, 0.012, 0.0, 0.026, fold=0.7 * line, line=0.75 * line, strand=0.5 * line, least=0.25)
    strokes = all_strokes(scene, pen)
    _figure(canvas, scene, flat)
    _cel_shadow(canvas, scene)
    _marks(canvas, scene, strokes, flat)
    _mouth(canvas, scene)
    _eyes(canvas, scene, strokes)
    for shape in parts.beard(scene):
        canvas.fill(person.hair * 0.85 + flat * 0.15, shape)
    canvas.stroke(INK, line, scene.curves["jaw"][4:-4])
    _hair(canvas, scene, strokes)
    canvas.fill(person.hair * 0.2 + 0.8 * INK, strokes.brows)
    cover.draw(canvas)
    canvas.draw()


def _figure(canvas: Canvas, scene: Scene, flat: Colour) -> None:
    person, line = scene.person, scene.person.pen
    neck, cloth = parts.body(scene)
    behind = parts.hair_behind(scene)
    if behind is not None:
        canvas.fill(person.hair * 0.75, behind)
        canvas.stroke(INK, line, behind)
    for colour, shape in ((flat * 0.8, neck), (person.cloth, cloth), (flat, scene.curves["ear"])):
        canvas.fill(colour, shape)
        canvas.stroke(INK, line, shape)
    canvas.fill(flat, scene.head)


def _cel_shadow(canvas: Canvas, scene: Scene) -> None:
    """Darken what faces away from the light, with an edge, within the head."""
    canvas.draw()
    bright = canvas.drape(shade(scene, canvas.grid)[..., :1])
    head = canvas.layer(0)
    head.fill(255, scene.head)
    head.draw()
    step = cv2.copyTo(cv2.LUT(bright, _CEL), head.pixels, np.full_like(bright, 128))
    if canvas.channels == 3:
        step = cv2.merge([step] * 3)
    cv2.multiply(canvas.pixels, step, canvas.pixels, scale=1 / 128)


def _marks(canvas: Canvas, scene: Scene, strokes: Strokes, flat: Colour) -> None:
    """Draw folds, nose and the inside of the ears."""
    side = 0 if scene.light[0] > 0 else 1  # the side of the nose that lies in shadow
    ridge = ribbon(scene.curves["ridge"][side], 0.5 * scene.person.pen * TAPER)
    soft_ink = INK * 0.8 + flat * 0.2
    canvas.fill(soft_ink, ridge)
    canvas.fill(soft_ink, strokes.folds, strokes.lines)
    canvas.fill(INK, strokes.nostrils)


def _hair(canvas: Canvas, scene: Scene, strokes: Strokes) -> None:
    person, top = scene.person, parts.hair_on_top(scene)
    if top is None:
        canvas.stroke(INK, person.pen, scene.curves["skull"])
        return
    canvas.fill(person.hair, top)
    canvas.fill(person.hair * 0.55, strokes.strands[::2])
    canvas.stroke(INK, person.pen, closed(top))


def _mouth(canvas: Canvas, scene: Scene) -> None:
    lips, line = scene.person.lips, scene.person.pen
    mouth = parts.mouth(scene)
    canvas.fill(lips * 0.92, mouth.upper_lip)
    canvas.fill(np.clip(lips * 1.05, 0, 255), mouth.lower_lip)
    if mouth.opening is None:
        canvas.fill(INK, ribbon(mouth.seam, line * (0.15 + 0.6 * TAPER25)))
        return
    canvas.fill(INK * 1.6, mouth.opening)
    for colour, part in ((shaded.TONGUE, mouth.tongue), (WHITE, mouth.lower_teeth), (WHITE, mouth.teeth)):
        if part is not None:
            canvas.fill(colour, part)
    canvas.stroke(INK, 0.6 * line, closed(mouth.opening))


def _eyes(canvas: Canvas, scene: Scene, strokes: Strokes) -> None:
    eyes = parts.eyes(scene)
    canvas.fill(WHITE, eyes.openings)
    canvas.fill(INK, eyes.rims)
    canvas.fill(np.clip(scene.person.iris * 1.3, 0, 255), eyes.irises)
    canvas.fill(INK, eyes.pupils)
    canvas.fill(255, eyes.glints)
    canvas.fill(INK, strokes.lashes)
    canvas.fill(INK, strokes.lids)
    canvas.fill(INK, strokes.creases)


def pencil(canvas: Canvas, scene: Scene, cover: Cover) -> None:
    """Draw the shaded face on blank paper, then keep what a pencil would: edges as lines, darkness as hatching.

    The lines are the image divided by a blurred copy of itself ("colour dodge").
    """
    shaded.paint(canvas, scene, cover)
    gray = canvas.pixels if canvas.channels == 1 else cv2.cvtColor(canvas.pixels, cv2.COLOR_RGB2GRAY)
    size = 2 * max(1, round(canvas.unit * 0.1)) + 1
    edges = cv2.divide(gray, cv2.GaussianBlur(gray, (size, size), 0), scale=245)
    # From a brightness of 200 downwards the hatching shows more and more; above, the paper stays white.
    tone = cv2.max(_hatching(canvas.side), cv2.LUT(gray, _PRESSURE))
    drawn = cv2.multiply(edges, tone, scale=1 / 255)
    canvas.pixels = drawn if canvas.channels == 1 else cv2.merge([drawn, drawn, np.maximum(drawn, 10) - 10])


_PRESSURE = np.interp(np.arange(256), (10, 90, 200), (95, 205, 255)).astype(np.uint8)


@lru_cache(maxsize=8)
def _hatching(side: int) -> np.ndarray:
    """Return slanted strokes over a whole canvas, uint8[W,W]."""
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    wave = np.sin((x + 0.7 * y) * (2 * np.pi * 24 / side))
    return np.clip(170 + 150 * wave, 60, 255).astype(np.uint8)
