"""Styles that are drawn, not photographed: "b", ink lines and flat colours; "c", a pencil on paper."""

from functools import lru_cache

import cv2
import numpy as np

from expressnet_jax.data import faces_features as parts
from expressnet_jax.data import faces_shaded
from expressnet_jax.data.faces_canvas import Canvas
from expressnet_jax.data.faces_features import TAPER9, TAPER25, Scene
from expressnet_jax.data.faces_geometry import closed, ribbon
from expressnet_jax.data.faces_occluders import Cover
from expressnet_jax.data.faces_relief import shade

INK = np.array((26, 22, 30), np.float32)
WHITE = np.array((252, 251, 248), np.float32)
_WEIGHTS = (1.15, 1.5, 1.2, 0.6, 0.0)  # brows, lashes, lower lids, creases, no shadows of the lids
# A step that is steep but not hard, so that the edge of a shadow stays smooth.
_CEL = np.interp(np.arange(256), (96, 104), (98, 128)).astype(np.uint8)


def paint(canvas: Canvas, scene: Scene, cover: Cover) -> None:
    """Draws a face in ink over the background that is on the canvas; `cover` is what is in front of it."""
    person, curves = scene.person, scene.curves
    line = person.pen
    top, behind = parts.locks(scene)
    flat = person.skin * 0.85 + 38
    _figure(canvas, scene, flat, behind)
    _cel_shadow(canvas, scene)
    _marks(canvas, scene, flat)
    _mouth(canvas, scene)
    _eyes(canvas, scene)
    for shape in parts.beard(scene):
        canvas.fill(person.hair * 0.85 + flat * 0.15, shape)
    canvas.stroke(INK, line, curves["jaw"][4:-4])
    if top is not None:
        canvas.fill(person.hair, top)
        canvas.fill(person.hair * 0.55, ribbon(parts.strands(scene)[::2], 0.5 * line * TAPER9))
        canvas.stroke(INK, line, closed(top))
    else:
        canvas.stroke(INK, line, curves["skull"])
    canvas.fill(INK if person.hair.sum() < 420 else person.hair * 0.5, parts.strokes(scene, _WEIGHTS).brows)
    cover.draw(canvas)
    canvas.draw()


def _figure(canvas: Canvas, scene: Scene, flat: np.ndarray, behind: np.ndarray | None) -> None:
    person, line = scene.person, scene.person.pen
    neck, cloth = parts.body(scene)
    if behind is not None:
        canvas.fill(person.hair * 0.75, behind)
        canvas.stroke(INK, line, behind)
    for colour, shape in ((flat * 0.8, neck), (person.cloth, cloth), (flat, scene.curves["ear"])):
        canvas.fill(colour, shape)
        canvas.stroke(INK, line, shape)
    canvas.fill(flat, scene.head)


def _cel_shadow(canvas: Canvas, scene: Scene) -> None:
    """Darkens what faces away from the light, with an edge, within the head."""
    canvas.draw()
    bright = canvas.drape(shade(scene, 40)[..., :1])
    head = canvas.layer(0)
    head.fill(255, scene.head)
    head.draw()
    step = cv2.copyTo(cv2.LUT(bright, _CEL), head.pixels, np.full_like(bright, 128))
    if canvas.channels == 3:
        step = cv2.merge([step] * 3)
    cv2.multiply(canvas.pixels, step, canvas.pixels, scale=1 / 128)


def _marks(canvas: Canvas, scene: Scene, flat: np.ndarray) -> None:
    """Folds, nose and the inside of the ears."""
    curves, line = scene.curves, scene.person.pen
    folds, strength = parts.lines(scene, least=0.25)
    away = slice(0, 1) if scene.light[0] > 0 else slice(1, 2)  # the side of the nose that lies in shadow
    marks = np.concatenate([folds, curves["wing"], curves["concha"], curves["ridge"][away]])
    widths = np.concatenate([0.75 * strength, np.full((4, 1), 0.7), np.full((1, 1), 0.5)]).astype(np.float32)
    canvas.fill(INK * 0.8 + flat * 0.2, ribbon(marks, line * widths * TAPER9))
    canvas.fill(INK, parts.nostrils(scene))


def _mouth(canvas: Canvas, scene: Scene) -> None:
    lips, line = scene.person.lips, scene.person.pen
    mouth = parts.mouth(scene)
    canvas.fill(lips * 0.92, mouth.upper_lip)
    canvas.fill(np.clip(lips * 1.05, 0, 255), mouth.lower_lip)
    if mouth.opening is None:
        canvas.fill(INK, ribbon(mouth.seam, line * (0.15 + 0.6 * TAPER25)))
        return
    canvas.fill(INK * 1.6, mouth.opening)
    for colour, part in ((faces_shaded.TONGUE, mouth.tongue), (WHITE, mouth.lower_teeth), (WHITE, mouth.teeth)):
        if part is not None:
            canvas.fill(colour, part)
    canvas.stroke(INK, 0.6 * line, closed(mouth.opening))


def _eyes(canvas: Canvas, scene: Scene) -> None:
    eyes = parts.eyes(scene)
    strokes = parts.strokes(scene, _WEIGHTS)
    canvas.fill(WHITE, eyes.openings)
    canvas.fill(INK, eyes.rims)
    canvas.fill(np.clip(scene.person.iris * 1.3, 0, 255), eyes.irises)
    canvas.fill(INK, eyes.pupils)
    canvas.fill(255, eyes.glints)
    canvas.fill(INK, strokes.lashes)
    canvas.fill(INK, strokes.lower_lids)
    canvas.fill(INK, strokes.creases)


def pencil(canvas: Canvas, scene: Scene, cover: Cover) -> None:
    """Draws the shaded face, then keeps what a pencil would: edges as lines, darkness as hatching on paper.

    The lines are the picture divided by a blurred copy of itself ("colour dodge").
    """
    canvas.pixels.fill(245)
    faces_shaded.paint(canvas, scene, cover)
    gray = canvas.pixels if canvas.channels == 1 else cv2.cvtColor(canvas.pixels, cv2.COLOR_RGB2GRAY)
    size = 2 * max(1, round(canvas.unit * 0.1)) + 1
    edges = cv2.divide(gray, cv2.GaussianBlur(gray, (size, size), 0), scale=245)
    # From a brightness of 150 downwards the hatching shows more and more; above, the paper stays white.
    tone = cv2.max(_hatching(canvas.side), cv2.LUT(gray, _PRESSURE))
    drawn = cv2.multiply(edges, tone, scale=1 / 255)
    canvas.pixels = drawn if canvas.channels == 1 else cv2.merge([drawn, drawn, cv2.subtract(drawn, 10)])


_PRESSURE = np.interp(np.arange(256), (10, 90, 200), (95, 205, 255)).astype(np.uint8)


@lru_cache(maxsize=8)
def _hatching(side: int) -> np.ndarray:
    """Slanted strokes over a whole canvas, uint8[W,W]."""
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    wave = np.sin((x + 0.7 * y) * (2 * np.pi * 24 / side))
    return np.clip(170 + 150 * wave, 60, 255).astype(np.uint8)
