"""Part of the section "Training": how the bound scales, as `python -m pipeline scale` wrote it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from markupsafe import Markup
from pydantic import Field

from eval.report import charts
from eval.report.labels import SystemLabel
from eval.report.records.values import Number, Strict

Axis = Literal["rows", "parameters", "compute", "epochs"]
Positive = Annotated[float, Field(gt=0, le=1e40)]
AXES: dict[str, tuple[str, str]] = {  # title, and the axis in words
    "rows": ("Bound by rows", "training rows, logarithmic"),
    "parameters": ("Bound by trainable parameters", "trainable parameters, logarithmic"),
    "compute": ("Bound by compute", "operations, logarithmic"),
    "epochs": ("Bound by passes over the same rows", "epochs, logarithmic"),
}
MOST = 6  # lines of a chart: as many as there are marks


class ScalingPoint(Strict):
    """x, and the mean bound of its seeds; band: 95% of the law there."""

    x: Positive
    bound: Number
    seeds: Annotated[int, Field(ge=1)]
    band: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None


class Law(Strict):
    """What was fitted; an end of the interval that is null is open."""

    offset: Number
    exponent: Number
    exponent_low: Number | None
    exponent_high: Number | None


class Beyond(Strict):
    """The law led on to x."""

    x: Positive
    bound: Number
    low: Number
    high: Number


class ScalingLine(Strict):
    """One system along one axis."""

    system: Annotated[str, Field(max_length=200)]
    axis: Axis
    fixed: dict[Annotated[str, Field(max_length=40)], Number]
    points: Annotated[list[ScalingPoint], Field(min_length=1)]
    law: Law | None
    beyond: Beyond | None


class Scaling(Strict):
    """scale.json."""

    lines: list[ScalingLine]


@dataclass(frozen=True)
class ScalingRow:
    """One line, as printed."""

    system: str
    axis: str
    at: str
    span: str
    bounds: str
    seeds: str
    exponent: str
    offset: str
    beyond: str


@dataclass(frozen=True)
class ScalingSection:
    """A chart per axis, the system of each of its lines and what is fixed along it, and a row per line. Systems have
    lines of their own, and are in no ranking.
    """

    panels: list[Markup]
    legends: list[list[tuple[SystemLabel, str]]]
    rows: list[ScalingRow]


def build(facts: Mapping[str, Any]) -> ScalingSection | None:
    """facts: scale.json, checked as `Scaling`; None where it has no lines."""
    lines = facts["lines"]
    if not lines:
        return None
    of_axis = {axis: own for axis in AXES if (own := [line for line in lines if line["axis"] == axis])}
    return ScalingSection(
        [_panel(axis, own) for axis, own in of_axis.items()],
        [_legend(own) for own in of_axis.values()],
        [_row(line) for line in lines],
    )


def _legend(lines: Sequence[Mapping[str, Any]]) -> list[tuple[SystemLabel, str]]:
    return [
        (SystemLabel(line["system"], line["system"], f"s{number}", charts.marker_svg(f"s{number}")), _at(line))
        for number, line in enumerate(lines[:MOST])
    ]


def _panel(axis: str, lines: Sequence[Mapping[str, Any]]) -> Markup:
    """Means over the seeds, joined; the law's band where there is one."""
    series = []
    for number, line in enumerate(lines[:MOST]):
        points = line["points"]
        bands = [point["band"] for point in points if point.get("band")]
        whole = len(bands) == len(points)
        series.append(
            charts.Series(
                f"{line['system']} {_at(line)}".strip(),
                f"s{number}",
                [math.log10(point["x"]) for point in points],
                [point["bound"] for point in points],
                [low for low, _ in bands] if whole else (),
                [high for _, high in bands] if whole else (),
            )
        )
    title, words = AXES[axis]
    note = "band: the law, 95% over seeds" if any(one.low for one in series) else "mean over seeds"
    xs = sorted({point["x"] for line in lines for point in line["points"]})
    names = [(math.log10(x), _short(x)) for x in xs[:: max(1, math.ceil(len(xs) / 4))]]
    return charts.line_chart(title, note, series, words, "nats per token", x_names=names)


def _row(line: Mapping[str, Any]) -> ScalingRow:
    first, last, law, beyond = line["points"][0], line["points"][-1], line["law"], line["beyond"]
    seeds = sorted({point["seeds"] for point in line["points"]})
    exponent = offset = led = "–"
    if law is not None:
        low = "0" if law["exponent_low"] is None else f"{law['exponent_low']:.2f}"
        high = "∞" if law["exponent_high"] is None else f"{law['exponent_high']:.2f}"
        exponent, offset = f"{law['exponent']:.2f} ({low} to {high})", f"{law['offset']:.3f}"
    if beyond is not None:
        led = f"{beyond['bound']:.3f} ({beyond['low']:.3f} to {beyond['high']:.3f}) at {_short(beyond['x'])}"
    return ScalingRow(
        line["system"],
        line["axis"],
        _at(line) or "–",
        f"{_short(first['x'])} to {_short(last['x'])}",
        f"{first['bound']:.3f} to {last['bound']:.3f}",
        " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
        exponent,
        offset,
        led,
    )


def _at(line: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in line["fixed"].items())


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1 <= value < 1e6 and value == round(value) else f"{value:.3g}"
