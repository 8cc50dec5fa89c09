"""Charts: round ticks, labels, nothing outside the panel."""

from __future__ import annotations

from itertools import pairwise

import pytest

from eval.report import charts


def test_axis_ticks_are_round_and_cover_the_values() -> None:
    for low, high in ((0.0, 1.0), (2.3, 2.31), (-4.0, 97.0), (5.0, 5.0), (0.0, 0.0)):
        start, end, ticks = charts._axis(low, high, 4)
        assert start <= low + 1e-12
        assert end >= high - 1e-12
        assert 2 <= len(ticks) <= 8
        steps = [b - a for a, b in pairwise(ticks)]
        assert max(steps) == pytest.approx(min(steps))


def test_charts_label_both_axes_and_speak() -> None:
    series = [charts.Series("LoRA", "s1", [1, 2, 3], [3.0, 2.0, 1.5], [2.9, 1.9, 1.4], [3.1, 2.1, 1.6])]
    svg = charts.line_chart("Loss", "", series, "step", "nats")
    assert ">step</text>" in svg
    assert ">nats</text>" in svg
    assert "LoRA from 3 to 1.5" in svg
    assert charts.line_chart("Loss", "", [], "step", "nats") == ""


def test_a_line_chart_stays_inside_its_panel():
    rates = charts.Series("LoRA", "s1", [0, 50, 1000], [0.0, 3e-3, 1e-9])
    svg = charts.line_chart("Learning rate", "", [rates], "step", "rate")
    heights = [float(point.split(",")[1]) for point in svg.partition('points="')[2].partition('"')[0].split()]
    assert len(heights) == 3
    assert all(40 <= height <= 190 for height in heights)
