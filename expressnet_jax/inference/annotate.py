"""Boxes, labels and bars drawn over an image."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

# One colour a class: six that are distinguished with every common colour vision (Okabe & Ito 2008), gray and violet.
COLOURS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (120, 120, 120),
    (107, 76, 154),
)
INK = (30, 30, 30)
MARKS = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
SHOWN = 3  # classes of each face
LINE, WIDE = 15, 118  # pixels of a panel's line and of its width, at scale 1
_WORTH_IT = 0.15  # share of itself that a panel must hide less elsewhere before it changes sides: it does not jump

_Rectangle = tuple[int, int, int, int]  # left, top, width, height


def annotate(
    image: np.ndarray,
    boxes: Sequence[Sequence[float]],
    probabilities: Sequence[Mapping[str, float]],
    titles: Sequence[str] = (),
    labels: Sequence[str] = (),
    sides: dict[str, int] | None = None,
    points: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Copy uint8[H,W,3] with a box a face, its label and its likeliest classes as bars.

    A panel lies where it hides the least of the other faces.

    Args:
      titles: what stands before the labels: numbers of tracks.
      labels: the class of each face, where it is not the likeliest one.
      sides: title -> on which side of its face its panel was drawn in the video's last frame, and is best drawn again;
        brought up to date.
      points: of each face float[P,2] in pixels, which are marked.
    """
    drawn = image.copy()
    for marks in points:
        _mark(drawn, marks)
    faces = [_rounded(box) for box in boxes]
    sides = {} if sides is None else sides
    panels: list[_Rectangle] = []
    for number, (face, row) in enumerate(zip(faces, probabilities, strict=True)):
        scale = float(np.clip(face[2] / WIDE, 0.8, max(min(drawn.shape[:2]) / 480, 0.8)))
        places = _places(face, round(WIDE * scale), round(LINE * (SHOWN + 1) * scale), drawn.shape)
        title, label = titles[number] if titles else "", labels[number] if labels else max(row, key=row.__getitem__)
        side = _choose(places, [*faces, *panels], sides.get(title))
        if title:
            sides[title] = side
        panels.append(places[side])
        _draw(drawn, face, places[side], row, title, label, scale)
    return drawn


def _mark(drawn: np.ndarray, points: np.ndarray) -> None:
    """Draw dots as large as the points' distance leaves room for."""
    if not len(points):
        return
    radius = round(float(np.ptp(points, axis=0).max()) / 150)
    for x, y in points:
        cv2.circle(drawn, (round(float(x)), round(float(y))), radius, MARKS, cv2.FILLED, cv2.LINE_AA)


def _rounded(box: Sequence[float]) -> _Rectangle:
    left, top, width, height = map(round, box)
    return left, top, width, height


def _places(face: _Rectangle, width: int, height: int, shape: tuple[int, ...]) -> list[_Rectangle]:
    """Below the face, above it, right and left of it, moved until it is inside the image."""
    left, top, wide, tall = face
    wanted = [(left, top + tall + 2), (left, top - height - 2), (left + wide + 2, top), (left - width - 2, top)]
    inside = [(min(max(x, 0), max(shape[1] - width, 0)), min(max(y, 0), max(shape[0] - height, 0))) for x, y in wanted]
    return [(x, y, width, height) for x, y in inside]


def _choose(places: Sequence[_Rectangle], taken: Sequence[_Rectangle], before: int | None) -> int:
    """Return the place over as little as can be of what is `taken`, or the one `before` where that is hardly worse."""
    hidden = [sum(_shared(place, other) for other in taken) for place in places]
    best = int(np.argmin(hidden))
    if before is not None and hidden[before] <= hidden[best] + _WORTH_IT * places[before][2] * places[before][3]:
        return before
    return best


def _shared(a: _Rectangle, b: _Rectangle) -> int:
    """Return how many pixels two rectangles have in common."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(across, 0) * max(down, 0)


def _draw(
    drawn: np.ndarray,
    face: _Rectangle,
    panel: _Rectangle,
    row: Mapping[str, float],
    title: str,
    label: str,
    scale: float,
) -> None:
    names = list(row)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    ranked = sorted(row, key=row.__getitem__, reverse=True)[:SHOWN]
    (left, top, width, height), (x, y, across, down) = face, panel
    thick = max(round(2 * scale), 1)
    cv2.rectangle(drawn, (left, top), (left + width, top + height), colours[label], thick, cv2.LINE_AA)
    sheet = drawn[y : y + down, x : x + across]
    sheet[:] = cv2.addWeighted(sheet, 0.15, np.full_like(sheet, 255), 0.85, 0)
    pixels = lambda units: round(units * scale)
    _write(drawn, f"{title} {label}".strip(), x + pixels(3), y + pixels(11), 0.42 * scale, colours[label])
    for i, name in enumerate(ranked, 1):
        base = y + pixels(LINE * (i + 1) - 4)
        start = (x + pixels(3), base - pixels(8))
        end = (start[0] + round((across - pixels(6)) * row[name]), base + pixels(2))
        cv2.rectangle(drawn, start, end, _pale(colours[name]), cv2.FILLED)
        _write(drawn, f"{name} {100 * row[name]:.0f} %", start[0] + 2, base, 0.34 * scale, INK)


def _write(drawn: np.ndarray, text: str, x: int, y: int, scale: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(drawn, text, (x, y), _FONT, scale, colour, max(round(2 * scale), 1), cv2.LINE_AA)


def _pale(colour: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(round(255 - (255 - part) * 0.45) for part in colour)
