"""The front by enumeration, the area under parallelism by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.decoding.pareto import area_under_parallelism, draw, front

points = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=8)


@settings(deadline=None, derandomize=True)
@given(points)
def test_the_front_holds_the_points_that_no_other_beats(points):
    def beaten(point):
        return any(a <= point[0] and b >= point[1] and (a, b) != point for a, b in points)

    assert front(points) == sorted({point for point in points if not beaten(point)})


def test_the_area_weighs_what_is_lost_and_leaves_out_what_lost_too_much():
    weight = math.exp(-3 * (1 - 36 / 40))
    expected = 1 * 40 + (2 - 1) * (36 * weight + 40) / 2
    assert area_under_parallelism([(2, 36), (1, 40), (8, 20)], best=40) == pytest.approx(expected)
    assert area_under_parallelism([(1.5, 30)], best=40) == 45


def test_a_picture_is_drawn(tmp_path):
    draw({"quota": [(64, 40.0), (32, 30.0)], "threshold": [(20, 39.0)]}, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text(encoding="utf-8")
