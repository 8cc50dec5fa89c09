"""Charts as inline SVG: no script, no picture file, drawn once, coloured by the page's stylesheet.

Every panel is 360 units wide, so that it stands alone on a phone and three of them fill a desktop column, with the same
size of type. Colours and marker shapes follow the system (classes `s0`, `s1` ...), never colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 360
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "star")


@dataclass(frozen=True)
class Row:
    """One line of an interval plot; `style` is the class of its colour and shape, such as `s1`."""

    label: str
    style: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Series:
    """One line of a line chart, with an optional band; points without a value are left out beforehand."""

    label: str
    style: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def interval_plot(
    title: str, note: str, rows: Sequence[Row], floors: Sequence[tuple[str, float]], decimals: int
) -> Markup:
    """Points with 95% whiskers, one line per system; floors as labelled dashed lines.

    `title` and `note` (direction, unit) head the panel; the whole has an aria-label with the values.
    """
    left, right, top, step = 84, 14, 40, 24
    bottom = top + step * len(rows) + 4
    numbers = [n for row in rows for n in (row.value, row.low, row.high) if n is not None] + [v for _, v in floors]
    low, high, ticks = _axis(min(numbers), max(numbers), 4)
    place = _scale(low, high, left, WIDTH - right)
    legend = 14 * len(floors)
    height = bottom + 24 + legend
    parts = [_heading(title, note)]
    parts += [f'<line class="grid" x1="{place(t)}" x2="{place(t)}" y1="{top - 6}" y2="{bottom}"/>' for t in ticks]
    parts += [
        f'<text class="tick" x="{place(t)}" y="{bottom + 14}" text-anchor="middle">{_label(t)}</text>' for t in ticks
    ]
    for index, (name, value) in enumerate(floors):
        parts.append(
            f'<line class="floor f{index}" x1="{place(value)}" x2="{place(value)}" y1="{top - 6}" y2="{bottom}"/>'
        )
        y = bottom + 28 + 14 * index
        parts.append(f'<line class="floor f{index}" x1="{left}" x2="{left + 18}" y1="{y - 4}" y2="{y - 4}"/>')
        parts.append(f'<text class="tick" x="{left + 24}" y="{y}">{escape(name)}, {value:.{decimals}f}</text>')
    for index, row in enumerate(rows):
        y = top + step * index + step / 2
        parts.append(f'<text class="label" x="{left - 10}" y="{y + 4}" text-anchor="end">{escape(row.label)}</text>')
        if row.low is not None and row.high is not None:
            parts.append(
                f'<line class="whisker {row.style}" x1="{place(row.low)}" x2="{place(row.high)}" y1="{y}" y2="{y}"/>'
            )
        parts.append(_marker(row.style, float(place(row.value)), y))
    spoken = "; ".join(f"{row.label} {_spoken(row, decimals)}" for row in rows)
    spoken += "".join(f"; {name} {value:.{decimals}f}" for name, value in floors)
    return _svg(height, f"{title}: {spoken}", parts)


def line_chart(
    title: str,
    note: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    x_names: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Lines over a shared x axis, with bands where given; both axes labelled.

    `x_names` are ticks in place of round numbers, (place, text), with every point marked.
    """
    left, right, top, bottom, height = 52, 12, 40, 190, 226
    xs = [x for one in series for x in one.x]
    ys = [y for one in series for y in (*one.y, *one.low, *one.high)]
    if not xs or not ys:
        return Markup("")
    x_low, x_high, x_ticks = _axis(min(xs), max(xs), 4, tight=True)
    across = _scale(x_low, x_high, left, WIDTH - right)
    y_low, y_high, y_ticks = _axis(min(ys), max(ys), 5)
    up = _scale(y_low, y_high, bottom, top)
    parts = [_heading(title, note)]
    for tick in y_ticks:
        y = up(tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{float(y) + 4}" text-anchor="end">{_label(tick)}</text>')
    for tick, text in x_names or [(tick, _label(tick)) for tick in x_ticks]:
        parts.append(f'<text class="tick" x="{across(tick)}" y="{bottom + 15}" text-anchor="middle">{text}</text>')
    middle = (top + bottom) / 2
    parts.append(
        f'<text class="axis" x="{(left + WIDTH - right) / 2}" y="{height - 4}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    parts.append(
        f'<text class="axis" x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">'
        f"{escape(y_label)}</text>"
    )
    for one in series:
        if one.low and one.high:
            there = [f"{across(x)},{up(y)}" for x, y in zip(one.x, one.high, strict=True)]
            back = [f"{across(x)},{up(y)}" for x, y in zip(one.x, one.low, strict=True)]
            parts.append(f'<polygon class="band {one.style}" points="{" ".join(there + back[::-1])}"/>')
    for one in series:
        points = " ".join(f"{across(x)},{up(y)}" for x, y in zip(one.x, one.y, strict=True))
        parts.append(f'<polyline class="line {one.style}" points="{points}"/>')
        marked = range(len(one.x)) if x_names else range(len(one.x))[-1:]
        parts += [_marker(one.style, float(across(one.x[place])), float(up(one.y[place]))) for place in marked]
    spoken = "; ".join(f"{one.label} from {one.y[0]:.3g} to {one.y[-1]:.3g}" for one in series if one.y)
    return _svg(height, f"{title}, {y_label} over {x_label}: {spoken}. The values are in the table below.", parts)


def marker_svg(style: str) -> Markup:
    """The marker alone, for legends."""
    return Markup('<svg class="key" viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">{}</svg>').format(
        Markup(_marker(style, 7, 7))
    )


def _heading(title: str, note: str) -> str:
    return (
        f'<text class="title" x="0" y="14">{escape(title)}</text>'
        f'<text class="tick" x="{WIDTH}" y="14" text-anchor="end">{escape(note)}</text>'
    )


def _marker(style: str, x: float, y: float) -> str:
    shape = SHAPES[int(style[1:]) % len(SHAPES)] if style[1:].isdigit() else "circle"
    path = {
        "circle": f'<circle cx="{x:g}" cy="{y:g}" r="4.5"/>',
        "square": f'<rect x="{x - 4:g}" y="{y - 4:g}" width="8" height="8"/>',
        "triangle": f'<path d="M{x:g} {y - 5:g}l5 9h-10z"/>',
        "diamond": f'<path d="M{x:g} {y - 5.5:g}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>',
        "cross": f'<path d="M{x - 5:g} {y - 2:g}h3v-3h4v3h3v4h-3v3h-4v-3h-3z"/>',
        "star": f'<path d="M{x:g} {y - 6:g}l2 4l4 2l-4 2l-2 4l-2 -4l-4 -2l4 -2z"/>',
    }[shape]
    return f'<g class="mark {style}">{path}</g>'


def _svg(height: float, spoken: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(spoken)}">'
        f"{''.join(parts)}</svg>"
    )


def _axis(low: float, high: float, count: int, tight: bool = False) -> tuple[float, float, list[float]]:
    """Ends and round ticks of an axis that shows low..high; `tight` keeps the given ends."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    start = low if tight else math.floor(low / step + 1e-9) * step
    end = high if tight else math.ceil(high / step - 1e-9) * step
    first = math.ceil(start / step - 1e-9)
    ticks = [index * step for index in range(first, math.floor(end / step + 1e-9) + 1)]
    return start, end, ticks


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], str]:
    def place(value: float) -> str:
        return f"{start + (value - low) / (high - low) * (end - start):.1f}"

    return place


def _label(tick: float) -> str:
    if tick == 0:
        return "0"
    if abs(tick) >= 10_000:
        return f"{tick / 1000:g}k"
    return f"{tick:.4g}".replace("-", "−")


def _spoken(row: Row, decimals: int) -> str:
    if row.low is None or row.high is None:
        return f"{row.value:.{decimals}f}"
    return f"{row.value:.{decimals}f} ({row.low:.{decimals}f} to {row.high:.{decimals}f})"
