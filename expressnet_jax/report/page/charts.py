"""Charts as inline SVG, with a title and a description for those who don't see them. The same data give the same text.

Colours are those of Okabe & Ito 2008, distinguished with every common colour vision; a second series also has a dash.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from expressnet_jax.report.page.elements import text

WIDTH = 440
COLOURS = ("#0072b2", "#b34700", "#00735c", "#7b4b94")
INK, FAINT, LINE = "#1f2430", "#5a6270", "#d5dae1"
_DASHES = ("", "6 3", "2 3", "8 2 2 2")
ROW, LABEL, VALUE = 24, 128, 58  # pixels: of a bar's row, of the names on the left, of the figures on the right


class Bar(NamedTuple):
    """One bar: its name, its length, and the ends of its interval."""

    name: str
    value: float | None
    interval: Sequence[float] | None = None


class Point(NamedTuple):
    """One point of a line, with the ends of its interval in y."""

    x: float
    y: float
    interval: Sequence[float] | None = None


def bar_chart(
    title: str,
    bars: Sequence[Bar],
    *,
    most: float = 1.0,
    shown: Callable[[float], str] = lambda value: f"{100 * value:.1f} %",
    mark: tuple[float, str] | None = None,
) -> str:
    """Return horizontal bars from 0 to `most` with their intervals; `mark` is a value with a name for all of them."""
    height = ROW * len(bars) + (26 if mark else 8)
    span = WIDTH - LABEL - VALUE
    at = lambda value: LABEL + span * min(max(value / most, 0.0), 1.0)
    parts = []
    for i, bar in enumerate(bars):
        parts += _bar(bar, i * ROW + 4, at, shown)
    if mark:
        x = at(mark[0])
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 20}" stroke="{INK}" stroke-dasharray="4 3"/>'
        )
        parts.append(_label(min(x, WIDTH - VALUE), height - 6, mark[1], "middle", FAINT))
    described = "; ".join(f"{bar.name} {shown(bar.value)}" for bar in bars if bar.value is not None)
    return _svg(title, described, height, parts)


def _bar(bar: Bar, top: float, at: Callable[[float], float], shown: Callable[[float], str]) -> list[str]:
    name = _label(LABEL - 8, top + 12, bar.name, "end", INK)
    if bar.value is None:
        return [name, _label(LABEL, top + 12, "no figure", "start", FAINT)]
    end = at(bar.value)
    parts = [name, f'<rect x="{LABEL}" y="{top}" width="{end - LABEL:.1f}" height="16" fill="{COLOURS[0]}"/>']
    if bar.interval:
        low, high, middle = at(bar.interval[0]), at(bar.interval[1]), top + 8
        parts.append(
            f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {top + 4}v8M{high:.1f} {top + 4}v8" {_stroke()}/>'
        )
    return [*parts, _label(WIDTH, top + 12, shown(bar.value), "end", INK)]


def line_chart(
    title: str,
    series: Sequence[tuple[str, Sequence[Point]]],
    *,
    x_name: str,
    y_name: str,
    y_range: tuple[float, float] = (0.0, 1.0),
    diagonal: bool = False,
    even: bool = False,
) -> str:
    """Return lines with a legend. y is shown as per cent; `even` sets the points at equal distances."""
    left, right, top, bottom, height = 44, 18, 10, 42, 260
    ticks = sorted({point.x for _, points in series for point in points})
    low, high = (0.0, 1.0) if diagonal else (ticks[0], ticks[-1])
    place = (lambda x: ticks.index(x) / max(len(ticks) - 1, 1)) if even else (lambda x: (x - low) / ((high - low) or 1))
    across = lambda x: left + (WIDTH - left - right) * place(x)
    down = lambda y: (
        top + (height - top - bottom) * (1 - (min(max(y, y_range[0]), y_range[1]) - y_range[0]) / _span(y_range))
    )
    parts = _grid(y_range, down, left, WIDTH - right)
    shown = ticks if len(ticks) <= 7 else [low + (high - low) * i / 4 for i in range(5)]
    for tick in shown:
        parts.append(_label(across(tick), height - bottom + 16, f"{tick:g}", "middle", FAINT))
    if diagonal:
        parts.append(
            f'<path d="M{across(0):.1f} {down(0):.1f}L{across(1):.1f} {down(1):.1f}" stroke="{FAINT}" fill="none"/>'
        )
    for number, (_, points) in enumerate(series):
        parts += _line(points, number, across, down)
    parts.append(_label((left + WIDTH - right) / 2, height - 6, f"{x_name}; upwards: {y_name}", "middle", INK))
    legend = _legend([name for name, _ in series], height) if len(series) > 1 else []
    described = "; ".join(
        f"{name}: " + ", ".join(f"{p.x:g} {100 * p.y:.1f} %" for p in points) for name, points in series
    )
    return _svg(title, described, height + 20 * len(legend) // 2, [*parts, *legend])


def _line(points: Sequence[Point], number: int, across: Callable, down: Callable) -> list[str]:
    colour, dash = COLOURS[number % len(COLOURS)], _DASHES[number % len(_DASHES)]
    path = "".join(f"{'L' if i else 'M'}{across(p.x):.1f} {down(p.y):.1f}" for i, p in enumerate(points))
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    parts = [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>']
    for p in points:
        if p.interval:
            x = across(p.x)
            parts.append(f'<path d="M{x:.1f} {down(p.interval[0]):.1f}V{down(p.interval[1]):.1f}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{across(p.x):.1f}" cy="{down(p.y):.1f}" r="2.6" fill="{colour}"/>')
    return parts


def _grid(y_range: tuple[float, float], down: Callable, left: float, right: float) -> list[str]:
    parts = []
    for i in range(5):
        y = y_range[0] + _span(y_range) * i / 4
        parts.append(f'<path d="M{left} {down(y):.1f}H{right}" stroke="{LINE}"/>')
        parts.append(_label(left - 6, down(y) + 4, f"{100 * y:.0f}", "end", FAINT))
    return parts


def _legend(names: Sequence[str], top: float) -> list[str]:
    parts = []
    for i, name in enumerate(names):
        y, dash = top + 20 * i + 8, _DASHES[i % len(_DASHES)]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<path d="M44 {y}h28" stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="2"{dashed}/>')
        parts.append(_label(80, y + 4, name, "start", INK))
    return parts


def _span(y_range: tuple[float, float]) -> float:
    return (y_range[1] - y_range[0]) or 1.0


def _stroke() -> str:
    return f'fill="none" stroke="{INK}" stroke-width="1.3"'


def _label(x: float, y: float, words: str, anchor: str, colour: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text(words)}</text>'


def _svg(title: str, described: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<figure><figcaption>{text(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{text(f"{title}. {described}")}">{"".join(parts)}</svg></figure>'
    )
