"""Pieces of HTML: tables, cells, figures in words. Everything that comes from outside is escaped."""

import html
from collections.abc import Sequence
from typing import Any

_DASH = "–"
_INKS = ((255, 255, 255), (0, 0, 0))
SHORT = 4  # letters of a column's name in a table of shares; all of it is read aloud


def text(value: object) -> str:
    """Return a value as text that HTML takes as it is."""
    return html.escape(str(value))


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as per cent; a dash for None."""
    return _DASH if share is None else f"{100 * share:.{digits}f} %"


def between(interval: Sequence[float] | None, digits: int = 1) -> str:
    """Return an interval of shares, as `65.0 to 68.1`."""
    return _DASH if interval is None else f"{100 * interval[0]:.{digits}f} to {100 * interval[1]:.{digits}f}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many digits behind the point, thousands apart; a dash for None."""
    if value is None:
        return _DASH
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def paragraph(words: str, kind: str = "") -> str:
    """Return a paragraph of escaped text."""
    return f"<p{f' class={kind!r}' if kind else ''}>{text(words)}</p>"


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], first_is_head: bool = True) -> str:
    """Return a table that scrolls by itself where it is too wide; the first cell of each row names the row."""
    head = "".join(f'<th scope="col">{text(each)}</th>' for each in heads)
    body = "".join(_row(row, first_is_head) for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[Any], first_is_head: bool) -> str:
    cells = [f"<td>{text(each)}</td>" for each in row]
    if first_is_head:
        cells[0] = f'<th scope="row">{text(row[0])}</th>'
    return f"<tr>{''.join(cells)}</tr>"


def heat_table(
    caption: str, corner: str, rows: Sequence[str], columns: Sequence[str], shares: Sequence[Sequence[float | None]]
) -> str:
    """Return a table of shares in 0..1 as per cent whose cells are the darker the larger they are."""
    head = "".join(f'<th scope="col" aria-label="{text(each)}">{text(each[:SHORT])}</th>' for each in columns)
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th>{"".join(map(_heat, line))}</tr>'
        for name, line in zip(rows, shares, strict=True)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table class="heat">'
        f'<caption>{text(caption)}</caption><thead><tr><th scope="col">{text(corner)}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _heat(share: float | None) -> str:
    """Return one cell, from white to dark blue; its ink is whichever of dark and white stands out more."""
    if share is None:
        return f"<td>{_DASH}</td>"
    level = min(max(share, 0.0), 1.0)
    red, green, blue = (round(255 + level * (dark - 255)) for dark in (8, 64, 129))
    ink = max(_INKS, key=lambda each: contrast(each, (red, green, blue)))
    shown = f"{100 * share:.0f}" if share >= 0.005 or share == 0 else "&lt;1"
    return f'<td style="background:rgb({red},{green},{blue});color:rgb{ink}">{shown}</td>'


def contrast(first: Sequence[int], second: Sequence[int]) -> float:
    """Return the contrast ratio 1..21 of two colours of red, green, blue 0..255 (WCAG 2.2, relative luminance)."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Sequence[int]) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def cards(values: Sequence[tuple[str, str, str]]) -> str:
    """Return a row of cards of (figure, what it is, a remark)."""
    each = [
        f'<div class="card"><dt>{text(what)}</dt>'
        f"<dd><strong>{text(figure)}</strong><span>{text(remark)}</span></dd></div>"
        for figure, what, remark in values
    ]
    return f'<dl class="cards">{"".join(each)}</dl>'


def columns(*parts: str) -> str:
    """Return parts that stand side by side where they fit."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div>'
