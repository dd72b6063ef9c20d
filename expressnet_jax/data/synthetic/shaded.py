"""Style "a": soft shading, as in a photograph."""

import cv2
import numpy as np

from expressnet_jax.data.synthetic import features as parts
from expressnet_jax.data.synthetic.canvas import Canvas
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import ribbon
from expressnet_jax.data.synthetic.hair import BEARDS
from expressnet_jax.data.synthetic.occluders import Cover
from expressnet_jax.data.synthetic.relief import shade
from expressnet_jax.data.synthetic.strokes import TAPER25, Pen, Strokes, all_strokes

_PEN = Pen(0.052, 0.024, 0.009, crease=0.02, shadow=0.02, nostril=0.026, fold=0.026, line=0.03, strand=0.025, least=0.1)
NEUTRAL = 200  # on the layer of soft marks, what leaves the colour below as it is
WHITE = np.array((238, 232, 228), np.float32)
_TEETH = np.array((232, 226, 212), np.float32)
_GUMS = np.array((62, 24, 24), np.float32)
TONGUE = np.array((158, 80, 78), np.float32)

_UNMARKED, _NOBODY = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
_UNMARKED[0], _NOBODY[0] = NEUTRAL, 128  # where nobody is: no marks, and the light as it is

# Light that has been inside the skin comes out red: in shadow red stays longest and blue goes first.
_RAMP = np.arange(256) / 128
_WARM, _COOL = (np.clip(128 * _RAMP**power, 0, 255).astype(np.uint8) for power in (0.84, 1.08))


def paint(canvas: Canvas, scene: Scene, cover: Cover) -> None:
    """Draw a face over the background that is on the canvas; `cover` is what is in front of it."""
    soft = canvas.layer(0)
    strokes = all_strokes(scene, _PEN)
    _body(canvas, soft, scene)
    _skin(canvas, soft, scene, strokes)
    _mouth(canvas, scene)
    _eyes(canvas, soft, scene, strokes)
    _beard(canvas, soft, scene)
    _hair(canvas, soft, scene, strokes)
    canvas.fill(scene.person.hair * 0.6 + scene.person.skin * 0.14, strokes.brows)
    cover.draw(canvas, soft, NEUTRAL)
    canvas.draw()
    soft.draw()
    _light(canvas, soft.pixels, shade(scene, canvas.grid, cover.hides))


def _body(canvas: Canvas, soft: Canvas, scene: Scene) -> None:
    person, ears = scene.person, scene.curves["ear"]
    neck, cloth = parts.body(scene)
    behind = parts.hair_behind(scene)
    if behind is not None:
        canvas.fill(person.hair * 0.7, behind)
        soft.fill(NEUTRAL, behind)
    canvas.fill(person.skin * 0.82, neck)
    canvas.fill(person.cloth, cloth)
    canvas.fill(person.skin * 0.94, ears)
    soft.fill(NEUTRAL, neck)
    soft.fill(140, parts.chin_shadow(scene))
    soft.fill(NEUTRAL, ears)


def _skin(canvas: Canvas, soft: Canvas, scene: Scene, strokes: Strokes) -> None:
    canvas.fill(scene.person.skin, scene.head)
    soft.fill(NEUTRAL, scene.head)
    soft.fill(145, strokes.folds)
    soft.fill(128, strokes.creases)
    soft.fill(105, strokes.nostrils)
    soft.fill(100, strokes.lines)


def _mouth(canvas: Canvas, scene: Scene) -> None:
    lips = scene.person.lips
    mouth = parts.mouth(scene)
    canvas.fill(lips * 0.88, mouth.upper_lip)
    canvas.fill(lips, mouth.lower_lip)
    if mouth.opening is None:
        canvas.fill(lips * 0.45, ribbon(mouth.seam, 0.004 + 0.012 * TAPER25))
        return
    canvas.fill(_GUMS, mouth.opening)
    for colour, part in ((TONGUE, mouth.tongue), (_TEETH * 0.9, mouth.lower_teeth), (_TEETH, mouth.teeth)):
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
    soft.fill(140, strokes.shadows)
    canvas.fill(person.skin * 0.2, strokes.lashes)
    canvas.fill(person.skin * 0.6, strokes.lids)


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


def _hair(canvas: Canvas, soft: Canvas, scene: Scene, strokes: Strokes) -> None:
    top = parts.hair_on_top(scene)
    if top is None:
        return
    canvas.fill(scene.person.hair, top)
    soft.fill(NEUTRAL, top)
    soft.fill(150, strokes.strands[::2])
    soft.fill(246, strokes.strands[1::2])


def _light(canvas: Canvas, soft: np.ndarray, fields: np.ndarray) -> None:
    """Multiply by what the relief and the soft marks, uint8[W,W] and 0 where nobody is, make of the light."""
    bright, red, shine = cv2.split(cv2.copyTo(canvas.drape(fields), soft))
    bright = cv2.max(bright, cv2.LUT(soft, _NOBODY))
    size = 2 * max(1, round(canvas.unit * 0.04)) + 1
    marks = cv2.GaussianBlur(cv2.LUT(soft, _UNMARKED), (size, size), 0)
    bright = cv2.multiply(bright, marks, scale=1 / NEUTRAL)
    if canvas.channels == 3:
        warm, cool = cv2.LUT(bright, _WARM), cv2.LUT(bright, _COOL)
        bright = cv2.merge([warm, cv2.subtract(bright, red), cv2.subtract(cool, red)])
        shine = cv2.merge([shine] * 3)
    cv2.multiply(canvas.pixels, bright, canvas.pixels, scale=1 / 128)
    cv2.add(canvas.pixels, shine, canvas.pixels)
