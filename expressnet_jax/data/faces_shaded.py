"""Style "a": soft shading, as in a photograph."""

import cv2
import numpy as np

from expressnet_jax.data import faces_features as parts
from expressnet_jax.data.faces_canvas import Canvas
from expressnet_jax.data.faces_features import TAPER9, TAPER25, Scene, Strokes
from expressnet_jax.data.faces_geometry import loop, ribbon
from expressnet_jax.data.faces_hair import BEARDS
from expressnet_jax.data.faces_occluders import Cover
from expressnet_jax.data.faces_relief import shade

NEUTRAL = 200  # on the layer of soft marks, what leaves the colour below as it is
WHITE = np.array((238, 232, 228), np.float32)
TEETH = np.array((232, 226, 212), np.float32)
MOUTH = np.array((62, 24, 24), np.float32)
TONGUE = np.array((158, 80, 78), np.float32)

# Light that has been inside the skin comes out red: in shadow red stays longest and blue goes first.
_RAMP = np.arange(256) / 128
_WARM, _COOL = (np.clip(128 * _RAMP**power, 0, 255).astype(np.uint8) for power in (0.84, 1.08))


def paint(canvas: Canvas, scene: Scene, cover: Cover) -> None:
    """Draws a face over the background that is on the canvas; `cover` is what is in front of it."""
    soft = canvas.layer(NEUTRAL)
    strokes = parts.strokes(scene)
    top, behind = parts.locks(scene)
    figure = canvas.layer(0)
    _body(canvas, soft, figure, scene, behind)
    _skin(canvas, soft, scene, strokes)
    _mouth(canvas, scene)
    _eyes(canvas, soft, scene, strokes)
    _beard(canvas, soft, scene)
    if top is not None:
        _hair(canvas, soft, scene, top)
        figure.fill(255, top)
    canvas.fill(scene.person.hair * 0.6 + scene.person.skin * 0.14, strokes.brows)
    cover.draw(canvas, soft, NEUTRAL)
    for layer in (canvas, soft, figure):
        layer.draw()
    _light(canvas, soft, figure, shade(scene, 40 if canvas.side <= 128 else 96, cover.hides))


def _body(canvas: Canvas, soft: Canvas, figure: Canvas, scene: Scene, behind: np.ndarray | None) -> None:
    person, rim = scene.person, scene.curves["jaw"][15:-15]
    neck, cloth = parts.body(scene)
    if behind is not None:
        canvas.fill(person.hair * 0.7, behind)
        figure.fill(255, behind)
    canvas.fill(person.skin * 0.82, neck)
    canvas.fill(person.cloth, cloth)
    canvas.fill(person.skin * 0.94, scene.curves["ear"])
    soft.fill(140, loop(rim, rim + 0.24j))
    for part in (neck, scene.curves["ear"], scene.head):
        figure.fill(255, part)


def _skin(canvas: Canvas, soft: Canvas, scene: Scene, strokes: Strokes) -> None:
    curves = scene.curves
    marks, strength = parts.lines(scene)
    folds = np.concatenate([marks, curves["concha"], curves["wing"]])
    widths = np.concatenate([0.03 * strength, np.full((2, 1), 0.03), np.full((2, 1), 0.022)]).astype(np.float32)
    folds = ribbon(folds, widths * TAPER9)
    canvas.fill(scene.person.skin, scene.head)
    soft.fill(NEUTRAL, scene.head)
    soft.fill(145, folds[-4:])
    soft.fill(128, strokes.creases)
    soft.fill(105, parts.nostrils(scene))
    soft.fill(100, folds[:-4])


def _mouth(canvas: Canvas, scene: Scene) -> None:
    lips = scene.person.lips
    mouth = parts.mouth(scene)
    canvas.fill(lips * 0.88, mouth.upper_lip)
    canvas.fill(lips, mouth.lower_lip)
    if mouth.opening is None:
        canvas.fill(lips * 0.45, ribbon(mouth.seam, 0.004 + 0.012 * TAPER25))
        return
    canvas.fill(MOUTH, mouth.opening)
    for colour, part in ((TONGUE, mouth.tongue), (TEETH * 0.9, mouth.lower_teeth), (TEETH, mouth.teeth)):
        if part is not None:
            canvas.fill(colour, part)


def _eyes(canvas: Canvas, soft: Canvas, scene: Scene, strokes: Strokes) -> None:
    person = scene.person
    eyes = parts.eyes(scene)
    canvas.fill(WHITE, eyes.openings)
    canvas.fill(person.iris * 0.55, eyes.rims)
    canvas.fill(person.iris, eyes.irises)
    canvas.fill(14, eyes.pupils)
    canvas.fill(252, eyes.glints)
    soft.fill(140, strokes.lid_shadows)
    canvas.fill(person.skin * 0.2, strokes.lashes)
    canvas.fill(person.skin * 0.6, strokes.lower_lids)


def _beard(canvas: Canvas, soft: Canvas, scene: Scene) -> None:
    person = scene.person
    shapes = parts.beard(scene)
    if not shapes:
        return
    density = BEARDS[person.beard].density
    if density < 0.5:
        soft.fill(NEUTRAL * (1 - 0.5 * density), *shapes)
    else:
        canvas.fill(person.hair * density + person.skin * (1 - density), *shapes)


def _hair(canvas: Canvas, soft: Canvas, scene: Scene, top: np.ndarray) -> None:
    canvas.fill(scene.person.hair, top)
    soft.fill(NEUTRAL, top)
    strands = ribbon(parts.strands(scene), 0.025 * TAPER9)
    soft.fill(150, strands[::2])
    soft.fill(246, strands[1::2])


def _light(canvas: Canvas, soft: Canvas, figure: Canvas, fields: np.ndarray) -> None:
    fields = canvas.drape(fields)
    unlit = np.full_like(fields, (128, 0, 0))
    bright, red, shine = cv2.split(cv2.copyTo(fields, figure.pixels, unlit))
    size = 2 * max(1, round(canvas.unit * 0.04)) + 1
    bright = cv2.multiply(bright, cv2.GaussianBlur(soft.pixels, (size, size), 0), scale=1 / NEUTRAL)
    if canvas.channels == 3:
        warm, cool = cv2.LUT(bright, _WARM), cv2.LUT(bright, _COOL)
        bright = cv2.merge([warm, cv2.subtract(bright, red), cv2.subtract(cool, red)])
        shine = cv2.merge([shine] * 3)
    cv2.multiply(canvas.pixels, bright, canvas.pixels, scale=1 / 128)
    cv2.add(canvas.pixels, shine, canvas.pixels)
